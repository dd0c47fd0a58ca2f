// Names for the host ends of pods' interfaces.
import { createHash } from "node:crypto";

/** How the names of host ends begin. */
export const HOST_PREFIX = "ul";

/** `ul` and 13 hexadecimal digits: 15 bytes. `attempt`: how many names of this key were found taken on the host. */
export function hostName(key: string, attempt: number, isTaken: (name: string) => boolean): string {
  for (let salt = attempt; ; salt++) {
    const text = salt === 0 ? key : `${key}#${salt}`;
    const name = `${HOST_PREFIX}${createHash("sha256").update(text).digest("hex").slice(0, 13)}`;
    if (!isTaken(name)) return name;
  }
}
