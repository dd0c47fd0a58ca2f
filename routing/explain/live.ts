// Explains what becomes of a packet now: reads what is needed of the kernel, simulates, and asks the kernel the same. Where
// the two differ, something has changed between the questions, or the simulation is wrong: after another attempt, both
// are shown.
import { sameBytes } from "../../net/address.ts";
import type { NextHop } from "../netlink/nexthop.ts";
import type { Route } from "../netlink/route.ts";
import { askKernel } from "./ask.ts";
import { type Collected, type CollectOptions, collect } from "./collect.ts";
import { disagreement, type KernelAnswer } from "./compare.ts";
import { simulate } from "./simulate.ts";
import type { Explanation, Flow, LinkState } from "./types.ts";

const ATTEMPTS = 3;

export interface LiveExplanation {
  readonly explanation: Explanation;
  readonly answer: KernelAnswer;
  /** Null: they agree. */
  readonly difference: string | null;
  /** Tables of which not every route was looked at. */
  readonly partial: readonly number[];
  readonly links: ReadonlyMap<number, LinkState>;
  readonly nextHops: ReadonlyMap<number, NextHop>;
}

export async function explainLive(flow: Flow, options: CollectOptions): Promise<LiveExplanation> {
  for (let attempt = 1; ; attempt++) {
    const collected = await collect(flow, options);
    const answer = ask(flow, options);
    const { snapshot, partial } = completed(collected, answer);
    const explanation = simulate(snapshot, flow);
    const difference = disagreement(explanation, flow, answer);
    if (difference === null || attempt === ATTEMPTS)
      return { explanation, answer, difference, partial, links: snapshot.links, nextHops: snapshot.nextHops };
  }
}

function ask(flow: Flow, { open }: CollectOptions): KernelAnswer {
  const socket = open();
  try {
    return askKernel(socket, flow);
  } finally {
    socket.close();
  }
}

/** A route that the kernel goes by and that was not read, because its table was not read as a whole. */
function completed({ snapshot, partial }: Collected, { match }: KernelAnswer): Collected {
  if (!match || !partial.includes(match.table)) return { snapshot, partial };
  const known = snapshot.tables.get(match.table) ?? [];
  if (known.some((route) => sameRoute(route, match))) return { snapshot, partial };
  const tables = new Map(snapshot.tables).set(match.table, [...known, match]);
  return { snapshot: { ...snapshot, tables }, partial };
}

function sameRoute(a: Route, b: Route): boolean {
  return (
    a.length === b.length && a.priority === b.priority && a.tos === b.tos && sameBytes(a.destination, b.destination)
  );
}
