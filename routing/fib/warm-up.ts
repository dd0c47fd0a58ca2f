// Runs the write path's code before there is something to write. V8 compiles what has run often enough; without this a table
// of 100,000 routes waits for the compiler longer than for the kernel (decision 0010). The same parts as in the engine,
// on a socket that sends nothing: routes of both families are added, moved to another group and withdrawn. In slices of
// a few milliseconds, so that commands are served meanwhile. Nothing of it is left afterwards but compiled code.
import type { Clock } from "../../net/clock.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { WriteLog } from "../netlink/write-log.ts";
import { Ownership } from "../ownership.ts";
import type { RouteBatch, RoutingOptions } from "../types.ts";
import { Failures } from "./failures.ts";
import { NextHops } from "./next-hops.ts";
import { Routes } from "./routes.ts";
import { RouteWriter } from "./writer.ts";

const ROUTES = 8192;
const ROUNDS = 3;
/** Milliseconds per turn of the event loop. */
const SLICE = 4;

/** Resolves when all has been run, or `stopped` says so. */
export async function warmUp(options: RoutingOptions, clock: Clock, stopped: () => boolean): Promise<void> {
  const still: Clock = { now: () => clock.now(), after: () => ({ cancel: () => undefined }) };
  const socket = new NetlinkSocket(null);
  const log = new WriteLog(still, { operations: () => undefined, routes: () => undefined });
  const context = { nameOf: (ifindex: number) => `${ifindex}` };
  socket.onWritten = (bytes, failures) => log.written(bytes, failures, context);
  const routes = new Routes();
  const ownership = new Ownership(options);
  const nextHops = new NextHops(socket, ownership, options, {
    isUp: () => true,
    answers: () => true,
    groupGone: (group) => routes.groupGone(group),
    setChanged: (set) => routes.setChanged(set),
    routesOf: (group) => routes.usersOf(group),
    usedBy: (group, set) => routes.usedBy(group, set),
    problem: () => undefined,
    refused: () => undefined,
  });
  for (const set of [1, 2]) nextHops.define(set, [{ ifindex: 1, gateway: Uint8Array.of(192, 0, 2, set), weight: 1 }]);
  const failures = new Failures(still, () => undefined);
  const writer = new RouteWriter(socket, ownership, routes, nextHops, failures, { doubt: () => undefined });
  for (let round = 0; round < ROUNDS; round++) {
    for (const set of [1, 2, 0])
      for (const family of [4, 6, 4] as const) {
        // A copy is what comes from another thread: to V8 it is of another kind than the original.
        routes.apply(structuredClone(scratchBatch(family, round, set)));
        for (let until = clock.now() + SLICE; writer.writeBatch(); ) {
          if (clock.now() < until) continue;
          await new Promise(setImmediate);
          if (stopped()) return;
          until = clock.now() + SLICE;
        }
      }
    routes.forgetUnused();
  }
  log.flush();
}

/** Prefixes as scattered as those of a table from outside. */
function scratchBatch(family: 4 | 6, round: number, set: number): RouteBatch {
  const size = family === 4 ? 4 : 16;
  const addresses = new Uint8Array(ROUTES * size);
  for (let i = 0; i < ROUTES; i++) {
    const value = Math.imul(i + round, 0x9e3779b1);
    addresses.set([value >>> 24, value >>> 16, value >>> 8, 0], i * size);
  }
  const lengths = new Uint8Array(ROUTES).fill(family === 4 ? 24 : 48);
  return { family, table: 0, count: ROUTES, addresses, lengths, nextHopSets: new Uint32Array(ROUTES).fill(set) };
}
