// The networks that the host is in by its own addresses: what no learned route may take from it. In: links and addresses.
// Out: networks, masked, each once and none inside of another.
//
// A link that is down counts too: its network is looked up in table main, which knows. Known deviation: a network that
// is on-link by a router advertisement alone, with no address of that length in it, is not among them.
import { isLinkLocal, sameBytes } from "../net/address.ts";
import { contains, maskBytes, type Prefix } from "../net/prefix.ts";
import type { LinkInfo } from "./types.ts";

/** fe80::/10, which is on every link. */
const LINK_LOCAL: Prefix = { family: 6, bytes: Uint8Array.of(0xfe, 0x80, ...new Uint8Array(14)), length: 10 };

/** Sorted, shortest first. The loopback device's are in table local, which is asked before anything else. */
export function connectedNetworks(links: readonly LinkInfo[]): Prefix[] {
  const all: Prefix[] = [LINK_LOCAL];
  for (const { name, addresses } of links) {
    if (name === "lo") continue;
    for (const { address, length, peer } of addresses) {
      const pointToPoint = peer !== undefined && !sameBytes(peer, address);
      if ((address.length === 16 && isLinkLocal(address)) || (length === address.length * 8 && !pointToPoint)) continue;
      const bytes = maskBytes(pointToPoint ? peer : address, length);
      all.push({ family: bytes.length === 4 ? 4 : 6, bytes, length });
    }
  }
  all.sort((a, b) => a.family - b.family || a.length - b.length || Buffer.compare(a.bytes, b.bytes));
  const networks: Prefix[] = [];
  for (const network of all) if (!networks.some((other) => contains(other, network))) networks.push(network);
  return networks;
}
