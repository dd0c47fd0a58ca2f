// The fib worker's inside: what is wanted on one side, the kernel on the other, and everything that keeps them equal.
//
//   batches ----> Routes --dirty--> RouteWriter --\
//   sets    ----> NextHops ------------------------+--> NetlinkSocket --> kernel
//   owned, pods-> StaticRoutes, Rules ------------/                         |
//        links, repairs, resync <---------------------- KernelWatch <-------/
//
// Commands act at once; learned routes are written in slices of a few milliseconds between them, so that the owned
// state, a pod or a lost uplink never waits for a bulk load. What the kernel loses in silence (carrier, overrun) is
// found by dumps. Nothing without our protocol number is changed.
import type { Clock, Timer } from "../../net/clock.ts";
import { MessageType } from "../netlink/constants.ts";
import { decodeNextHop, encodeNextHopDump } from "../netlink/nexthop.ts";
import { decodeRoute, encodeRouteDump, RouteReader } from "../netlink/route.ts";
import { decodeRule } from "../netlink/rule.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { METRIC, Ownership } from "../ownership.ts";
import type {
  FibStatus,
  KernelEvent,
  KernelRoute,
  KernelRule,
  LinkInfo,
  NextHopMember,
  OwnedState,
  PodRoute,
  RouteBatch,
} from "../types.ts";
import { KernelWatch } from "../watch.ts";
import { Damper } from "./damper.ts";
import { Failures } from "./failures.ts";
import { Links } from "./links.ts";
import { NextHops } from "./next-hops.ts";
import { requireNetAdmin } from "./privilege.ts";
import type { WorkerOptions } from "./protocol.ts";
import { removeEverything } from "./remove.ts";
import { Routes } from "./routes.ts";
import { Rules } from "./rules.ts";
import { isLearned, StaticRoutes } from "./static-routes.ts";
import { applySysctls } from "./sysctls.ts";
import { routeView, ruleView } from "./views.ts";
import { prefixOf, RouteWriter } from "./writer.ts";

const SLICE_MS = 4;
const LINKS_REPORT_MS = 5;
const REPAIR_MS = { first: 5, last: 5000 };
const RESYNC_MS = { first: 50, last: 5000 };
const DOUBT_INTERVAL_MS = 30_000;
const DUMP_ATTEMPTS = 4;
const RTM_F_CLONED = 0x200;

export interface EngineDeps {
  readonly clock: Clock;
  event(event: KernelEvent): void;
  links(links: LinkInfo[]): void;
}

export class FibEngine {
  readonly #options: WorkerOptions;
  readonly #deps: EngineDeps;
  readonly #install: boolean;
  readonly #ownership: Ownership;
  readonly #socket = new NetlinkSocket();
  readonly #dumpSocket = new NetlinkSocket();
  readonly #links = new Links();
  readonly #routes = new Routes();
  readonly #static: StaticRoutes;
  readonly #rules: Rules;
  readonly #nextHops: NextHops;
  readonly #failures: Failures;
  readonly #writer: RouteWriter;
  readonly #reader = new RouteReader();
  readonly #repairs: Damper;
  readonly #resyncs: Damper;
  #watch: KernelWatch | null = null;
  #flushWaiters: (() => void)[] = [];
  #sliceScheduled = false;
  #bulkStart = 0;
  #linksTimer: Timer | null = null;
  #staleTimer: Timer | null = null;
  #nextHopsInDoubt = false;
  #lost = 0;
  #resyncCount = 0;
  #overrunCount = 0;
  #resyncing = false;
  #resyncAgain = false;
  #lastDoubt = Number.NEGATIVE_INFINITY;
  #swept = false;
  #stopped = false;

  constructor(options: WorkerOptions, deps: EngineDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#install = options.routing.install;
    this.#ownership = new Ownership(options.routing);
    this.#static = new StaticRoutes(this.#socket, this.#ownership);
    this.#rules = new Rules(this.#socket, this.#ownership);
    this.#nextHops = new NextHops(this.#socket, this.#ownership, options.routing, {
      isUp: (ifindex) => this.#links.isUp(ifindex),
      groupGone: (group) => this.#routes.groupGone(group),
      setChanged: (set) => this.#routes.setChanged(set),
      routesOf: (group) => this.#routes.usersOf(group),
      usedBy: (group, set) => this.#routes.usedBy(group, set),
      problem: (message) => deps.event({ kind: "error", message }),
    });
    this.#failures = new Failures(deps.clock, () => {
      this.#guard(() => this.#nextHops.reconcile());
      this.#routes.retryFailed();
      this.#schedule();
    });
    this.#writer = new RouteWriter(this.#socket, this.#ownership, this.#routes, this.#nextHops, this.#failures, {
      doubt: (about, reason) => this.#doubt(about, reason),
    });
    this.#repairs = new Damper(deps.clock, REPAIR_MS, () => this.#guard(() => this.#repair()));
    this.#resyncs = new Damper(deps.clock, RESYNC_MS, () => void this.#resync());
  }

  /** Opens what is needed and takes stock of what a former run left. Rejects with what is missing. */
  async start(): Promise<void> {
    const { routing, receiveBuffer } = this.#options;
    if (this.#install) {
      requireNetAdmin(this.#socket);
      if (routing.sysctls) for (const message of applySysctls()) this.#deps.event({ kind: "error", message });
    }
    const ignorePortId = this.#install ? this.#socket.portId : null;
    this.#watch = new KernelWatch(
      { ignorePortId, protocol: routing.protocol, receiveBuffer },
      {
        message: (buffer, start, end, type) => this.#notified(buffer, start, end, type),
        turn: () => this.#guard(() => this.#afterNotifications()),
        overrun: () => this.#overrun(),
        error: (message) => this.#deps.event({ kind: "error", message }),
      },
    );
    this.#links.load(this.#socket);
    this.#deps.links(this.#links.snapshot());
    if (!this.#install) return;
    this.#nextHops.reconcile();
    this.#rules.adopt();
    await this.#dumpRoutes(true);
    const stale = this.#stale();
    if (stale === 0) {
      this.#swept = true;
      this.#nextHops.sweep();
      return;
    }
    this.#deps.event({
      kind: "adopted",
      count: stale,
      message: `${stale} rules and routes of a former run found and left in place until they are confirmed`,
    });
    this.#staleTimer = this.#deps.clock.after(routing.staleTime * 1000, () => void this.sweepStale());
  }

  setOwned(owned: OwnedState): void {
    if (!this.#install) return;
    const routes = this.#ownership.routes(owned);
    const rules = this.#ownership.rules(owned);
    const changed = this.#static.setOwned(routes);
    this.#rules.want(rules);
    this.#rules.reconcile().remove();
    changed.removeOld();
    this.#reportPreceding();
  }

  setNextHopSet(set: number, members: readonly NextHopMember[]): void {
    if (!this.#install) return;
    this.#nextHops.define(set, members);
    this.#schedule();
  }

  removeNextHopSet(set: number): void {
    if (this.#install) this.#nextHops.release(set);
  }

  apply(batch: RouteBatch): void {
    this.#routes.apply(batch);
    this.#schedule();
  }

  addPodRoutes(pods: readonly PodRoute[]): void {
    if (!this.#install) return;
    this.#static.add(
      pods.map((pod) => this.#ownership.podRoute(pod)),
      "pod",
    );
  }

  removePodRoutes(pods: readonly PodRoute[]): void {
    if (this.#install) this.#static.remove(pods.map((pod) => this.#ownership.podRoute(pod)));
  }

  /** Resolves when nothing is left to write. */
  flush(): Promise<void> {
    return new Promise((resolve) => {
      this.#flushWaiters.push(resolve);
      this.#schedule();
    });
  }

  /** Removes what was adopted and nobody asked for. Resolves to the number of rules and routes. */
  async sweepStale(): Promise<number> {
    this.#staleTimer?.cancel();
    this.#staleTimer = null;
    if (!this.#install || this.#stopped) return 0;
    await this.flush();
    this.#swept = true;
    const rules = this.#rules.stale > 0 ? this.#rules.removeAll() : 0;
    const count = rules + this.#static.sweep() + this.#routes.sweep();
    await this.flush();
    const groups = this.#nextHops.sweep();
    if (count + groups > 0)
      this.#deps.event({ kind: "swept", count, message: `${count} stale rules and routes removed` });
    return count;
  }

  status(): FibStatus {
    return {
      install: this.#install,
      desired: this.#routes.desired,
      installed: this.#routes.installed,
      failed: this.#failures.list(),
      nextHopSets: this.#nextHops.setCount,
      resyncs: this.#resyncCount,
      overruns: this.#overrunCount,
      stale: this.#stale(),
    };
  }

  rules(): KernelRule[] {
    return this.#rules.dump().map((rule) => ruleView(rule, this.#ownership.ownsRule(rule)));
  }

  routes(table: number): KernelRoute[] {
    const nameOf = (ifindex: number) => this.#links.nameOf(ifindex);
    const nextHops = new Map(this.#socket.dump(encodeNextHopDump, decodeNextHop).map((object) => [object.id, object]));
    return ([4, 6] as const).flatMap((family) => {
      const routes = this.#socket.dump((out) => encodeRouteDump(out, family, table), decodeRoute);
      return routes.filter((route) => route.table === table).map((route) => routeView(route, nextHops, nameOf));
    });
  }

  stop(mode: "keep" | "remove"): void {
    this.#stopped = true;
    this.#staleTimer?.cancel();
    this.#linksTimer?.cancel();
    this.#failures.stop();
    this.#repairs.stop();
    this.#resyncs.stop();
    this.#watch?.close();
    try {
      if (mode === "remove" && this.#install)
        removeEverything(this.#socket, this.#ownership, this.#rules, this.#nextHops);
    } finally {
      this.#socket.close();
      this.#dumpSocket.close();
    }
  }

  #stale(): number {
    return this.#routes.stale + this.#static.stale + this.#rules.stale;
  }

  // ---- writing learned routes, in slices ----

  #schedule(): void {
    if (this.#sliceScheduled || this.#stopped) return;
    this.#sliceScheduled = true;
    setImmediate(() => {
      this.#sliceScheduled = false;
      if (!this.#stopped) this.#guard(() => this.#slice());
    });
  }

  #slice(): void {
    const now = this.#deps.clock.now();
    if (this.#bulkStart === 0) this.#bulkStart = now;
    if (!this.#install) this.#forgetDirty();
    else
      while (this.#writer.writeBatch())
        if (this.#deps.clock.now() - now > SLICE_MS) {
          this.#schedule();
          return;
        }
    this.#drained();
  }

  #drained(): void {
    if (this.#install) this.#nextHops.collect();
    const { added, removed, failed } = this.#writer;
    const elapsed = Math.round(this.#deps.clock.now() - this.#bulkStart);
    this.#bulkStart = 0;
    this.#writer.added = this.#writer.removed = this.#writer.failed = 0;
    if (added + removed > 0)
      this.#deps.event({
        kind: "routesInstalled",
        count: added,
        message: `${added} routes written, ${removed} removed in ${elapsed} ms`,
      });
    if (failed > 0) {
      const [first] = this.#failures.list();
      const example = first ? `: ${first.prefix} in table ${first.table}: ${first.error}` : "";
      this.#deps.event({
        kind: "routesFailed",
        count: failed,
        message: `${failed} routes refused by the kernel${example}`,
      });
    }
    const waiters = this.#flushWaiters;
    this.#flushWaiters = [];
    for (const resolve of waiters) resolve();
  }

  /** Routes are held, not installed. */
  #forgetDirty(): void {
    for (const table of this.#routes.tables())
      for (let id = table.next(); id >= 0; id = table.next()) table.releaseIfUnused(id);
  }

  // ---- what the kernel says ----

  #notified(buffer: Buffer, start: number, end: number, type: number): void {
    if (type <= MessageType.delAddress) this.#linkNotified(buffer, start, end, type);
    else if (!this.#install) return;
    else if (type === MessageType.newRoute || type === MessageType.delRoute)
      this.#routeNotified(buffer, start, end, type === MessageType.delRoute);
    else if (type === MessageType.newNextHop || type === MessageType.delNextHop) {
      const nextHop = decodeNextHop(buffer, start, end);
      if (!nextHop || !this.#ownership.ownsNextHopId(nextHop.id)) return;
      this.#nextHopsInDoubt = true;
      this.#repairs.request();
    } else if (type === MessageType.newRule || type === MessageType.delRule) {
      const rule = decodeRule(buffer, start, end);
      if (rule && (this.#ownership.ownsRule(rule) || this.#ownership.precedesOurs(rule))) this.#repairs.request();
    }
  }

  #linkNotified(buffer: Buffer, start: number, end: number, type: number): void {
    const { kind, ifindex } = this.#links.notified(buffer, start, end, type);
    if (kind === "none") return;
    this.#linksTimer ??= this.#deps.clock.after(LINKS_REPORT_MS, () => {
      this.#linksTimer = null;
      this.#deps.links(this.#links.snapshot());
    });
    if (kind === "changed") return;
    this.#linkChanged(ifindex, kind);
  }

  #linkChanged(ifindex: number, kind: "up" | "down" | "removed" | "addressRemoved"): void {
    if (kind === "removed") this.#static.linkRemoved(ifindex);
    else this.#static.suspect(ifindex);
    if (kind === "addressRemoved") {
      this.#lateRestore = true;
      return;
    }
    const name = this.#links.nameOf(ifindex);
    if (name === "lo") this.#static.suspectOwned();
    if (kind !== "removed") this.#deps.event({ kind: "link", message: `${name} is ${kind}` });
    this.#lateRestore = true;
    this.#nextHopsInDoubt = true;
  }
  #lateRestore = false;

  #routeNotified(buffer: Buffer, start: number, end: number, deleted: boolean): void {
    const reader = this.#reader;
    if (!reader.read(buffer, start, end) || reader.flags & RTM_F_CLONED) return;
    const ours = this.#ownership.ownsProtocol(reader.protocol);
    const table = this.#routes.find(reader.family, reader.table);
    const id = table && reader.priority === METRIC ? table.find(reader.address, 0, reader.length) : -1;
    if (!ours) {
      // Somebody's route took the place of ours.
      if (deleted || !table || id < 0 || table.kernel[id] === 0) return;
      this.#routes.setKernel(table, id, 0);
      table.markDirty(id);
      this.#repairs.request();
      const message = `${prefixOf(table, id)} in table ${table.table} was replaced by a route of protocol ${reader.protocol}`;
      this.#deps.event({ kind: "foreign", message });
    } else if (!isLearned(reader, this.#ownership.localTable)) {
      if (!deleted || !this.#static.deleted(reader)) return;
      this.#repairs.request();
    } else if (deleted) {
      if (!table || id < 0 || table.kernel[id] === 0) return;
      this.#routes.setKernel(table, id, 0);
      if (table.desired[id] === 0) table.releaseIfUnused(id);
      else {
        table.markDirty(id);
        this.#lost++;
        this.#repairs.request();
      }
    } else if (!table || id < 0 || table.kernel[id] !== reader.nextHopId) {
      const into = table ?? this.#routes.table(reader.family, reader.table);
      const at = into.intern(reader.address, 0, reader.length);
      this.#routes.setKernel(into, at, reader.nextHopId);
      into.markDirty(at);
      this.#repairs.request();
    }
  }

  /** Links that went or came are acted on before anything else is read. */
  #afterNotifications(): void {
    if (!this.#install || !this.#lateRestore) return;
    this.#lateRestore = false;
    if (this.#nextHopsInDoubt) {
      this.#nextHopsInDoubt = false;
      this.#nextHops.reconcile();
    }
    this.#restoreStatic();
    this.#schedule();
  }

  #restoreStatic(): number {
    const { restored, problems } = this.#static.restore((ifindex) => this.#links.isUp(ifindex));
    for (const message of problems) this.#deps.event({ kind: "error", message });
    return restored;
  }

  /** Puts back what somebody took away. */
  #repair(): void {
    let count = this.#lost;
    this.#lost = 0;
    if (this.#nextHopsInDoubt) {
      this.#nextHopsInDoubt = false;
      count += this.#nextHops.reconcile();
    }
    count += this.#restoreStatic();
    const rules = this.#rules.reconcile();
    count += rules.added + rules.remove();
    this.#reportPreceding();
    this.#schedule();
    if (count > 0)
      this.#deps.event({
        kind: "repaired",
        count,
        message: `${count} of our rules, routes or next hops were put back after a change by another program`,
      });
  }

  #reportPreceding(): void {
    for (const rule of this.#rules.newlyPreceding())
      this.#deps.event({
        kind: "foreign",
        message: `IPv${rule.family} rule "${ruleView(rule, false).text}" of protocol ${rule.protocol} comes before ours and decides first`,
      });
  }

  // ---- when our view may be wrong ----

  #overrun(): void {
    this.#overrunCount++;
    this.#resyncs.request();
  }

  #doubt(about: "nextHops" | "routes", _reason: string): void {
    if (about === "nextHops") {
      this.#nextHopsInDoubt = true;
      this.#repairs.request();
      return;
    }
    const now = this.#deps.clock.now();
    if (now - this.#lastDoubt < DOUBT_INTERVAL_MS) return;
    this.#lastDoubt = now;
    this.#resyncs.request();
  }

  /** Everything compared with dumps, in slices. */
  async #resync(): Promise<void> {
    if (this.#resyncing) {
      this.#resyncAgain = true;
      return;
    }
    this.#resyncing = true;
    const begin = this.#deps.clock.now();
    try {
      for (const { ifindex, up } of this.#links.load(this.#socket))
        this.#linkChanged(ifindex, up ? "up" : this.#links.has(ifindex) ? "down" : "removed");
      this.#deps.links(this.#links.snapshot());
      if (this.#install) {
        this.#lateRestore = this.#nextHopsInDoubt = false;
        this.#nextHops.reconcile();
        const lost = await this.#dumpRoutes(!this.#swept);
        if (this.#stopped) return;
        this.#lost += lost;
        this.#repair();
      }
      this.#resyncCount++;
      const elapsed = Math.round(this.#deps.clock.now() - begin);
      this.#deps.event({
        kind: "resync",
        message: `kernel state read anew in ${elapsed} ms (${this.#overrunCount} notification overruns so far)`,
      });
    } catch (error) {
      if (this.#stopped) return;
      this.#deps.event({
        kind: "error",
        message: `resync with the kernel failed, will be repeated: ${(error as Error).message}`,
      });
      this.#resyncs.request();
    } finally {
      this.#resyncing = false;
      if (this.#resyncAgain) {
        this.#resyncAgain = false;
        this.#resyncs.request();
      }
    }
  }

  /** Reads all routes of ours; returns how many that should be there are not. */
  async #dumpRoutes(adopt: boolean): Promise<number> {
    const { protocol, localTable } = this.#ownership;
    const reader = new RouteReader();
    this.#routes.beginDump();
    this.#static.beginDump();
    for (const family of [4, 6] as const) {
      for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
        const pass = this.#dumpSocket.beginDump((out) => encodeRouteDump(out, family, 0, protocol));
        let since = this.#deps.clock.now();
        const take = (buffer: Buffer, start: number, end: number) => {
          if (!reader.read(buffer, start, end) || reader.flags & RTM_F_CLONED) return;
          if (!this.#ownership.ownsProtocol(reader.protocol)) return;
          if (isLearned(reader, localTable)) this.#routes.found(reader, adopt);
          else this.#static.found(decodeRoute(buffer, start, end)!);
        };
        while (!pass.read(take)) {
          if (this.#deps.clock.now() - since < SLICE_MS) continue;
          await new Promise((resolve) => setImmediate(resolve));
          if (this.#stopped) return 0;
          since = this.#deps.clock.now();
        }
        if (pass.consistent) break;
      }
    }
    return this.#routes.endDump() + this.#static.endDump();
  }

  /** An answer that never came must not end the worker: it is reported, and the kernel's state is read anew. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#deps.event({ kind: "error", message: (error as Error).message });
      this.#resyncs.request();
      // Those who wait for a drain must not wait for ever.
      if (this.#routes.dirty > 0) this.#schedule();
      else this.#drained();
    }
  }
}
