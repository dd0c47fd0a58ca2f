// Dirty routes -> netlink batches. Some hundred messages go to the kernel with one system call, and every failure is
// mapped back to its route. The first write of a route uses NLM_F_EXCL: a route of somebody else with the same table,
// prefix and metric is never replaced; NLM_F_REPLACE is for routes known to be ours.
import { constants } from "node:os";
import { formatAddress } from "../../net/address.ts";
import { errnoName } from "../../net/native.ts";
import { Flag } from "../netlink/constants.ts";
import { encodeRouteById } from "../netlink/route.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { METRIC, type Ownership } from "../ownership.ts";
import type { Failures } from "./failures.ts";
import type { NextHops } from "./next-hops.ts";
import type { RouteTable } from "./route-table.ts";
import type { Routes } from "./routes.ts";

/** Messages per system call; more gains nothing. */
const BATCH = 400;

export interface WriterEvents {
  /** A write failed in a way that says that our view of the kernel's objects or routes may be wrong. */
  doubt(about: "nextHops" | "routes"): void;
}

export class RouteWriter {
  readonly #socket: NetlinkSocket;
  readonly #ownership: Ownership;
  readonly #routes: Routes;
  readonly #nextHops: NextHops;
  readonly #failures: Failures;
  readonly #events: WriterEvents;
  readonly #ids = new Uint32Array(BATCH);
  readonly #wanted = new Uint32Array(BATCH);
  readonly #tables: RouteTable[] = [];
  /** Since the last reset by the owner. */
  added = 0;
  removed = 0;
  failed = 0;

  constructor(
    socket: NetlinkSocket,
    ownership: Ownership,
    routes: Routes,
    nextHops: NextHops,
    failures: Failures,
    events: WriterEvents,
  ) {
    this.#socket = socket;
    this.#ownership = ownership;
    this.#routes = routes;
    this.#nextHops = nextHops;
    this.#failures = failures;
    this.#events = events;
  }

  /** Writes one batch. Returns false when nothing is left to do. Throws when the kernel's answers were lost. */
  writeBatch(): boolean {
    const count = this.#encode();
    if (count === 0) return false;
    let failures: ReturnType<NetlinkSocket["flush"]>;
    try {
      failures = this.#socket.flush();
    } catch (error) {
      // The outcome is unknown: the owner has the kernel's state read anew, and then these are tried again.
      for (let i = 0; i < count; i++) this.#fail(i, "the kernel's answer was lost");
      throw error;
    }
    let nextFailure = 0;
    for (let i = 0; i < count; i++) {
      if (nextFailure < failures.length && failures[nextFailure].index === i) {
        const { errno, text } = failures[nextFailure++];
        this.#refused(i, errno, text);
      } else this.#done(i);
    }
    return true;
  }

  #encode(): number {
    const { out } = this.#socket;
    out.reset();
    let count = 0;
    while (count < BATCH) {
      const table = this.#routes.nextDirtyTable();
      if (!table) break;
      for (let id = 0; count < BATCH; ) {
        id = table.next();
        if (id < 0) break;
        const wanted = this.#nextHops.kernelIdOf(table.desired[id]);
        const present = table.kernel[id];
        // A stale route that nobody has asked for yet stays as it is.
        if (wanted === present || (wanted === 0 && table.isStale(id))) {
          if (this.#failures.size > 0) this.#recovered(table, id);
          table.releaseIfUnused(id);
          continue;
        }
        const flags = wanted === 0 ? 0 : Flag.create | (present === 0 ? Flag.exclusive : Flag.replace);
        const { protocol } = this.#ownership;
        encodeRouteById(
          out,
          flags,
          table.family,
          table.table,
          protocol,
          METRIC,
          table.words,
          (id * table.size) >>> 2,
          table.lengths[id],
          wanted,
        );
        this.#ids[count] = id;
        this.#wanted[count] = wanted;
        this.#tables[count] = table;
        count++;
      }
    }
    return count;
  }

  #done(i: number): void {
    const table = this.#tables[i];
    const id = this.#ids[i];
    const wanted = this.#wanted[i];
    if (this.#failures.size > 0) this.#recovered(table, id);
    this.#routes.setKernel(table, id, wanted);
    if (wanted !== 0) this.added++;
    else {
      this.removed++;
      table.releaseIfUnused(id);
    }
  }

  #refused(i: number, errno: number, text: string): void {
    // Deleting what is not there is what was wanted.
    if (this.#wanted[i] === 0 && errno === constants.errno.ESRCH) this.#done(i);
    else if (errno === constants.errno.EEXIST) {
      this.#fail(
        i,
        `${errnoName(errno)}: a route of another program with this prefix and metric ${METRIC} is in the table`,
      );
      this.#events.doubt("routes");
    } else {
      this.#fail(i, text);
      this.#events.doubt("nextHops");
    }
  }

  #fail(i: number, text: string): void {
    const table = this.#tables[i];
    const id = this.#ids[i];
    table.setFailed(id, true);
    this.failed++;
    this.#failures.add(prefixOf(table, id), table.table, text);
  }

  #recovered(table: RouteTable, id: number): void {
    table.setFailed(id, false);
    this.#failures.remove(prefixOf(table, id), table.table);
  }
}

export function prefixOf(table: RouteTable, id: number): string {
  const at = id * table.size;
  return `${formatAddress(table.addresses.subarray(at, at + table.size))}/${table.lengths[id]}`;
}
