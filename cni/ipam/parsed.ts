// Text of an address -> its bytes, for what asks several times in a row about the same one.
import { parseAddress } from "../../net/address.ts";

let lastText = "";
let lastBytes: Uint8Array | null = null;

/** Null for what is no address. The bytes are not to be changed. */
export function parsed(address: string): Uint8Array | null {
  if (address !== lastText) {
    lastBytes = parseAddress(address);
    lastText = address;
  }
  return lastBytes;
}
