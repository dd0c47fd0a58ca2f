// What can happen on a node, out of chance that can be repeated.
import { random } from "../../blocks/scheduler.ts";

const weights = {
  add: 30,
  del: 14,
  swap: 10,
  check: 2,
  gc: 2,
  go: 30,
  calm: 10,
  vanish: 5,
  start: 14,
  kill: 3,
  crashSoon: 7,
  powerSoon: 5,
  powerCut: 2,
  reboot: 1,
  stop: 2,
  fault: 4,
  heal: 4,
  refuse: 7,
  lose: 1,
  rot: 1,
  cut: 1,
  alias: 1,
  unmount: 2,
  watch: 4,
  displace: 1,
  clock: 1,
} as const;

export type DeedKind = keyof typeof weights;

export interface Deed {
  readonly kind: DeedKind;
  /** Which, how many, and in what order. */
  readonly n: number;
}

const urn = Object.entries(weights).flatMap(([kind, weight]) => Array<DeedKind>(weight).fill(kind as DeedKind));

/** The first is always a start. */
export function deedsOf(seed: number): Deed[] {
  const chance = random(seed);
  const length = 4 + chance(seed % 20 === 0 ? 80 : 24);
  const deeds: Deed[] = [
    { kind: "start", n: 0 },
    { kind: "calm", n: 0 },
  ];
  for (let i = 0; i < length; i++) deeds.push({ kind: urn[chance(urn.length)], n: chance(1 << 20) });
  return deeds;
}
