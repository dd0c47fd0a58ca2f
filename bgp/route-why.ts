// Why a prefix has the route that it has: every path that neighbours have announced for it, what the import policy made of it
// statement by statement, at which step of the decision process it fell behind, how its next hop resolves; and for each
// neighbour whether it was told, and if not, why. In: a prefix id. Out: plain data, made on demand.
import { formatAddress } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import { exportReason, type Withheld } from "./adj-rib-out/export-reasons.ts";
import { type DecidedPath, type DecisionReason, decisionReasons } from "./loc-rib/decision-reasons.ts";
import type { LocRib } from "./loc-rib/loc-rib.ts";
import type { PathStatus } from "./loc-rib/source.ts";
import type { PeerFamily } from "./peer-family.ts";
import type { PeerRib } from "./peer-rib.ts";
import type { Names } from "./policy/describe.ts";
import { type PolicyTrace, tracePolicy } from "./policy/trace.ts";
import type { RibCore } from "./rib-core.ts";
import { advertisedView, formatPrefixId, pathView } from "./route-views.ts";
import type { RouteView } from "./views.ts";

export interface PathWhy {
  /** After policy; as received when it was rejected. */
  readonly route: RouteView;
  /** Null: a route of our own. */
  readonly policy: PolicyTrace | null;
  readonly outcome: DecidedPath["outcome"] | "rejected";
  /** The step of the decision process at which another path was better; null: it is the best one, or was not compared. */
  readonly reason: DecisionReason | null;
  readonly unused: DecidedPath["unused"];
  /** Where its next hop is; null: nowhere, or it has none. */
  readonly nextHop: { readonly gateway: string; readonly ifindex: number } | null;
}

export interface ToldWhy {
  readonly peer: string;
  /** What it was told; empty: nothing. */
  readonly routes: readonly RouteView[];
  /** Why nothing. */
  readonly why: string | null;
  /** The export policy on the best path, where that is what keeps it back. */
  readonly policy: PolicyTrace | null;
}

export interface RouteWhy {
  readonly prefix: string;
  /** By name, and kernel table id. */
  readonly table: string;
  readonly tableId: number;
  /** Best first. */
  readonly paths: readonly PathWhy[];
}

/** Of each table that has heard of the prefix; empty: none has. */
export function routesWhy(core: RibCore, peers: readonly PeerRib[], prefix: Prefix, names: Names): RouteWhy[] {
  const id = idOf(core, prefix);
  if (id === 0) return [];
  const locRibs = core.locRibs.filter((locRib) => locRib.family === prefix.family);
  return locRibs
    .map((locRib) => ({
      prefix: formatPrefixId(locRib.prefixes, id),
      table: locRib.tableName,
      tableId: locRib.table,
      paths: pathsOf(core, peers, locRib, id, names),
    }))
    .filter(({ paths }) => paths.length > 0);
}

/** What each of these peers was told of a table's route, or why nothing. */
export function routesTold(
  core: RibCore,
  peers: readonly PeerRib[],
  prefix: Prefix,
  table: number,
  names: Names,
): ToldWhy[] {
  const id = idOf(core, prefix);
  const locRib = core.locRibs.find((one) => one.table === table && one.family === prefix.family);
  return id === 0 || !locRib ? [] : peers.map((peer) => toldWhy(core, peer, locRib, id, names));
}

function idOf(core: RibCore, { family, bytes, length }: Prefix): number {
  return core.prefixes[family].find(bytes, 0, length);
}

function pathsOf(core: RibCore, peers: readonly PeerRib[], locRib: LocRib, id: number, names: Names): PathWhy[] {
  const { store, nextHops } = core;
  const statuses = locRib.pathsOf(id);
  const decided = decisionReasons([...locRib.select(id, "all")], store, locRib.options);
  const order = new Map(decided.map((path, i) => [path.candidate.source, { ...path, at: i }]));
  const why = statuses.map((path): { at: number; why: PathWhy } => {
    const { source, attributes } = path;
    const found = order.get(source);
    const policy = source.local ? null : traceOf(peers, path, locRib, id, names);
    const view = pathView(locRib, store, id, path);
    const elsewhere = path.rejected === "policy" && policy?.verdict === "accept";
    const route = elsewhere ? { ...view, rejected: `its policy sends it to table ${policy.after?.table}` } : view;
    const resolved = attributes === 0 ? null : nextHops.resolved(path.nextHop);
    const nextHop = resolved && { gateway: formatAddress(resolved.gateway), ifindex: resolved.ifindex };
    const { outcome = "rejected" as const, reason = null, unused = null } = found ?? {};
    return { at: found?.at ?? statuses.length, why: { route, policy, outcome, reason, unused, nextHop } };
  });
  return why.sort((a, b) => a.at - b.at).map((path) => path.why);
}

function traceOf(
  peers: readonly PeerRib[],
  { source, raw }: PathStatus,
  { prefixes }: LocRib,
  id: number,
  names: Names,
): PolicyTrace | null {
  const peer = peers.find(({ options }) => options.name === source.name);
  if (!peer) return null;
  const route = { prefix: prefixOf(prefixes, id), peer: source.name, attributes: source.filter.input(raw) };
  return tracePolicy(peer.options.import, route, names);
}

function prefixOf(prefixes: LocRib["prefixes"], id: number) {
  const bytes = new Uint8Array(prefixes.family === 4 ? 4 : 16);
  const length = prefixes.read(id, bytes, 0);
  return { family: prefixes.family, bytes, length };
}

function toldWhy(core: RibCore, peer: PeerRib, locRib: LocRib, id: number, names: Names): ToldWhy {
  const { name } = peer.options;
  const part = peer.families.get(locRib.family) as PeerFamily;
  const { adjRibOut } = part;
  const nothing = (why: string, policy: PolicyTrace | null = null): ToldWhy => ({
    peer: name,
    routes: [],
    why,
    policy,
  });
  if (part.locRib !== locRib) return nothing(`it is served from table ${part.locRib.tableName}`);
  if (!peer.session) return nothing("there is no session");
  if (!adjRibOut) return nothing(`no IPv${locRib.family} routes are exchanged with it`);
  const told = adjRibOut.advertised(id);
  if (told.length > 0)
    return {
      peer: name,
      routes: told.map((each) => advertisedView(locRib, core.sets, adjRibOut, id, each)),
      why: null,
      policy: null,
    };
  const own = adjRibOut.defaultRoute;
  if (own?.id === id) {
    if (!own.wanted) return nothing("its default route is ours, and no route in use is as defaultOriginate.while says");
    return nothing(own.set === 0 ? WORDS["no next hop or too long"] : "it is about to be told");
  }
  const attributes = locRib.bestOf(id);
  const source = locRib.sourceOf(id);
  if (attributes === 0 || !source) return nothing("no path is in use");
  const { withheld, input } = exportReason(adjRibOut.group, name, id, { attributes, source }, core.store);
  if (withheld === null)
    return nothing(core.restarting ? "it waits until our restart is over" : "it is about to be told");
  if (withheld !== "export policy" || !input) return nothing(WORDS[withheld]);
  const route = { prefix: prefixOf(locRib.prefixes, id), peer: source.name, attributes: input };
  return nothing(WORDS[withheld], tracePolicy(peer.options.export, route, names));
}

const WORDS: Readonly<Record<Withheld, string>> = {
  "its own route": "the path in use comes from it",
  "from within our AS, and it is no client":
    "the path in use comes from within our AS, and it is no client of ours (RFC 4456)",
  "community no-advertise or no-export":
    "the path in use has community no-advertise, or no-export towards another AS (RFC 1997)",
  "long-lived stale": "the path in use is long-lived stale, which this neighbour does not know (RFC 9494)",
  "only to customer (OTC)": "the path in use goes to customers only (OTC, RFC 9234)",
  "export policy": "its export policy rejects the path in use",
  "no next hop or too long": "there is no next hop that can be told, or the attributes are too long",
};
