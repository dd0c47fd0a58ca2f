// `underlayctl routes PREFIX --why`: from the neighbour's words through policy and the decision process to the kernel,
// and on to the neighbours that are told. In: a prefix or an address. Out: the RIB's account of it (bgp/route-why.ts)
// with sessions, connected networks, and what the kernel has.
import { formatCommunity } from "../bgp/community-text.ts";
import type { Names } from "../bgp/policy/describe.ts";
import { parseTarget } from "../bgp/route-query.ts";
import type { PathWhy, RouteWhy, ToldWhy } from "../bgp/route-why.ts";
import type { Speaker } from "../bgp/speaker.ts";
import type { PeerView } from "../bgp/views.ts";
import type { Config } from "../config/types.ts";
import { formatAddress, parseAddress } from "../net/address.ts";
import { contains, formatPrefix, hostPrefix, maskBytes, type Prefix, prefix as parsed } from "../net/prefix.ts";
import type { Fib, Installation, LinkInfo } from "../routing/types.ts";
import { ApiError } from "./api/types.ts";

export interface WhyPath extends Omit<PathWhy, "nextHop"> {
  /** Null: a route of our own, or of a neighbour that is gone. */
  readonly session: Pick<PeerView, "state" | "uptime" | "asn" | "address" | "lastError"> | null;
  readonly nextHop: {
    readonly gateway: string;
    readonly interface: string;
    /** The connected network that it was found in; null: by its link-local address. */
    readonly network: string | null;
  } | null;
}

export interface WhyTable {
  readonly prefix: string;
  readonly table: string;
  readonly tableId: number;
  readonly paths: readonly WhyPath[];
  /** Null: a block of our own, which is not installed as a learned route. */
  readonly kernel: Installation | null;
  readonly told: readonly ToldWhy[];
}

export interface WhyView {
  readonly asked: string;
  readonly prefix: string;
  /** A path is in use, and the kernel has it where it should. */
  readonly used: boolean;
  /** Tables that have heard of it. */
  readonly tables: readonly WhyTable[];
  /** Of an address: longer prefixes with it in them that were heard of, and are not in use. */
  readonly closer: readonly string[];
  /** Routes in use that packets go by where this one is not: the longest in each table. */
  readonly covering: readonly { readonly prefix: string; readonly table: string }[];
}

export interface WhyParts {
  readonly config: Config;
  readonly fib: Pick<Fib, "installation" | "links">;
  readonly speaker: Pick<Speaker, "why" | "whyTold" | "routes" | "peers">;
}

/** Export policies that are traced before others have their turn. */
const PEERS_PER_TURN = 20;

/** Throws ApiError 400 when it is neither a prefix nor an address. */
export async function why(asked: string, parts: WhyParts): Promise<WhyView> {
  const { config, speaker } = parts;
  const prefix = target(asked, parts);
  const names = {
    community: formatCommunity,
    table: (id: number) => config.tables.find((entry) => entry.id === id)?.name ?? String(id),
  };
  const peers = new Map(speaker.peers().map((peer) => [peer.name, peer]));
  const found = speaker.why(prefix, names);
  const tables = await Promise.all(found.map((route) => tableOf(route, prefix, peers, parts, names)));
  const used = tables.some(isUsed);
  return {
    asked,
    prefix: formatPrefix(prefix),
    used,
    closer: closer(asked, prefix, speaker),
    tables,
    covering: config.tables.flatMap(({ name }) =>
      tables.some((table) => table.table === name && isUsed(table)) ? [] : covering(prefix, name, parts),
    ),
  };
}

function isUsed({ paths, kernel }: WhyTable): boolean {
  const best = paths.some(({ outcome }) => outcome === "best");
  return best && (kernel === null || !kernel.install || kernel.nextHopId !== 0);
}

/** An address stands for the longest prefix with a route that contains it, or for itself. */
function target(asked: string, { speaker }: WhyParts): Prefix {
  try {
    const { prefix, longestMatch } = parseTarget(asked);
    if (!longestMatch) return prefix;
    const lengths = [...speaker.routes({ prefix: asked })].map((route) => parsed(route.prefix));
    return lengths.sort((a, b) => b.length - a.length)[0] ?? prefix;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const [address, length] = asked.split("/");
    const bytes = parseAddress(address);
    const hint =
      bytes && Number(length) <= bytes.length * 8
        ? `; did you mean ${formatAddress(maskBytes(bytes, Number(length)))}/${length}?`
        : "";
    throw new ApiError(400, `${error.message}${hint}`);
  }
}

async function tableOf(
  route: RouteWhy,
  prefix: Prefix,
  peers: ReadonlyMap<string, PeerView>,
  { fib, speaker }: WhyParts,
  texts: Names,
): Promise<WhyTable> {
  const names = [...peers.keys()];
  const links = fib.links();
  const paths = route.paths.map((path): WhyPath => {
    const peer = peers.get(path.route.peer);
    const session = peer
      ? { state: peer.state, uptime: peer.uptime, asn: peer.asn, address: peer.address, lastError: peer.lastError }
      : null;
    return { ...path, session, nextHop: path.nextHop && located(path.nextHop, links) };
  });
  const own = paths.some(({ outcome, route: { peer } }) => outcome === "best" && peer === "local");
  const told: ToldWhy[] = [];
  for (let at = 0; at < names.length; at += PEERS_PER_TURN) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    told.push(...speaker.whyTold(prefix, route.tableId, names.slice(at, at + PEERS_PER_TURN), texts));
  }
  const question = { family: prefix.family, table: route.tableId, address: prefix.bytes, length: prefix.length };
  return {
    prefix: route.prefix,
    table: route.table,
    tableId: route.tableId,
    paths,
    kernel: own ? null : await fib.installation(question),
    told,
  };
}

function located(
  { gateway, ifindex }: NonNullable<PathWhy["nextHop"]>,
  links: readonly LinkInfo[],
): WhyPath["nextHop"] {
  const link = links.find((candidate) => candidate.ifindex === ifindex);
  const address = parseAddress(gateway)!;
  const networks = (link?.addresses ?? [])
    .map(({ address: own, length, peer }): Prefix => {
      const family = own.length === 4 ? 4 : 6;
      return { family, bytes: maskBytes(peer ?? own, length), length };
    })
    .filter((network) => contains(network, hostPrefix(address)))
    .sort((a, b) => b.length - a.length);
  return { gateway, interface: link?.name ?? `if${ifindex}`, network: networks[0] ? formatPrefix(networks[0]) : null };
}

/** What is heard of between the prefix that an address was found in and the address itself, longest first. */
function closer(asked: string, { family, length: found }: Prefix, speaker: WhyParts["speaker"]): string[] {
  const bytes = parseAddress(asked);
  if (!bytes) return [];
  const names = { community: String, table: String };
  const closer: string[] = [];
  for (let length = bytes.length * 8; length > found; length--) {
    const longer = { family, bytes: maskBytes(bytes, length), length };
    if (speaker.why(longer, names).length > 0) closer.push(formatPrefix(longer));
  }
  return closer;
}

/** The longest shorter prefix in use in a table. */
function covering(prefix: Prefix, table: string, { speaker }: WhyParts): WhyView["covering"] {
  for (let length = prefix.length - 1; length >= 0; length--) {
    const shorter = formatPrefix({ ...prefix, bytes: maskBytes(prefix.bytes, length), length });
    for (const route of speaker.routes({ prefix: shorter, table, best: true }))
      return [{ prefix: route.prefix, table }];
  }
  return [];
}
