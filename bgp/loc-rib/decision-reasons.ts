// Why a path was chosen, or was not: the steps of decision.ts one by one, with the values that decided. In: the
// eligible paths of one prefix. Out: for each the step at which it fell behind, and what was better there. Slow, for
// those who ask; a property test holds it to decide().
import { formatAddress, formatIpv4 } from "../../net/address.ts";
import type { AttributeStore } from "../attribute-store.ts";
import type { BestPathOptions } from "./best-path-options.ts";
import { type Candidate, decide } from "./decision.ts";

export type DecisionStep =
  | "originated here"
  | "long-lived stale"
  | "weight"
  | "LOCAL_PREF"
  | "AS path length"
  | "origin"
  | "MED"
  | "eBGP before iBGP"
  | "stale"
  | "BGP identifier"
  | "CLUSTER_LIST length"
  | "peer address"
  | "path identifier"
  /** Two neighbours of one address on different links. */
  | "peer name";

export interface DecisionReason {
  readonly step: DecisionStep;
  /** The value of the path, and the better one that it fell behind. */
  readonly value: string;
  readonly better: string;
}

export interface DecidedPath {
  readonly candidate: Candidate;
  readonly outcome: "best" | "multipath" | "not used";
  /** Null for the best path. Of a path in use beside it: why it is not the best one. */
  readonly reason: DecisionReason | null;
  /** Why a path that equals the best one in all that counts is not used beside it. */
  readonly unused: "maxPaths" | "same next hop" | "other AS path" | "routes of our own are used alone" | null;
}

interface Step {
  readonly step: DecisionStep;
  /** The lower, the better. */
  readonly key: (candidate: Candidate, store: AttributeStore) => number;
  readonly text: (candidate: Candidate, store: AttributeStore) => string;
}

const yesNo = (value: boolean) => (value ? "yes" : "no");
const ORIGINS = ["igp", "egp", "incomplete"];

/** A step that prefers the lower or higher of a column. */
function column(step: DecisionStep, of: (store: AttributeStore) => ArrayLike<number>, sign: 1 | -1): Step {
  return {
    step,
    key: ({ attributes }, store) => sign * of(store)[attributes],
    text: ({ attributes }, store) => String(of(store)[attributes]),
  };
}

/** A step that prefers those for which something holds. */
function first(step: DecisionStep, holds: (candidate: Candidate, store: AttributeStore) => boolean): Step {
  return {
    step,
    key: (candidate, store) => (holds(candidate, store) ? 0 : 1),
    text: (candidate, store) => yesNo(holds(candidate, store)),
  };
}

/** A step that prefers those for which something does not hold. */
function last(step: DecisionStep, holds: (candidate: Candidate, store: AttributeStore) => boolean): Step {
  const text = (candidate: Candidate, store: AttributeStore) => yesNo(holds(candidate, store));
  return { step, key: (candidate, store) => (holds(candidate, store) ? 1 : 0), text };
}

const beforeMed: readonly Step[] = [
  first("originated here", ({ source }) => source.local),
  last("long-lived stale", ({ attributes }, store) => store.isLongLivedStale(attributes)),
  column("weight", (store) => store.weight, -1),
  column("LOCAL_PREF", (store) => store.localPref, -1),
  column("AS path length", (store) => store.pathLength, 1),
  {
    ...column("origin", (store) => store.origin, 1),
    text: ({ attributes }, store) => ORIGINS[store.origin[attributes]],
  },
];
const afterMed: readonly Step[] = [
  first("eBGP before iBGP", ({ source }) => source.session.ebgp),
  last("stale", ({ stale }) => stale),
];

const identifier = ({ attributes, source }: Candidate, store: AttributeStore) =>
  store.originatorId[attributes] || source.session.routerId;

/** The tie break between two paths: the step, and whether `a` wins. */
function tieBreak(a: Candidate, b: Candidate, store: AttributeStore): DecisionReason {
  const of = (step: DecisionStep, text: (candidate: Candidate) => string) => ({
    step,
    value: text(a),
    better: text(b),
  });
  if (identifier(a, store) !== identifier(b, store))
    return of("BGP identifier", (candidate) => formatIpv4(identifier(candidate, store)));
  if (store.clusterLength[a.attributes] !== store.clusterLength[b.attributes])
    return of("CLUSTER_LIST length", ({ attributes }) => String(store.clusterLength[attributes]));
  const address = ({ source }: Candidate) => formatAddress(source.session.address);
  if (address(a) !== address(b)) return of("peer address", address);
  return a.source.name === b.source.name
    ? of("path identifier", ({ pathId }) => String(pathId))
    : of("peer name", ({ source }) => source.name);
}

/** Best first, then those in use beside it, then the others, the ones that came furthest first. */
export function decisionReasons(
  candidates: readonly Candidate[],
  store: AttributeStore,
  options: BestPathOptions,
): DecidedPath[] {
  let left = [...candidates];
  const fallen: DecidedPath[] = [];
  const drop = (candidate: Candidate, reason: DecisionReason) =>
    fallen.unshift({ candidate, outcome: "not used", reason, unused: null });
  const keepBest = ({ step, key, text }: Step) => {
    const best = Math.min(...left.map((candidate) => key(candidate, store)));
    const winner = left.find((candidate) => key(candidate, store) === best);
    left = left.filter((candidate) => {
      if (key(candidate, store) === best || !winner) return true;
      drop(candidate, { step, value: text(candidate, store), better: text(winner, store) });
      return false;
    });
  };
  for (const step of beforeMed) keepBest(step);
  const rival = ({ attributes }: Candidate) => (options.alwaysCompareMed ? 0 : store.neighborAs[attributes]);
  const med = ({ attributes }: Candidate) => store.med[attributes];
  const before = left;
  left = before.filter((candidate) => {
    const lowest = Math.min(...before.filter((other) => rival(other) === rival(candidate)).map(med));
    if (med(candidate) === lowest) return true;
    drop(candidate, { step: "MED", value: String(med(candidate)), better: String(lowest) });
    return false;
  });
  for (const step of afterMed) keepBest(step);
  const ordered = [...left];
  const used = decide(ordered, ordered.length, store, options);
  const equal = ordered.map((candidate, i): DecidedPath => {
    if (i === 0) return { candidate, outcome: "best", reason: null, unused: null };
    const reason = tieBreak(candidate, ordered[0], store);
    if (i < used) return { candidate, outcome: "multipath", reason, unused: null };
    return {
      candidate,
      outcome: "not used",
      reason,
      unused: unusedWhy(candidate, ordered.slice(0, used), store, options),
    };
  });
  return [...equal, ...fallen];
}

function unusedWhy(
  candidate: Candidate,
  used: readonly Candidate[],
  store: AttributeStore,
  options: BestPathOptions,
): DecidedPath["unused"] {
  const [best] = used;
  if (best.source.local) return "routes of our own are used alone";
  if (!options.multipathRelax && !store.sameAsPath(candidate.attributes, best.attributes)) return "other AS path";
  return used.some(({ nextHop }) => nextHop === candidate.nextHop) ? "same next hop" : "maxPaths";
}
