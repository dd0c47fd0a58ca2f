// Peer groups: that what they name is there, and, where they have listen ranges, that these are neither ambiguous nor
// beyond what the kernel can do with TCP MD5 keys.
import { formatAddress } from "../net/address.ts";
import { contains, formatPrefix, hostPrefix, type Prefix } from "../net/prefix.ts";
import type { Check } from "./check.ts";
import { checkCombinations, checkPolicies, checkPolicyNames, loadPasswords } from "./check-peers.ts";
import { checkRoutes } from "./check-routes.ts";
import { isLinkLocalRange, type ParsedRange, rangeText } from "./scalars-peer.ts";
import type { ParsedPeerGroup } from "./schema.ts";
import type { Passwords, ReadSecret } from "./secret.ts";
import type { Path } from "./source.ts";

interface PlacedRange extends ParsedRange {
  readonly group: string;
  readonly path: Path;
  readonly secret: boolean;
}

/** Returns the secrets of groups with listen ranges. */
export function checkGroups(check: Check, readSecret: ReadSecret): ReadonlyMap<string, Passwords> {
  const { peerGroups } = check.parsed;
  const secrets = new Map<string, Passwords>();
  for (const [name, group] of peerGroups) {
    const path = ["peerGroups", name];
    if (group.table !== undefined) check.tableName(path, group.table);
    if (group.listen.length === 0) {
      checkPolicyNames(check, path, group);
      continue;
    }
    checkListening(check, path, group);
    const passwords = group.password && loadPasswords(check, [...path, "password"], group.password, readSecret);
    if (passwords) secrets.set(name, passwords);
  }
  checkRanges(
    check,
    [...peerGroups].flatMap(([name, group]) => placed(name, group)),
  );
  return secrets;
}

/** Ranges with the group's interface where they have none of their own. */
export function rangesOf(group: ParsedPeerGroup): ParsedRange[] {
  return group.listen.map((range) => ({ ...range, interface: range.interface ?? group.interface ?? null }));
}

function placed(name: string, group: ParsedPeerGroup): PlacedRange[] {
  const secret = group.password !== undefined;
  return rangesOf(group).map((range, index) => ({
    ...range,
    group: name,
    path: ["peerGroups", name, "listen", index],
    secret,
  }));
}

function checkListening(check: Check, path: Path, group: ParsedPeerGroup): void {
  const listen = [...path, "listen"];
  if (group.asn === undefined)
    check.problem(
      [...path, "asn"],
      "is missing, and neighbours out of the ranges have none of their own",
      "write the neighbours' AS number, external or internal",
    );
  checkCombinations(check, path, group);
  if (group.asn !== undefined) {
    checkRoutes(check, path, group);
    checkPolicies(check, path, group);
  }
  if (group.table === undefined) check.tableName(path, undefined);
  if (check.parsed.bgp?.listenPort === null)
    check.problem(listen, "ranges need a listener", "set bgp.listenPort", "key");
  for (const [index, range] of group.listen.entries()) {
    const at = [...listen, index];
    const text = rangeText(range);
    if (range.interface !== null && group.interface !== undefined && range.interface !== group.interface)
      check.problem(at, `${text} is on another interface than the group (${group.interface})`);
    else if (isLinkLocalRange(range) && range.interface === null && group.interface === undefined)
      check.problem(at, `${text} is link-local, which needs an interface`, `write "${text}%eth1", or interface: eth1`);
    if (isLinkLocalRange(range) && group.multihop !== undefined)
      check.problem([...path, "multihop"], "a link-local address is never more than one hop away", "remove multihop");
    if (group.localAddress && (group.localAddress.length === 4 ? 4 : 6) !== range.prefix.family)
      check.problem(
        [...path, "localAddress"],
        `${formatAddress(group.localAddress)} is not of the same family as ${text}`,
      );
  }
}

function checkRanges(check: Check, ranges: readonly PlacedRange[]): void {
  const seen = new Map<string, PlacedRange>();
  for (const range of ranges) {
    const text = rangeText(range);
    const other = seen.get(text);
    if (other)
      check.problem(
        range.path,
        `${text} is in group ${other.group} already (line ${check.line(other.path)})`,
        "each range belongs to one group",
      );
    else seen.set(text, range);
  }
  // The kernel knows keys by address: what has none of its own inside of a range with one would have to sign, too.
  const keyed = ranges.filter(({ secret }) => secret);
  const needs = (path: Path, inner: Prefix, what: string) => {
    const outer = keyed.find(({ prefix }) => contains(prefix, inner));
    if (outer)
      check.problem(
        path,
        `${what} has no password, but lies in ${formatPrefix(outer.prefix)} of group ${outer.group} (line ${check.line(outer.path)}), which has one`,
        "the kernel asks all of that range for signatures: add a password, or narrow the range",
      );
  };
  if (keyed.length === 0) return;
  for (const { secret, path, prefix } of ranges) if (!secret) needs(path, prefix, formatPrefix(prefix));
  for (const [name, peer] of check.parsed.peers)
    if (!peer.password && peer.address)
      needs(["peers", name, "address"], hostPrefix(peer.address), formatAddress(peer.address));
}
