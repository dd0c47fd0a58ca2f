// The decision process (RFC 4271 §9.1.2) over all eligible paths of one prefix. One ordered comparison:
//
//   1  our own routes first (what Cisco and FRR do by weight: nobody can take away a block from its node)
//      long-lived stale (LLGR_STALE) after anything else    RFC 9494 §4.3
//   2  highest weight, given by an import policy of this node alone, as Cisco and FRR have it
//   3  highest LOCAL_PREF                                  §9.1.1
//   4  shortest AS path                                    §9.1.2.2 a
//   5  lowest origin                                       §9.1.2.2 b
//   6  lowest MED among paths from the same neighbour AS   §9.1.2.2 c   (alwaysCompareMed: among all)
//   7  eBGP before iBGP                                    §9.1.2.2 d
//      (interior cost, e: next hops are directly connected, all equal)
//   8  fresh before stale (RFC 4724): a stale path is never used beside a fresh one
//      -- paths equal up to here are used together, up to maxPaths next hops, whatever their AS paths (without
//      multipathRelax: only those with the AS path of the best one) --
//   9  lowest BGP identifier, or ORIGINATOR_ID             §9.1.2.2 f, RFC 4456 §9
//  10  shortest CLUSTER_LIST                               RFC 4456 §9
//  11  lowest peer address                                 §9.1.2.2 g
//  12  lowest path identifier, between paths of one peer   RFC 7911
//
// Step 6 looks at the set as a whole, as the RFC's pseudo code does, and not at pairs in some order: the result depends
// on nothing but the set of paths ("deterministic MED").
import type { AttributeStore } from "../attribute-store.ts";
import type { BestPathOptions } from "./best-path-options.ts";
import type { RouteSource } from "./source.ts";

export interface Candidate {
  source: RouteSource;
  /** Attribute id after import policy. */
  attributes: number;
  /** Next hop id, 0 for our own routes. */
  nextHop: number;
  stale: boolean;
  /** 0 without ADD-PATH. */
  pathId: number;
}

type Comparison = (a: Candidate, b: Candidate, store: AttributeStore) => number;

/** Steps 1 to 5; negative: `a` is better. */
const beforeMed: Comparison = (a, b, store) =>
  Number(b.source.local) - Number(a.source.local) ||
  Number(store.isLongLivedStale(a.attributes)) - Number(store.isLongLivedStale(b.attributes)) ||
  store.weight[b.attributes] - store.weight[a.attributes] ||
  store.localPref[b.attributes] - store.localPref[a.attributes] ||
  store.pathLength[a.attributes] - store.pathLength[b.attributes] ||
  store.origin[a.attributes] - store.origin[b.attributes];

/** Steps 7 and 8. */
const afterMed: Comparison = (a, b) =>
  Number(b.source.session.ebgp) - Number(a.source.session.ebgp) || Number(a.stale) - Number(b.stale);

/** Steps 9 to 12, and the peer's name where two neighbours have one link-local address: never 0 for two sources. */
const tieBreak: Comparison = (a, b, store) =>
  (store.originatorId[a.attributes] || a.source.session.routerId) -
    (store.originatorId[b.attributes] || b.source.session.routerId) ||
  store.clusterLength[a.attributes] - store.clusterLength[b.attributes] ||
  compareAddresses(a.source.session.address, b.source.session.address) ||
  (a.source.name === b.source.name ? a.pathId - b.pathId : a.source.name < b.source.name ? -1 : 1);

/**
 * Orders candidates[0, count) in place so that the paths in use come first, the best one at 0. Returns how many are in use.
 */
export function decide(
  candidates: Candidate[],
  count: number,
  store: AttributeStore,
  options: BestPathOptions,
): number {
  let used = keepBest(candidates, count, store, beforeMed);
  if (used > 1) used = keepLowestMed(candidates, used, store, options.alwaysCompareMed);
  if (used > 1) used = keepBest(candidates, used, store, afterMed);
  if (used > 1) sort(candidates, used, store);
  if (used === 0 || candidates[0].source.local) return Math.min(used, 1);
  return distinctNextHops(candidates, used, store, options);
}

/** All candidates in order: the best one, then the best one of the rest, and so on. */
export function bestFirst(
  candidates: readonly Candidate[],
  store: AttributeStore,
  options: BestPathOptions,
): Candidate[] {
  const rest = [...candidates];
  const ordered: Candidate[] = [];
  while (rest.length > 0) {
    decide(rest, rest.length, store, options);
    ordered.push(...rest.splice(0, 1));
  }
  return ordered;
}

/** Moves the candidates that nobody beats to the front, in no particular order; returns how many. */
function keepBest(candidates: Candidate[], count: number, store: AttributeStore, compare: Comparison): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const order = kept === 0 ? -1 : compare(candidates[i], candidates[0], store);
    if (order > 0) continue;
    if (order < 0) kept = 0;
    swap(candidates, i, kept++);
  }
  return kept;
}

/** Step 6. */
function keepLowestMed(candidates: Candidate[], count: number, store: AttributeStore, always: boolean): number {
  const { med, neighborAs } = store;
  const first = med[candidates[0].attributes];
  let differ = false;
  for (let i = 1; i < count && !differ; i++) differ = med[candidates[i].attributes] !== first;
  if (!differ) return count;
  const rival = (attributes: number) => (always ? 0 : neighborAs[attributes]);
  const lowest = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const { attributes } = candidates[i];
    const known = lowest.get(rival(attributes));
    if (known === undefined || med[attributes] < known) lowest.set(rival(attributes), med[attributes]);
  }
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const { attributes } = candidates[i];
    if (med[attributes] === lowest.get(rival(attributes))) swap(candidates, i, kept++);
  }
  return kept;
}

/** Insertion sort by the last steps: few candidates, and mostly in order already. */
function sort(candidates: Candidate[], count: number, store: AttributeStore): void {
  for (let i = 1; i < count; i++) {
    for (let j = i; j > 0 && tieBreak(candidates[j], candidates[j - 1], store) < 0; j--) swap(candidates, j, j - 1);
  }
}

/** Multipath: the first maxPaths candidates with different next hops move to the front. */
function distinctNextHops(
  candidates: Candidate[],
  count: number,
  store: AttributeStore,
  { maxPaths, maxPathsIbgp, multipathRelax }: BestPathOptions,
): number {
  const [best] = candidates;
  const most = best.source.session.ebgp ? maxPaths : maxPathsIbgp;
  let used = 1;
  for (let i = 1; i < count && used < most; i++) {
    let known = !multipathRelax && !store.sameAsPath(candidates[i].attributes, best.attributes);
    for (let j = 0; j < used && !known; j++) known = candidates[j].nextHop === candidates[i].nextHop;
    if (!known) swap(candidates, i, used++);
  }
  return used;
}

function swap(candidates: Candidate[], i: number, j: number): void {
  const candidate = candidates[i];
  candidates[i] = candidates[j];
  candidates[j] = candidate;
}

function compareAddresses(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}
