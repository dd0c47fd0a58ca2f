// How the RIB asks whether a BGP next hop can be used (RFC 4271 §9.1.2.1); routing/interfaces.ts answers.

export interface ResolvedNextHop {
  readonly ifindex: number;
  /** 4 or 16 bytes, network order: what the kernel is told as gateway. */
  readonly gateway: Uint8Array;
}

export interface NextHopResolver {
  /**
   * The directly connected next hop for `address` (4 or 16 bytes), or null when no connected network contains it.
   * `ifindex` is the session's interface: required for link-local addresses, a preference for others; 0 when unknown.
   */
  resolve(address: Uint8Array, ifindex: number): ResolvedNextHop | null;
  /** Calls back when an answer may have changed. */
  onChange(listener: () => void): void;
}
