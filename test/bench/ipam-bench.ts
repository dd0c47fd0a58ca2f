// The loads of ipam.bench.mjs: a node with one big block of each family, as full as it gets, and pods that come and go.
import { type Allocation, Allocator } from "../../cni/ipam/allocator.ts";
import type { PoolOptions } from "../../cni/types.ts";

const CHURN = 20_000;

const shapes: Readonly<Record<string, Partial<PoolOptions>>> = {
  plain: {},
  "cooldown and sticky": { cooldown: 1, sticky: { by: "pod-name", for: 3600, limit: 2000 } },
  "2,700 exclusions": { exclude: Array.from({ length: 2700 }, (_, i) => `10.0.${(20 * i) >> 8}.${(20 * i) & 255}`) },
};

/** One line per measurement. */
export function* run(pods: number): Iterable<string> {
  for (const [name, shape] of Object.entries(shapes)) {
    let now = 0;
    const blocks = ["10.0.0.0/16", "2001:db8::/64"];
    const pool: PoolOptions = { name: "p", blocks, exclude: [], table: 7100, ...shape };
    const memory = process.memoryUsage().heapUsed;
    const started = performance.now();
    const allocator = new Allocator([pool], { now: () => now });
    yield `${name}: set up in ${(performance.now() - started).toFixed(1)} ms`;
    const live: Allocation[] = [];
    const add = (i: number) =>
      live.push(allocator.allocate({ pools: ["p"], identity: `ns/pod-${i}@net/eth0`, keep: "name" }));
    yield `${name}: ${measure(pods, add)} per allocation up to ${pods} pods`;
    const churn = measure(CHURN, (i) => {
      now += 10;
      const at = (i * 7919) % live.length;
      const { addresses, sequence } = live[at];
      live[at] = live[live.length - 1];
      live.pop();
      allocator.release(addresses, sequence);
      add(pods + i);
    });
    yield `${name}: ${churn} per release and allocation`;
    const heap = (process.memoryUsage().heapUsed - memory) / pods;
    yield `${name}: ${Math.round(heap)} bytes of heap per pod, ${measure(1000, () => allocator.use("p"))} to count`;
    const next = performance.now();
    allocator.setPools([{ ...pool, blocks: [...blocks, "10.1.0.0/24"] }]);
    yield `${name}: one more block in ${(performance.now() - next).toFixed(1)} ms`;
  }
}

/** Microseconds: the mean, and the longest. */
function measure(count: number, work: (i: number) => void): string {
  let longest = 0;
  const started = performance.now();
  for (let i = 0; i < count; i++) {
    const before = performance.now();
    work(i);
    longest = Math.max(longest, performance.now() - before);
  }
  const mean = (performance.now() - started) / count;
  return `${(mean * 1000).toFixed(1)} us (at most ${(longest * 1000).toFixed(0)})`;
}
