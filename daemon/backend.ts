// What the API answers, put together from the parts. Lists are read lazily: a table of a million routes is never built
// as objects.
import type { DumpResult, MonitoringView } from "../bgp/monitor/types.ts";
import type { PolicyTrace } from "../bgp/policy/trace.ts";
import type { Speaker } from "../bgp/speaker.ts";
import type { PeerView, RouteView } from "../bgp/views.ts";
import type { NodeView } from "../cni/blocks/removal.ts";
import { describeFullness, type PoolFullness } from "../cni/ipam/fullness.ts";
import type { AddressUse } from "../cni/ipam/usage.ts";
import type { CniServer } from "../cni/server.ts";
import type { BlockView, CniRequest, CniResponse, PodView } from "../cni/types.ts";
import type { PolicyRequest } from "../config/policy-request.ts";
import type { Config } from "../config/types.ts";
import type { Finding, SharedFacts } from "../doctor/types.ts";
import { formatIpv4, parseAddress } from "../net/address.ts";
import type { Clock } from "../net/clock.ts";
import { hostPrefix, overlaps, parsePrefix, prefix as prefixOf } from "../net/prefix.ts";
import type { ExplainView } from "../routing/explain/view.ts";
import type { FibClient } from "../routing/fib/client.ts";
import { fightText } from "../routing/fib/fights.ts";
import { hazardText } from "../routing/hazards.ts";
import type { Fib, FibStatus, KernelRoute, KernelRule } from "../routing/types.ts";
import type { ApiEvent, EventListener } from "./api/events.ts";
import {
  type ApiBackend,
  ApiError,
  type PolicyView,
  type RefreshView,
  type ResetView,
  type RouteFilter,
  type StatusView,
} from "./api/types.ts";
import type { Bfd } from "./bfd.ts";
import type { Blocks } from "./blocks/blocks.ts";
import { placed } from "./blocks/placement.ts";
import { blockViews } from "./blocks/view.ts";
import { Doctor } from "./doctor.ts";
import type { EventHub } from "./events.ts";
import { type ExplainRequest, explain } from "./explain.ts";
import type { Drain, DrainView } from "./lifecycle/drain.ts";
import type { Exit } from "./lifecycle/exit.ts";
import type { ShutdownView } from "./lifecycle/shutdown.ts";
import type { UninstallView } from "./lifecycle/uninstall.ts";
import type { LoopDelay } from "./loop-delay.ts";
import { policyViews, testPolicy } from "./policy-test.ts";
import type { Recorder } from "./recorder.ts";
import type { PlanView, Reloader } from "./reload.ts";
import type { NodeRemovalView, Nodes, RemovalRequest } from "./shared/nodes.ts";
import type { Sharing } from "./shared/sharing.ts";
import { version } from "./version.ts";
import { type WhyView, why } from "./why.ts";

interface Parts {
  /** The configuration in force. */
  readonly config: () => Config;
  readonly reloader: Reloader;
  readonly clock: Clock;
  readonly fib: Fib & Pick<FibClient, "survey">;
  readonly speaker: Speaker;
  readonly bfd: Bfd;
  readonly cni: CniServer;
  readonly blocks: Blocks;
  readonly sharing: Sharing;
  readonly nodes: Nodes;
  readonly drain: Drain;
  readonly exit: Exit;
  readonly events: EventHub;
  readonly loopDelay: LoopDelay;
  /** Null: nothing is recorded. */
  readonly recorder: Recorder | null;
  readonly state: () => "starting" | "running" | "stopping";
}

export class Backend implements ApiBackend {
  readonly #parts: Parts;
  readonly #startedAt: number;
  readonly #doctor: Doctor;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#startedAt = parts.clock.now();
    const { speaker, drain, recorder } = parts;
    this.#doctor = new Doctor({
      ...parts,
      // What is claimed is as good as written down.
      config: () => ({ ...parts.config(), pools: placed(parts.config(), parts.sharing.placement()).pools }),
      peers: () => this.peers(),
      blocks: () => this.blocks(),
      shared: () => this.#shared(),
      received: (peer) => speaker.received(peer),
      outOfService: () => ({
        since: drain.view.state === "serving" ? null : drain.view.since,
        peers: speaker.peerNames().filter((name) => drain.isDrained(name)),
      }),
      monitoringProblems: () => monitoringProblems(speaker.monitoring()),
      historyProblem: () => recorder?.view()?.problem ?? null,
    });
  }

  async status(): Promise<StatusView> {
    const { clock, fib, speaker, bfd, cni, sharing, drain, loopDelay, state } = this.#parts;
    const config = this.#parts.config();
    const kernel = await fib.status();
    const peers = this.peers();
    const configured = peers.filter((peer) => !peer.dynamic);
    const down = configured.filter((peer) => peer.state !== "Established");
    const problems = [
      // Down on purpose is no problem.
      ...down
        .filter(({ name }) => !drain.isDrained(name))
        .map((peer) => `peer ${peer.name} is ${peer.state}${peer.lastError ? `: ${peer.lastError}` : ""}`),
      ...bfd.problems(peers),
      ...(kernel.failed.length > 0
        ? [
            `${kernel.failed.length} routes refused by the kernel, first ${kernel.failed[0].prefix}: ${kernel.failed[0].error}`,
          ]
        : []),
      ...kernelProblems(kernel),
    ];
    const failed = this.blocks().filter((block) => block.state === "failed");
    problems.push(...failed.map(({ prefix, reason }) => `block ${prefix} is not announced: ${reason}`));
    problems.push(...this.pools().flatMap((pool) => describeFullness(pool) ?? []));
    problems.push(...sharing.problems());
    const monitoring = speaker.monitoring();
    problems.push(...monitoringProblems(monitoring));
    const history = this.#parts.recorder?.view() ?? null;
    if (history?.problem) problems.push(history.problem);
    const memory = process.memoryUsage();
    const running = state() === "running";
    return {
      name: config.node.name,
      asn: config.node.asn,
      routerId: formatIpv4(config.node.routerId),
      version,
      pid: process.pid,
      uptime: Math.round((clock.now() - this.#startedAt) / 1000),
      state: running ? stateOf(drain.view, problems) : (state() as "starting" | "stopping"),
      problems,
      drain: drain.view,
      peers: {
        configured: configured.length,
        established: configured.length - down.length,
        dynamic: peers.length - configured.length,
      },
      routes: speaker.counts(),
      kernel,
      monitoring,
      history,
      shared: sharing.view(),
      pods: cni.pods().length,
      memory: { rss: memory.rss, heapUsed: memory.heapUsed },
      eventLoopDelay: loopDelay.read(),
    };
  }

  peers(): PeerView[] {
    const { speaker, bfd } = this.#parts;
    return speaker.peers().map((peer) => bfd.withStatus(peer));
  }

  async routes(filter: RouteFilter): Promise<Iterable<RouteView>> {
    return this.#asInstalled(this.#parts.speaker.routes(this.#checked(filter)));
  }

  async received(peer: string, filter: RouteFilter): Promise<Iterable<RouteView>> {
    this.#requirePeer(peer);
    return this.#asInstalled(this.#parts.speaker.received(peer, this.#checked(filter)));
  }

  async advertised(peer: string, filter: RouteFilter): Promise<Iterable<RouteView>> {
    this.#requirePeer(peer);
    return this.#asInstalled(this.#parts.speaker.advertised(peer, this.#checked(filter)));
  }

  policies(): PolicyView[] {
    return policyViews(this.#parts.config());
  }

  policyTest(request: PolicyRequest): PolicyTrace[] {
    return testPolicy(request, this.#parts.config(), this.#parts.speaker);
  }

  pods(): PodView[] {
    return this.#parts.cni.pods();
  }

  vanishedPods(): number {
    return this.#parts.cni.vanished;
  }

  async #shared(): Promise<SharedFacts> {
    const { sharing, nodes } = this.#parts;
    const facts = sharing.facts();
    return { ...facts, nodes: facts.state?.kind === "connected" ? await nodes.list() : null };
  }

  /** A block that is offered to neighbours but that none of its tables' has been told of yet is `pending`. */
  blocks(): BlockView[] {
    const { cni, speaker, blocks } = this.#parts;
    const { tables, pools } = this.#parts.config();
    const peers = speaker.peers().filter((peer) => peer.state === "Established");
    return blockViews(blocks.status(), cni.blocks(), ({ prefix, table, pool }) => {
      const further = pools.find(({ name }) => name === pool)?.announced.tables ?? [];
      const names = tables.filter(({ id }) => id === table || further.includes(id)).map(({ name }) => name);
      const family = prefix.includes(":") ? "ipv6" : "ipv4";
      return peers.some((peer) => names.includes(peer.table) && peer.prefixes.advertised[family] > 0);
    });
  }

  pools(): PoolFullness[] {
    return this.#parts.cni.pools();
  }

  addresses(prefix: string): AddressUse[] {
    const address = parseAddress(prefix);
    const within = address ? hostPrefix(address) : parsePrefix(prefix);
    if (typeof within === "string") throw new ApiError(400, `"${prefix}" is neither an address nor a prefix`);
    const found = this.#parts.cni.addresses(within);
    if (found.length === 0 && !this.blocks().some((block) => overlaps(prefixOf(block.prefix), within)))
      throw new ApiError(404, `${prefix} is in no block of this node`);
    return found;
  }

  isPod(pid: number): boolean {
    return this.#parts.cni.isPod(pid);
  }

  doctor(): Promise<Finding[]> {
    return this.#doctor.examine();
  }

  nodes(): Promise<NodeView[]> {
    return this.#parts.nodes.list();
  }

  removeNode(request: RemovalRequest): Promise<NodeRemovalView> {
    return this.#parts.nodes.remove(request);
  }

  definePools(): Promise<string[]> {
    return this.#parts.nodes.definePools();
  }

  rules(): Promise<KernelRule[]> {
    return this.#parts.fib.rules();
  }

  why(prefix: string): Promise<WhyView> {
    const { fib, speaker } = this.#parts;
    return why(prefix, { config: this.#parts.config(), fib, speaker });
  }

  explain(request: ExplainRequest): Promise<ExplainView> {
    const { fib, speaker } = this.#parts;
    return explain(request, { config: this.#parts.config(), fib, speaker, pods: this.pods(), blocks: this.blocks() });
  }

  kernelRoutes(table: string): Promise<KernelRoute[]> {
    const { fib } = this.#parts;
    const config = this.#parts.config();
    if (table === "local") return fib.routes(config.routing.localTable);
    return fib.routes(this.#requireTable(table));
  }

  cni(request: CniRequest): Promise<CniResponse> {
    return this.#parts.cni.handle(request);
  }

  plan(text: string, file: string): PlanView {
    return this.#parts.reloader.plan(text, file);
  }

  async dump(file: string): Promise<DumpResult> {
    try {
      return await this.#parts.speaker.dump(file);
    } catch (error) {
      throw new ApiError(500, error instanceof Error ? error.message : String(error));
    }
  }

  drain(peer: string | null, wait: number | null): Promise<DrainView> {
    return this.#parts.drain.drain(peer, wait ?? this.#parts.config().drain.wait);
  }

  undrain(peer: string | null): Promise<DrainView> {
    return this.#parts.drain.undrain(peer);
  }

  shutdown(): Promise<ShutdownView> {
    return this.#parts.exit.shutdown();
  }

  uninstall(forced: boolean): Promise<UninstallView> {
    return this.#parts.exit.uninstall(forced);
  }

  reload(): Promise<PlanView> {
    return this.#parts.reloader.reload();
  }

  called(call: ApiEvent): void {
    this.#parts.events.emit("api", call);
  }

  onEvent(listener: EventListener): () => void {
    return this.#parts.events.subscribe(listener);
  }

  /** `installed` says what the RIB handed over; what the kernel refused is not there. */
  async #asInstalled(routes: Iterable<RouteView>): Promise<Iterable<RouteView>> {
    const { fib } = this.#parts;
    const config = this.#parts.config();
    const { install, failed } = await fib.status();
    if (install && failed.length === 0) return routes;
    const names = new Map(config.tables.map(({ id, name }) => [id, name]));
    const refused = new Map(failed.map(({ prefix, table, error }) => [`${names.get(table)} ${prefix}`, error]));
    return withInstalled(routes, install, ({ table, prefix }) => refused.get(`${table} ${prefix}`));
  }

  #checked(filter: RouteFilter): RouteFilter {
    if (filter.table !== undefined) this.#requireTable(filter.table);
    return filter;
  }

  refresh(name: string, family: 4 | 6 | null): RefreshView {
    this.#requirePeer(name);
    const { speaker } = this.#parts;
    const asked = ([4, 6] as const).filter(
      (one) => (family === null || family === one) && speaker.requestRefresh(name, one),
    );
    if (asked.length > 0) return { peer: name, families: asked.map((one) => (one === 4 ? "ipv4" : "ipv6")) };
    const { state, families } = this.peers().find((peer) => peer.name === name) ?? {};
    if (state !== "Established") throw new ApiError(409, `peer ${name} is ${state}: there is nobody to ask`);
    if (family !== null && !families?.includes(family))
      throw new ApiError(409, `no IPv${family} routes are exchanged with peer ${name}`);
    throw new ApiError(409, `peer ${name} does not offer route refresh (RFC 2918); reset the session instead`);
  }

  reset(name: string, reason: string): ResetView {
    this.#requirePeer(name);
    if (this.#parts.drain.isDrained(name))
      throw new ApiError(409, `peer ${name} is drained: underlayctl undrain brings it back`);
    const said = reason || "reset by the operator";
    this.#parts.speaker.clearPeer(name, said);
    return { peer: name, reason: said };
  }

  #requirePeer(name: string): void {
    const names = this.#parts.speaker.peerNames();
    if (!names.includes(name)) throw new ApiError(404, `no peer ${name}; there are ${names.join(", ") || "none"}`);
  }

  #requireTable(name: string): number {
    const { tables } = this.#parts.config();
    const table = tables.find((entry) => entry.name === name || String(entry.id) === name);
    if (!table)
      throw new ApiError(404, `no table ${name}; there are local, ${tables.map((entry) => entry.name).join(", ")}`);
    return table.id;
  }
}

function stateOf({ state }: DrainView, problems: readonly string[]): StatusView["state"] {
  if (state !== "serving") return state === "drained" ? "drained" : "draining";
  return problems.length > 0 ? "degraded" : "ok";
}

/** Lazily: a table of a million routes is never built as objects. */
function* withInstalled(
  routes: Iterable<RouteView>,
  install: boolean,
  refusal: (route: RouteView) => string | undefined,
): Generator<RouteView> {
  for (const route of routes) {
    const refused = route.installed ? refusal(route) : undefined;
    if (refused !== undefined) yield { ...route, installed: false, refused };
    else yield route.installed && !install ? { ...route, installed: false } : route;
  }
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

/** What stands in the way of our rules and routes, what is taken away again and again, who does not answer. */
function kernelProblems({ hazards, fights, unreachable, isolation }: FibStatus): string[] {
  return [
    ...hazards.filter(({ severity }) => severity === "problem").map(hazardText),
    ...fights.map(fightText),
    ...(isolation.reason === null ? [] : [isolation.reason]),
    ...unreachable.map(
      ({ gateway, interface: name, since, avoided }) =>
        `gateway ${gateway} on ${name} has not answered since ${timeOf(since)}` +
        (avoided ? "; traffic goes over the others" : "; there is no other next hop"),
    ),
  ];
}

/** A collector that was tried and is not there. */
function monitoringProblems({ bmp, mrt }: MonitoringView): string[] {
  const away = bmp.filter(({ state, lastError }) => state !== "connected" && lastError !== null);
  return [
    ...away.map(({ name, lastError }) => `BMP collector ${name} is not connected: ${lastError}`),
    ...(mrt?.lastError ? [`MRT files in ${mrt.directory}: ${mrt.lastError}`] : []),
  ];
}
