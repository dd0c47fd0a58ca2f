// CNI errors: the object a plugin prints on stdout, with the codes of the specification (section "Error"), the two of
// libcni that callers know (8, 999), and our own from 100 up.

export const CniErrorCode = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decode: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  poolExhausted: 100,
  addressTaken: 101,
  addressOutsidePool: 102,
  interfaceExists: 103,
  alreadyAttached: 104,
  attachmentDamaged: 105,
  internal: 999,
} as const;

export class CniError extends Error {
  readonly code: number;
  readonly details: string;
  constructor(code: number, message: string, details = "") {
    super(message);
    this.name = "CniError";
    this.code = code;
    this.details = details;
  }
}

/**
 * The JSON text of an error in `version`. Anything that is not a CniError is an internal error (999). An error of DEL has to
 * be tried again: some runtimes take it for done when they find words in it that say that something is absent.
 */
export function formatError(error: unknown, version: string, verb = ""): string {
  const known = error instanceof CniError;
  const say = verb === "DEL" ? withoutAbsence : (text: string) => text;
  return `${JSON.stringify({
    cniVersion: version,
    code: known ? error.code : CniErrorCode.internal,
    msg: say(error instanceof Error ? error.message : String(error)),
    ...(known && error.details ? { details: say(error.details) } : {}),
  })}\n`;
}

function withoutAbsence(text: string): string {
  return text.replace(/no such file or directory/gi, "it does not exist").replace(/not found/gi, "missing");
}
