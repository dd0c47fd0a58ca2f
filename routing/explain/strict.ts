// rt6_need_strict: IPv6 destinations that mean nothing without an interface.
import { isLinkLocal } from "../../net/address.ts";
import { isLoopback, isMulticast } from "./address-match.ts";

export function needsInterface(destination: Uint8Array): boolean {
  return isMulticast(destination) || isLinkLocal(destination) || isLoopback(destination);
}
