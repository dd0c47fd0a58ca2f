// What was wrong with bytes from a peer, and what to do about it (RFC 4271 §6, RFC 7606 §2).

/**
 * From weakest to strongest: discard the attribute, treat the routes as withdrawn, reset the session
 * (a NOTIFICATION with code, subcode and data).
 */
export const WireAction = { discard: 1, withdraw: 2, reset: 3 } as const;
export type WireAction = keyof typeof WireAction;

export class WireError extends Error {
  readonly code: number;
  readonly subcode: number;
  /** The Data field of the NOTIFICATION. */
  readonly data: Uint8Array;
  readonly action: WireAction;
  /** Attribute type code, when one is to blame. */
  readonly attribute: number | null;

  constructor(
    message: string,
    code: number,
    subcode: number,
    options: { data?: Uint8Array; action?: WireAction; attribute?: number } = {},
  ) {
    super(message);
    this.name = "WireError";
    this.code = code;
    this.subcode = subcode;
    this.data = options.data ?? new Uint8Array(0);
    this.action = options.action ?? "reset";
    this.attribute = options.attribute ?? null;
  }
}
