// What the kernel refused, in its own words: the error code and, where it gave one, the extended-acknowledgement text.
import { errnoName } from "../../net/native.ts";

/** One message of a batch that failed; `index` counts from 0. */
export interface MessageFailure {
  readonly index: number;
  /** Positive. */
  readonly errno: number;
  /** `EINVAL: Nexthop id does not exist`. */
  readonly text: string;
}

export class NetlinkError extends Error {
  /** `EEXIST`, `EPERM` ... */
  readonly code: string;
  /** Positive. */
  readonly errno: number;
  constructor(what: string, errno: number, text: string) {
    super(what === "" ? text : `${what}: ${text}`);
    this.name = "NetlinkError";
    this.errno = errno;
    this.code = errnoName(errno);
  }
}

/** `EINVAL: Nexthop id does not exist`, or only the code where the kernel said no more. */
export function kernelWords(errno: number, extended: string | null): string {
  return extended ? `${errnoName(errno)}: ${extended}` : errnoName(errno);
}
