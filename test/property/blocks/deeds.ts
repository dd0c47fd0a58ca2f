// What can happen, how often, and a list of it out of chance.
import { random } from "./scheduler.ts";

export interface Deed {
  readonly kind: DeedKind;
  readonly n: number;
}

/** How often each happens. */
const WEIGHTS = {
  worker: 24,
  main: 24,
  send: 10,
  receive: 10,
  time: 10,
  calm: 3,
  reload: 9,
  podAdd: 5,
  podRemove: 5,
  peerUp: 6,
  peerDown: 3,
  crash: 1,
  crashInWrite: 2,
  start: 4,
  refuse: 2,
  takeAway: 3,
  obstruct: 1,
  replace: 2,
  clear: 2,
  drain: 1,
  undrain: 2,
  stop: 1,
  shutdown: 1,
  uninstall: 1,
} as const;

export type DeedKind = keyof typeof WEIGHTS;

const LOTS = Object.entries(WEIGHTS).flatMap(([kind, weight]) => Array<DeedKind>(weight).fill(kind as DeedKind));

export function deedsOf(seed: number, count: number): Deed[] {
  const next = random(seed);
  const deeds = Array.from({ length: count }, () => ({ kind: LOTS[next(LOTS.length)], n: next(1 << 16) }));
  // Most of what can go wrong goes wrong after a start, not in it.
  return seed % 3 === 0 ? deeds : [{ kind: "calm", n: 0 }, ...deeds];
}

/** The worker and the neighbours keep no promises: nothing goes on in the main thread because of these. */
export const SILENT: ReadonlySet<DeedKind> = new Set([
  "worker",
  "send",
  "receive",
  "peerDown",
  "refuse",
  "takeAway",
  "replace",
  "obstruct",
  "clear",
]);
