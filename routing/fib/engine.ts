// The fib worker's inside: what is wanted on one side, the kernel on the other, and everything that keeps them equal.
//
//   batches ----> Routes --dirty--> BulkWriter ---\
//   sets    ----> NextHops ------------------------+--> NetlinkSocket --> kernel
//   owned, pods-> StaticRoutes, Rules ------------/                         |
//        links, Repairs, Resync <---------------------- KernelWatch <-------/
//
// Commands act at once; learned routes are written in slices of a few milliseconds between them, so that the owned
// state, a pod or a lost uplink never waits for a bulk load. What the kernel loses in silence (carrier, overrun) is
// found by dumps. Nothing without our protocol number is changed.
import { formatAddress } from "../../net/address.ts";
import type { Timer } from "../../net/clock.ts";
import { connectedNetworks } from "../connected-networks.ts";
import { explainLive, type LiveExplanation } from "../explain/live.ts";
import type { Flow } from "../explain/types.ts";
import type { Isolation } from "../isolation/guard.ts";
import { decodeNextHop, encodeNextHopDump } from "../netlink/nexthop.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { dumpTable } from "../netlink/table-dump.ts";
import { needsNetworks } from "../ownership.ts";
import type {
  FibStatus,
  FormerBlock,
  Installation,
  IsolationRequest,
  IsolationView,
  KernelRoute,
  KernelRule,
  NextHopMember,
  OwnedState,
  PodRoute,
  RefusedBlock,
  RestoredSetting,
  RouteBatch,
  RouteQuestion,
} from "../types.ts";
import { KernelWatch, routingFilter, routingGroups } from "../watch.ts";
import { BulkWriter } from "./bulk.ts";
import type { Damper } from "./damper.ts";
import { Fights } from "./fights.ts";
import { ForeignRoutes } from "./foreign-routes.ts";
import { Forwarding } from "./forwarding.ts";
import { HazardWatch } from "./hazard-watch.ts";
import { isolate } from "./isolate.ts";
import { learnedRoutes } from "./learned-routes.ts";
import { requireNetAdmin } from "./privilege.ts";
import type { WorkerOptions } from "./protocol.ts";
import { removeEverything } from "./remove.ts";
import { fightEvents, Repairs } from "./repairs.ts";
import { Resync } from "./resync.ts";
import { type FibDeps, FibState } from "./state.ts";
import { type KernelSurvey, type SurveyRequest, survey } from "./survey.ts";
import { restoreSysctls } from "./sysctls.ts";
import { membersOf, routeView, ruleView } from "./views.ts";
import { warmUp } from "./warm-up.ts";

/** How often settings are read; every so many times hazards are looked for as well. */
const INSPECTION_MS = 1000;
const HAZARD_INSPECTIONS = 5;
/** Bytes for the answers to a question about a packet: one datagram at a time is read. */
const EXPLAIN_BUFFER = 1 << 20;

export class FibEngine {
  readonly #state: FibState;
  readonly #bulk: BulkWriter;
  readonly #repairs: Repairs;
  readonly #resync: Resync;
  readonly #forwarding: Forwarding;
  readonly #hazards: HazardWatch;
  readonly #foreignRoutes: ForeignRoutes;
  readonly #fights: Fights;
  readonly #isolation: Isolation;
  readonly #isolationDamper: Damper;
  #watch: KernelWatch | null = null;
  #staleTimer: Timer | null = null;
  #inspectionTimer: Timer | null = null;
  #inspections = 0;

  constructor(options: WorkerOptions, deps: FibDeps) {
    const guard = (work: () => void) => this.#guard(work);
    this.#state = new FibState(options, deps, guard);
    this.#bulk = new BulkWriter(this.#state, guard, {
      doubt: (about) => (about === "nextHops" ? this.#repairs.doubtNextHops() : this.#resync.doubt()),
    });
    this.#foreignRoutes = new ForeignRoutes(this.#state, () => this.#repairs.lookAtHazards());
    this.#hazards = new HazardWatch(this.#state, () => this.#foreignRoutes.counts());
    this.#fights = new Fights(deps.clock, () => Date.now(), fightEvents(this.#state));
    this.#repairs = new Repairs(
      this.#state,
      { bulk: this.#bulk, hazards: this.#hazards, foreignRoutes: this.#foreignRoutes, fights: this.#fights },
      guard,
    );
    const { isolation, damper } = isolate(this.#state, this.#fights, guard);
    this.#isolation = isolation;
    this.#isolationDamper = damper;
    this.#state.onNextHopRefused = () => this.#repairs.doubtNextHops();
    this.#resync = new Resync(this.#state, this.#repairs);
    this.#forwarding = new Forwarding(this.#state, {
      failed: () => this.#failed(),
      inDoubt: () => this.#resync.pending,
    });
    this.#bulk.onDrained = this.#resync.onPending = () => this.#forwarding.update();
  }

  /** Opens what is needed and takes stock of what a former run left. Rejects with what is missing. */
  async start(): Promise<void> {
    const { install, options, deps, socket, links, nextHops, rules } = this.#state;
    if (install) {
      requireNetAdmin(socket);
      this.#repairs.checkSettings();
    }
    this.#watch = new KernelWatch(
      {
        receiveBuffer: options.receiveBuffer,
        groups: routingGroups,
        filter: routingFilter(install ? socket.portId : null, options.routing.protocol),
      },
      {
        message: (...message) => this.#guard(() => this.#repairs.notified(...message)),
        turn: () => this.#guard(() => this.#repairs.afterNotifications()),
        overrun: () => this.#resync.overrun(),
        error: (message) => this.#state.problem(message),
      },
    );
    links.load(socket);
    deps.links(links.changes());
    if (!install) return;
    this.#state.writeLog.know(socket.dump(encodeNextHopDump, decodeNextHop), (ifindex) => links.nameOf(ifindex));
    this.#state.gateways.start();
    this.#inspectionTimer = deps.clock.after(INSPECTION_MS, () => this.#inspect());
    nextHops.reconcile();
    rules.adopt();
    await this.#resync.dumpRoutes(true);
    this.#forwarding.adopt();
    const stale = this.#stale();
    if (stale === 0) {
      this.#state.swept = true;
      nextHops.sweep();
      return;
    }
    deps.event({
      kind: "adopted",
      count: stale,
      message: `${stale} rules and routes of a former run found and left in place until they are confirmed`,
    });
    this.#staleTimer = deps.clock.after(options.routing.staleTime * 1000, () => void this.#sweep());
  }

  formerBlocks(): FormerBlock[] {
    return this.#state.install ? this.#state.owned.found() : [];
  }

  /** Returns the blocks that the kernel refused. */
  setOwned(owned: OwnedState): readonly RefusedBlock[] {
    const { install, links, rules, ownership } = this.#state;
    if (!install) return [];
    this.#state.rulesFollowLinks = needsNetworks(owned);
    const { missing, refused } = this.#state.owned.set(owned, () => connectedNetworks(links.snapshot()));
    this.#foreignRoutes.tables = [ownership.localTable, ...owned.tables.map(({ id }) => id)];
    this.#hazards.setOwned(owned);
    this.#hazards.update(rules.latest);
    const found = ([4, 6] as const).filter((family) => !missing.has(family));
    this.#forwarding.owned(
      found,
      owned.tables.map(({ id }) => id),
    );
    return refused;
  }

  setNextHopSet(set: number, members: readonly NextHopMember[]): void {
    if (!this.#state.install) return;
    this.#state.nextHops.define(set, members);
    this.#bulk.schedule();
  }

  removeNextHopSet(set: number): void {
    if (this.#state.install) this.#state.nextHops.release(set);
  }

  apply(batch: RouteBatch): void {
    this.#state.routes.apply(batch);
    this.#bulk.schedule();
  }

  addPodRoutes(pods: readonly PodRoute[]): void {
    const { install, staticRoutes, ownership } = this.#state;
    if (!install) return;
    staticRoutes.add(
      pods.map((pod) => ownership.podRoute(pod)),
      "pod",
    );
  }

  /** Those that another thread has written. */
  keepPodRoutes(pods: readonly PodRoute[]): void {
    const { install, staticRoutes, ownership } = this.#state;
    if (install) staticRoutes.keep(pods.map((pod) => ownership.podRoute(pod)));
  }

  /** Those whose interface takes them along. */
  dropPodRoutes(pods: readonly PodRoute[]): void {
    const { install, staticRoutes, ownership } = this.#state;
    if (!install) return;
    staticRoutes.forget(pods.map((pod) => ownership.podRoute(pod)));
    this.#isolation.disallow(pods);
  }

  removePodRoutes(pods: readonly PodRoute[]): void {
    const { install, staticRoutes, ownership } = this.#state;
    if (!install) return;
    staticRoutes.remove(pods.map((pod) => ownership.podRoute(pod)));
    this.#isolation.disallow(pods);
  }

  /** Keeps pods to their own addresses: see routing/isolation. */
  isolate({ interfaces }: IsolationRequest): IsolationView {
    if (this.#state.install) this.#isolation.want(interfaces);
    return this.#isolation.view();
  }

  /** Addresses that pods may send from on interfaces that no route to them leads to. */
  allowSources(sources: readonly PodRoute[]): void {
    if (this.#state.install) this.#isolation.allow(sources);
  }

  /** Whether every single operation is reported, also of a bulk load. */
  setDetail(detailed: boolean): void {
    this.#state.writeLog.detailed = detailed;
  }

  flush(): Promise<void> {
    return this.#bulk.flush();
  }

  /** Has the code compiled that writes routes; resolves when that is done. */
  warmUp(): Promise<void> {
    const { install, options, deps } = this.#state;
    return install ? warmUp(options.routing, deps.clock, () => this.#state.stopped) : Promise.resolve();
  }

  /**
   * All is known that is wanted: removes what was adopted and nobody asked for. Resolves to the number of rules and
   * routes.
   */
  async sweepStale(): Promise<number> {
    const count = await this.#sweep();
    this.#forwarding.settle();
    return count;
  }

  async #sweep(): Promise<number> {
    const { install, rules, staticRoutes, routes, nextHops, deps } = this.#state;
    this.#staleTimer?.cancel();
    this.#staleTimer = null;
    if (!install) return 0;
    await this.flush();
    if (this.#state.stopped) return 0;
    this.#state.swept = true;
    const count = (rules.stale > 0 ? rules.removeAll() : 0) + staticRoutes.sweep() + routes.sweep();
    await this.flush();
    if (this.#state.stopped) return count;
    const groups = nextHops.sweep();
    this.#forwarding.swept();
    if (count + groups > 0)
      deps.event({
        kind: "swept",
        count,
        message: `stale kernel state removed: ${count} rules and routes, ${groups} next-hop groups`,
      });
    return count;
  }

  status(): FibStatus {
    const { install, routes, nextHops } = this.#state;
    return {
      install,
      desired: routes.desired,
      installed: routes.installed,
      failed: this.#failed(),
      nextHopSets: nextHops.setCount,
      resyncs: this.#resync.count,
      overruns: this.#resync.overruns,
      stale: this.#stale(),
      hazards: this.#hazards.hazards,
      fights: this.#fights.list(),
      unreachable: this.#state.gateways.list(),
      isolation: this.#isolation.view(),
    };
  }

  rules(): KernelRule[] {
    const { rules, ownership } = this.#state;
    return rules.dump().map((rule) => ruleView(rule, ownership.ownsRule(rule)));
  }

  routes(table: number): KernelRoute[] {
    const { socket, links } = this.#state;
    const nameOf = (ifindex: number) => links.nameOf(ifindex);
    const nextHops = new Map(socket.dump(encodeNextHopDump, decodeNextHop).map((object) => [object.id, object]));
    return ([4, 6] as const).flatMap((family) => {
      const routes = dumpTable(socket, family, table);
      return routes.filter((route) => route.table === table).map((route) => routeView(route, nextHops, nameOf));
    });
  }

  /** What is known of one learned route: wanted, in the kernel, refused. */
  installation({ family, table, address, length }: RouteQuestion): Installation {
    const { install, routes, links, socket } = this.#state;
    const known = routes.find(family, table);
    const id = known?.find(address, 0, length) ?? -1;
    if (!known || id < 0) return { install, wanted: false, nextHopId: 0, members: [], refused: null };
    const prefix = `${formatAddress(address)}/${length}`;
    const failed = this.#failed().find((failure) => failure.table === table && failure.prefix === prefix);
    const nextHopId = known.kernel[id];
    const members = nextHopId === 0 ? [] : membersOf(socket, nextHopId);
    return {
      install,
      wanted: known.desired[id] !== 0,
      nextHopId,
      members: members.map(({ ifindex, gateway, weight }) => ({
        gateway: gateway && formatAddress(gateway),
        interface: links.nameOf(ifindex),
        weight,
      })),
      refused: failed?.error ?? null,
    };
  }

  /** What becomes of a packet now, and the kernel's own word on it. */
  explain(flow: Flow): Promise<LiveExplanation> {
    const { routes, ownership } = this.#state;
    return explainLive(flow, {
      open: () => new NetlinkSocket({ receiveBuffer: EXPLAIN_BUFFER }),
      learned: learnedRoutes(routes, ownership.protocol),
    });
  }

  /** The kernel read anew, against what is wanted. A load under way is waited for; a repair that waits is not hastened. */
  async survey(request: SurveyRequest): Promise<KernelSurvey> {
    await this.#bulk.idle();
    return survey(this.#state, request, (rules, foreign) => this.#hazards.look(rules, foreign));
  }

  stop(mode: "keep" | "remove"): RestoredSetting[] {
    const { install, options, socket, ownership, rules, nextHops } = this.#state;
    this.#state.stopped = true;
    this.#staleTimer?.cancel();
    this.#inspectionTimer?.cancel();
    this.#bulk.stop();
    this.#repairs.stop();
    this.#resync.stop();
    this.#foreignRoutes.stop();
    this.#state.gateways.stop();
    this.#watch?.close();
    this.#isolationDamper.stop();
    try {
      if (mode === "keep" || !install) return [];
      this.#isolation.remove();
      removeEverything(socket, ownership, rules, nextHops);
      return options.stateDir === null ? [] : restoreSysctls(options.stateDir);
    } finally {
      this.#isolation.stop();
      this.#state.close();
    }
  }

  /** What no notification tells of: most settings, and the files of systemd-networkd. */
  #inspect(): void {
    const { deps, rules, stopped } = this.#state;
    if (stopped) return;
    this.#inspectionTimer = deps.clock.after(INSPECTION_MS, () => this.#inspect());
    this.#guard(() => {
      this.#repairs.repairSettings();
      this.#fights.expire();
      if (++this.#inspections % HAZARD_INSPECTIONS !== 0) return;
      this.#repairs.restoreStatic();
      this.#isolation.verify();
      this.#hazards.update(rules.dump());
    });
  }

  #failed(): FibStatus["failed"] {
    return [...this.#state.staticRoutes.failed(), ...this.#bulk.failed()];
  }

  #stale(): number {
    const { routes, staticRoutes, rules } = this.#state;
    return routes.stale + staticRoutes.stale + rules.stale;
  }

  /** A failure, such as an answer that never came, must not end the worker: it is reported, and all is read anew. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (this.#state.stopped) return;
      this.#state.problem((error as Error).message);
      this.#resync.request();
      this.#bulk.schedule();
    }
  }
}
