// The pod's way out: the host end of its veth, under link-local addresses and a MAC that are the same for every pod.
// Permanent neighbour entries on both ends, so nothing depends on proxy ARP, on a default route of the host or on DAD.
import { parseAddress } from "../../net/address.ts";

export const GATEWAY_IPV4 = "169.254.1.1";
export const GATEWAY_IPV6 = "fe80::1";
export const gatewayIpv4 = parseAddress(GATEWAY_IPV4)!;
export const gatewayIpv6 = parseAddress(GATEWAY_IPV6)!;
export const HOST_MAC = Uint8Array.of(0xee, 0xee, 0xee, 0xee, 0xee, 0xee);

export function formatMac(mac: Uint8Array): string {
  let text = "";
  for (const byte of mac) text += `${text === "" ? "" : ":"}${byte < 16 ? "0" : ""}${byte.toString(16)}`;
  return text;
}
