// Peers: addresses, what goes together and what does not, policies that exist, secrets that can be read.
import { dirname, resolve } from "node:path";
import { formatAddress, isLinkLocal } from "../net/address.ts";
import { contains, formatPrefix, hostPrefix } from "../net/prefix.ts";
import { sessionAsn } from "./build-rules.ts";
import { builtIns, exportBuiltIns, importBuiltIns } from "./built-in-policies.ts";
import type { Check } from "./check.ts";
import type { PlacedBlock } from "./check-pools.ts";
import { checkRoutes } from "./check-routes.ts";
import { checkUnnumbered } from "./check-unnumbered.ts";
import type { ParsedPeer } from "./schema.ts";
import { MAX_SECRET, type Passwords, type ReadSecret, systemErrorWords, trimSecret } from "./secret.ts";
import type { Path } from "./source.ts";

/** Secrets of peers and of peer groups, by name. */
export interface Secrets {
  readonly peers: ReadonlyMap<string, Passwords>;
  readonly peerGroups: ReadonlyMap<string, Passwords>;
}

export function checkPeers(
  check: Check,
  blocks: readonly PlacedBlock[],
  readSecret: ReadSecret,
): ReadonlyMap<string, Passwords> {
  const secrets = new Map<string, Passwords>();
  const seen = new Map<string, string>();
  for (const [name, peer] of check.parsed.peers) {
    const path = ["peers", name];
    if (name === "local")
      check.problem(path, "this name is taken", "routes of this node itself are shown with peer local", "key");
    checkAddress(check, name, peer, blocks);
    checkDuplicate(check, name, peer, seen);
    checkCombinations(check, path, peer);
    checkRoutes(check, path, peer);
    if (peer.localAddress && peer.address && peer.localAddress.length !== peer.address.length)
      check.problem(
        [...path, "localAddress"],
        `${formatAddress(peer.localAddress)} is not of the same family as the peer's address`,
      );
    if (peer.multihop !== undefined && peer.address?.length === 16 && isLinkLocal(peer.address))
      check.problem([...path, "multihop"], "a link-local address is never more than one hop away", "remove multihop");
    if (peer.passive && check.parsed.bgp?.listenPort === null)
      check.problem([...path, "passive"], "a passive peer needs a listener", "set bgp.listenPort, or remove passive");
    checkPolicies(check, path, peer);
    check.tableName(path, peer.table);
    const passwords = peer.password && loadPasswords(check, [...path, "password"], peer.password, readSecret);
    if (passwords) secrets.set(name, passwords);
  }
  return secrets;
}

function checkAddress(check: Check, name: string, peer: ParsedPeer, blocks: readonly PlacedBlock[]): void {
  const path = ["peers", name, "address"];
  if (!peer.address) {
    checkUnnumbered(check, name, peer);
    return;
  }
  const text = formatAddress(peer.address);
  if (peer.routerAdvertisements !== undefined)
    check.problem(
      ["peers", name, "routerAdvertisements"],
      "is for peers without an address",
      "remove it, or remove address",
      "key",
    );
  if (peer.address.length === 16 && isLinkLocal(peer.address) && peer.interface === undefined)
    check.problem(
      path,
      `${text} is a link-local address, which needs an interface`,
      "add interface: eth1 (as it is called here)",
    );
  const host = hostPrefix(peer.address);
  const block = blocks.find((entry) => contains(entry.prefix, host));
  if (block)
    check.problem(
      path,
      `${text} is inside of block ${formatPrefix(block.prefix)} (pool ${block.pool}, line ${check.line(block.path)})`,
      "addresses of a block belong to pods of this node",
    );
}

function checkDuplicate(check: Check, name: string, peer: ParsedPeer, seen: Map<string, string>): void {
  if (!peer.address) return;
  const linkLocal = peer.address.length === 16 && isLinkLocal(peer.address);
  const text = formatAddress(peer.address);
  const key = linkLocal ? `${text}%${peer.interface}` : text;
  const other = seen.get(key);
  if (other === undefined) seen.set(key, name);
  else
    check.problem(
      ["peers", name, "address"],
      `${key} is the address of peer ${other} too (line ${check.line(["peers", other, "address"])})`,
      "one neighbour is one peer, with both address families",
    );
}

/** What does not depend on the neighbour's address. */
export function checkCombinations(check: Check, path: Path, peer: CommonKeys): void {
  const at = (key: string) => [...path, key];
  const { multihop, ttlSecurity } = peer;
  if (typeof ttlSecurity === "number" && multihop !== undefined && multihop !== ttlSecurity)
    check.problem(
      at("ttlSecurity"),
      `${ttlSecurity} hops here, and ${multihop} in multihop`,
      "write ttlSecurity: true beside multihop",
    );
  const { gracefulRestart } = peer;
  const own = check.parsed.node?.asn;
  if (gracefulRestart !== false && gracefulRestart.partialDeployment && own !== undefined && !isInternal(peer, own))
    check.problem(
      [...path, "gracefulRestart", "partialDeployment"],
      "is for neighbours in our own AS (RFC 9494 §4.6)",
      "remove it, or set asn: internal",
    );
  if (new Set(peer.families).size < peer.families.length) check.problem(at("families"), "names a family twice");
  const { addPath, asn } = peer;
  if (addPath && !addPath.receive && addPath.send === null)
    check.problem(at("addPath"), "neither receives nor sends", "write addPath: false, or leave it out");
  if (asn === 65535 || asn === 0xffffffff) check.warning(at("asn"), `AS ${asn} is reserved (RFC 7300)`);
  if (own !== undefined && typeof asn === "object" && asn.some(({ from, to }) => from <= own && own <= to))
    check.problem(
      at("asn"),
      `our own AS ${own} is among them: a neighbour is either in our AS or in another one`,
      "leave it out; a peer with asn: internal is one of our own",
    );
}

/** What a peer and a group have in common; what a group lacks is for its peers to have. */
export type CommonKeys = Omit<ParsedPeer, "address" | "asn"> & Pick<Partial<ParsedPeer>, "asn">;

/** True when both ends are in the same AS. */
export function isInternal(peer: Pick<CommonKeys, "asn" | "localAsn">, ownAsn: number): boolean {
  return peer.asn === "internal" || peer.asn === sessionAsn(peer, ownAsn);
}

/** That they are there, and that a neighbour in another AS has them. */
export function checkPolicies(check: Check, path: Path, peer: CommonKeys): void {
  checkPolicyNames(check, path, peer);
  const own = check.parsed.node?.asn;
  if (own === undefined || isInternal(peer, own)) return;
  const missing = [peer.import === undefined && "import", peer.export === undefined && "export"].filter(Boolean);
  if (missing.length === 0) return;
  const nothing = { import: "imports nothing", export: "exports nothing", both: "imports and exports nothing" };
  const what = missing.length === 2 ? nothing.both : nothing[missing[0] as "import" | "export"];
  check.warning(
    path,
    `${what}: a neighbour in another AS needs a policy in so many words (RFC 8212)`,
    "usual: import: default-route, export: blocks",
    "key",
  );
}

export function checkPolicyNames(check: Check, path: Path, peer: CommonKeys): void {
  const { policies } = check.names;
  const directions = [
    { key: "import", builtIns: importBuiltIns, others: exportBuiltIns, other: "export" },
    { key: "export", builtIns: exportBuiltIns, others: importBuiltIns, other: "import" },
  ] as const;
  for (const { key, builtIns, others, other } of directions) {
    const chain = peer[key] ?? [];
    for (const [index, policy] of chain.entries()) {
      const at = [...path, key, index];
      if (others.includes(policy) && !builtIns.includes(policy) && !policies.includes(policy))
        check.problem(
          at,
          `"${policy}" is for ${other}`,
          `built in for ${key}: ${builtIns.join(", ")}; or a policy's name`,
        );
      else check.reference(at, policy, "policy", [...builtIns, ...policies]);
      if (policy === "all" && index < chain.length - 1)
        check.warning(at, "all accepts every route: what follows is never reached");
      if (policy === "none" && chain.length > 1)
        check.warning(at, "none decides nothing among others", "remove it: what nobody accepts is rejected anyway");
    }
  }
  checkDefaultOriginate(check, [...path, "defaultOriginate"], peer);
}

function checkDefaultOriginate(check: Check, path: Path, { defaultOriginate, families }: CommonKeys): void {
  if (typeof defaultOriginate === "boolean") return;
  const known = [...new Set([...builtIns, ...check.names.policies])];
  for (const key of ["while", "policy"] as const)
    for (const [index, name] of (defaultOriginate[key] ?? []).entries())
      check.reference([...path, key, index], name, "policy", known);
  if (!defaultOriginate.families.some((family) => families.includes(family)))
    check.problem([...path, "families"], "the session has none of these families", "see families of the peer");
}

/** Null when the first is not there. */
export function loadPasswords(
  check: Check,
  path: Path,
  { file, accept }: NonNullable<ParsedPeer["password"]>,
  readSecret: ReadSecret,
): Passwords | null {
  const password = loadSecret(check, [...path, "file"], file, readSecret);
  const accepted = accept.flatMap(
    (other, index) => loadSecret(check, [...path, "accept", index], other, readSecret) ?? [],
  );
  return password && { password, accepted: accepted.filter((other) => Buffer.compare(other, password) !== 0) };
}

function loadSecret(check: Check, path: Path, file: string, readSecret: ReadSecret): Uint8Array | null {
  const absolute = resolve(dirname(check.source.file), file);
  try {
    const { bytes, worldReadable } = readSecret(absolute);
    const secret = trimSecret(bytes);
    if (secret.length === 0) {
      check.problem(path, `${absolute} is empty`, "write the secret into it; a peer without its secret does not start");
      return null;
    }
    if (secret.length > MAX_SECRET) {
      check.problem(path, `the secret in ${absolute} is longer than ${MAX_SECRET} bytes`, "TCP MD5 allows no more");
      return null;
    }
    if (secret.includes(10))
      check.problem(path, `${absolute} has more than one line`, "only the secret belongs into it");
    if (worldReadable) check.warning(path, `everybody on this host can read ${absolute}`, `chmod 600 ${absolute}`);
    return secret;
  } catch (error) {
    const hint = "a peer whose secret is missing does not start; create the file, or remove password";
    check.problem(path, `cannot read ${absolute}: ${systemErrorWords(error)}`, hint);
    return null;
  }
}
