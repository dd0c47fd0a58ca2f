// Peers without an address: what they need, and what does not go together with being found.
import { isLinkLocal } from "../net/address.ts";
import type { Check } from "./check.ts";
import type { ParsedPeer } from "./schema.ts";

/** A peer without an address: found on its interface. */
export function checkUnnumbered(check: Check, name: string, peer: ParsedPeer): void {
  const at = (key: string) => ["peers", name, key];
  if (peer.interface === undefined) {
    check.problem(
      at("address"),
      "is missing",
      "write the neighbour's address, or interface: eth1 to find the neighbour there",
    );
    return;
  }
  const found = "the neighbour is found on the interface, by its link-local address";
  if (peer.multihop !== undefined)
    check.problem(at("multihop"), `does not go together with a missing address: ${found}`, "remove it, or add address");
  if (peer.localAddress)
    check.problem(
      at("localAddress"),
      `does not go together with a missing address: ${found}`,
      "remove it: the interface's own link-local address is used",
    );
  if (peer.extendedNextHop === false && peer.families.includes(4))
    check.problem(
      at("extendedNextHop"),
      "IPv4 routes need it on a session without IPv4 addresses (RFC 8950)",
      "remove it, or say families: [ipv6]",
    );
  for (const [other, { address, interface: device }] of check.parsed.peers) {
    if (other === name || device !== peer.interface) continue;
    if (address?.length === 16 && isLinkLocal(address))
      check.problem(
        at("interface"),
        `peer ${other} has a link-local address on ${device} already (line ${check.line(["peers", other, "address"])})`,
        "an interface has one peer without an address, or peers with link-local addresses",
      );
    // Said once, at the later of the two.
    else if (!address && isBefore(check, other, name))
      check.problem(
        at("interface"),
        `${device} is the interface of peer ${other} too (line ${check.line(["peers", other, "interface"])})`,
        "an interface has one peer without an address; give the others theirs",
      );
  }
}

function isBefore(check: Check, other: string, name: string): boolean {
  const names = [...check.parsed.peers.keys()];
  return names.indexOf(other) < names.indexOf(name);
}
