// An ApiBackend that holds its answers in memory, in the shapes that the daemon has; lists can be endless.
import type { DumpResult } from "../../../bgp/monitor/types.ts";
import type { PolicyTrace } from "../../../bgp/policy/trace.ts";
import type { PeerView, RouteView } from "../../../bgp/views.ts";
import { emptyAttributes } from "../../../bgp/wire/path-attributes.ts";
import type { NodeView } from "../../../cni/blocks/removal.ts";
import type { PoolFullness } from "../../../cni/ipam/fullness.ts";
import type { AddressUse } from "../../../cni/ipam/usage.ts";
import type { BlockView, CniRequest, CniResponse, PodView } from "../../../cni/types.ts";
import { parseConfig } from "../../../config/load.ts";
import type { PolicyRequest } from "../../../config/policy-request.ts";
import type { ApiEvent, EventListener, WatchEvent } from "../../../daemon/api/events.ts";
import {
  type ApiBackend,
  ApiError,
  type PolicyView,
  type RefreshView,
  type ResetView,
  type RouteFilter,
  type StatusView,
} from "../../../daemon/api/types.ts";
import { type ExplainRequest, explain } from "../../../daemon/explain.ts";
import type { DrainView } from "../../../daemon/lifecycle/drain.ts";
import type { ShutdownView } from "../../../daemon/lifecycle/shutdown.ts";
import type { UninstallView } from "../../../daemon/lifecycle/uninstall.ts";
import { policyViews, testPolicy } from "../../../daemon/policy-test.ts";
import type { PlanView } from "../../../daemon/reload.ts";
import type { NodeRemovalView, RemovalRequest } from "../../../daemon/shared/nodes.ts";
import { type WhyView, why } from "../../../daemon/why.ts";
import type { Finding } from "../../../doctor/types.ts";
import { disagreement } from "../../../routing/explain/compare.ts";
import { simulate } from "../../../routing/explain/simulate.ts";
import type { ExplainView } from "../../../routing/explain/view.ts";
import type { Fib, KernelRoute, KernelRule } from "../../../routing/types.ts";
import { route as kernelRoute, links, snapshot } from "../routing/explain/support.ts";

const defaultRoute = kernelRoute("0.0.0.0/0", ["via 192.0.0.2 dev up0"], {
  preferredSource: Uint8Array.of(192, 0, 0, 1),
});

const serving: DrainView = { state: "serving", since: null, peers: [] };

export const route = (index: number): RouteView => ({
  prefix: `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}/32`,
  peer: "tor-a",
  pathId: null,
  nextHops: ["192.0.2.1", "192.0.2.3"],
  asPath: "65001 65002",
  origin: "igp",
  localPref: null,
  weight: 0,
  med: 5,
  communities: ["65001:100"],
  originatorId: null,
  clusterList: [],
  otc: null,
  best: true,
  multipath: true,
  installed: true,
  table: "fabric",
  rejected: null,
  stale: false,
});

export const peer = (name: string, state: PeerView["state"]): PeerView => ({
  name,
  address: "192.0.2.1",
  asn: 65001,
  state,
  remoteRouterId: state === "Established" ? "10.0.0.1" : null,
  establishedAt: null,
  uptime: state === "Established" ? 3725 : null,
  holdTime: 90,
  lastError: state === "Established" ? null : "NOTIFICATION received: Cease\u001b[2J",
  lastErrorAt: null,
  establishedCount: 1,
  messages: { sent: 10, received: 12, updatesSent: 2, updatesReceived: 3 },
  families: [4, 6],
  capabilities: ["route refresh"],
  unnumbered: null,
  group: null,
  dynamic: false,
  hostname: null,
  localAddress: "192.0.2.0",
  localPort: 179,
  remotePort: 40179,
  timers: {
    holdTime: { local: 90, remote: 90, negotiated: 90 },
    keepalive: 30,
    sendHold: 480,
    connectRetry: 10,
  },
  md5: null,
  lastErrorAge: null,
  lastReset: null,
  history: [],
  defaultOriginate: null,
  notifications: { sent: null, received: null },
  maxMessage: 4096,
  received: 5,
  accepted: 4,
  advertised: 3,
  prefixes: {
    received: { ipv4: 3, ipv6: 2, total: 5 },
    accepted: { ipv4: 2, ipv6: 2, total: 4 },
    advertised: { ipv4: 2, ipv6: 1, total: 3 },
  },
  paths: {
    received: { ipv4: 4, ipv6: 2, total: 6 },
    accepted: { ipv4: 3, ipv6: 2, total: 5 },
    advertised: { ipv4: 2, ipv6: 1, total: 3 },
  },
  pathsIgnored: 0,
  import: "default-route",
  export: "blocks",
  table: "fabric",
  stale: 0,
  helper: null,
  errors: { treatedAsWithdrawn: 1, prefixesDropped: 0, attributesDiscarded: 2 },
});

const status: StatusView = {
  name: "node1",
  asn: 65101,
  routerId: "10.0.0.11",
  version: "0.1.0",
  pid: 42,
  uptime: 61,
  state: "ok",
  problems: [],
  drain: serving,
  peers: { configured: 2, established: 2, dynamic: 0 },
  routes: { ipv4: 2, ipv6: 1 },
  kernel: {
    install: true,
    desired: 3,
    installed: 3,
    failed: [],
    nextHopSets: 1,
    resyncs: 0,
    overruns: 0,
    hazards: [],
    fights: [],
    unreachable: [],
    isolation: {
      state: "active",
      reason: null,
      dropped: { source: 3, loopback: 0, multicast: 0, options: 0, redirect: 0, advertisement: 0, arp: 1 },
    },
    stale: 0,
  },
  monitoring: { bmp: [], mrt: null },
  history: null,
  shared: {
    etcd: null,
    claims: { claimed: 0, failed: 0, returned: 0, lost: 0, milliseconds: 0 },
    exceptions: [{ pool: "default", used: 0, budget: 32 }],
  },
  pods: 1,
  memory: { rss: 90 << 20, heapUsed: 20 << 20 },
  eventLoopDelay: { p50: 0.1, p99: 0.5, max: 3 },
};

export const CONFIG = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
tables: { fabric: { id: 7100 }, storage: { id: 7200 } }
prefixSets: { ours: [10.0.0.0/8 le 24] }
policies:
  bogons: [{ match: { prefix: [192.168.0.0/16 le 32] }, then: reject }]
  tor-in:
    - { apply: bogons }
    - match: { prefix: ours, community: { all: ["65001:100", no-export] }, not: { asPath: _65009_ } }
      set: { localPref: 200, community: { add: ["65101:1"] }, table: storage }
      then: accept
    - { match: { policy: default-route }, then: accept }
peers:
  tor-a: { address: 192.0.2.1, asn: 65001, import: tor-in, export: blocks, communities: { add: ["65101:9"] } }
  tor-b: { address: 192.0.2.3, asn: 65001, import: [bogons, all], export: none }
`;

export class MemoryBackend implements ApiBackend {
  statusView: StatusView = status;
  peerViews: PeerView[] = [peer("tor-a", "Established"), peer("tor/b", "Established")];
  routeViews: () => Iterable<RouteView> = () => [route(1), route(2)];
  cniHandler: (request: CniRequest) => Promise<CniResponse> = async ({ stdin }) => ({
    exitCode: 0,
    stdout: new TextDecoder().decode(stdin),
  });
  readonly filters: RouteFilter[] = [];
  readonly config = parseConfig(CONFIG, "/etc/underlay/underlay.yaml").config;
  readonly listeners = new Set<EventListener>();

  async status(): Promise<StatusView> {
    return this.statusView;
  }
  peers(): PeerView[] {
    return this.peerViews;
  }
  routes(filter: RouteFilter): Iterable<RouteView> {
    this.filters.push(filter);
    return this.routeViews();
  }
  received(name: string, filter: RouteFilter): Iterable<RouteView> {
    if (!this.peerViews.some((view) => view.name === name)) throw new ApiError(404, `no peer ${name}`);
    return this.routes(filter);
  }
  advertised(name: string, filter: RouteFilter): Iterable<RouteView> {
    return this.received(name, filter);
  }
  async nodes(): Promise<NodeView[]> {
    const of = (n: number) => ({
      node: `node${n}`,
      rack: "r1",
      since: "2026-11-26T07:00:00.000Z",
      alive: n === 1,
      blocks: [{ prefix: `10.244.${n}.0/26`, pool: "default", state: "confirmed" }],
      lent: 0,
      borrowed: n - 1,
      identities: 0,
    });
    return [of(1), of(2)];
  }
  async removeNode(request: RemovalRequest): Promise<NodeRemovalView> {
    if (request.node === "node1" && !request.force) throw new ApiError(409, "node node1 is alive");
    return { ...request, blocks: ["10.244.2.0/26"], orphans: [] };
  }
  async definePools(): Promise<string[]> {
    return ["default"];
  }
  policies(): PolicyView[] {
    return policyViews(this.config);
  }
  policyTest(request: PolicyRequest): PolicyTrace[] {
    const attributes = { ...emptyAttributes, asPath: [{ type: 2 as const, asns: [65001] }] };
    return testPolicy(request, this.config, {
      policyInputs: (peer) => (peer === "tor-a" ? [attributes] : []),
    });
  }
  refresh(name: string, family: 4 | 6 | null): RefreshView {
    if (!this.peerViews.some((view) => view.name === name)) throw new ApiError(404, `no peer ${name}`);
    return { peer: name, families: family === 6 ? ["ipv6"] : family === 4 ? ["ipv4"] : ["ipv4", "ipv6"] };
  }
  reset(peer: string, reason: string): ResetView {
    this.refresh(peer, null);
    return { peer, reason };
  }
  vanishedPods(): number {
    return 1;
  }

  pods(): PodView[] {
    return [
      {
        network: "underlay",
        containerId: "c0ffee0123456789",
        ifname: "eth0",
        addresses: ["10.244.1.2", "2001:db8:244:1::2"],
        pool: "default",
        ipam: null,
        netns: "/run/netns/p1",
        hostInterface: "ul0123",
        pod: "default/web",
      },
    ];
  }
  blocks(): BlockView[] {
    return [
      {
        prefix: "10.244.1.0/26",
        pool: "default",
        capacity: 63,
        used: 1,
        free: 60,
        cooling: 1,
        reserved: 1,
        sticky: 0,
        source: "static",
        state: "announced",
        reason: null,
      },
    ];
  }
  pools(): PoolFullness[] {
    const { capacity, used, free, cooling, reserved, sticky, pool } = this.blocks()[0];
    const counts = { capacity, used, free, cooling, reserved, sticky };
    return [{ pool, family: 4, blocks: 1, ...counts, level: "fine", usedPercent: 1 }];
  }
  addresses(prefix: string): AddressUse[] {
    if (!prefix.startsWith("10.244.1.")) throw new ApiError(404, `${prefix} is in no block of this node`);
    const of = { block: "10.244.1.0/26", pool: "default" };
    const identity = "default/web@underlay/eth0";
    return [
      { address: "10.244.1.2", ...of, state: "used", identity, sequence: 7, seconds: null },
      { address: "10.244.1.3", ...of, state: "cooling", identity: "c0ffee@underlay/eth0", sequence: 6, seconds: 12 },
    ];
  }
  async rules(): Promise<KernelRule[]> {
    const text = "from all lookup 7000";
    return [{ family: 4, priority: 1000, from: null, to: null, table: 7000, protocol: 201, ours: true, text }];
  }
  /** Of a RIB that has heard of nothing. */
  why(prefix: string): Promise<WhyView> {
    const installation = async () => ({ install: true, wanted: false, nextHopId: 0, members: [], refused: null });
    const fib = { links: () => [], installation };
    return why(prefix, {
      config: this.config,
      fib,
      speaker: { why: () => [], whyTold: () => [], routes: () => [], peers: () => this.peerViews },
    });
  }
  /** A host with a default route, whose kernel says what is expected of it. */
  explain(request: ExplainRequest): Promise<ExplainView> {
    const fib: Pick<Fib, "explain" | "links" | "status"> = {
      links: () =>
        [...links.values()].map((link) => ({ ...link, up: true, mtu: 1500, mac: new Uint8Array(6), addresses: [] })),
      explain: async (flow) => {
        const state = snapshot(flow.family, { routes: [defaultRoute] });
        const explanation = simulate(state, flow);
        const [{ error, members, type, table }] = explanation.verdicts;
        const decision = error ? null : { ...defaultRoute, hops: members, type, table };
        const answer = { error: error && { code: error, text: error }, decision, match: null };
        const difference = disagreement(explanation, flow, answer);
        return { explanation, answer, difference, partial: [], links, nextHops: state.nextHops };
      },
      status: async () => status.kernel,
    };
    const speaker = { routes: () => this.routeViews(), policyInputs: () => [] };
    return explain(request, { config: this.config, fib, speaker, pods: this.pods(), blocks: this.blocks() });
  }
  findings: Finding[] = [];
  async doctor(): Promise<Finding[]> {
    return this.findings;
  }
  async kernelRoutes(table: string): Promise<KernelRoute[]> {
    if (table !== "fabric") throw new ApiError(404, `no table ${table}`);
    return [
      {
        prefix: "0.0.0.0/0",
        table: 7100,
        type: "unicast",
        nextHops: [{ gateway: "192.0.2.1", interface: "eth0", weight: 1 }],
      },
    ];
  }
  cni(request: CniRequest): Promise<CniResponse> {
    return this.cniHandler(request);
  }
  planView: PlanView = {
    changes: [{ kind: "changed", path: "peers.tor-a.holdTime", impact: "reset", from: "90", to: "30" }],
    impact: "reset",
    warnings: [],
  };
  readonly plans: { text: string; file: string }[] = [];
  plan(text: string, file: string): PlanView {
    this.plans.push({ text, file });
    if (text.includes("nonsense")) throw new ApiError(400, `${file}:1:1: nonsense is not a known key`);
    return this.planView;
  }
  drainView: DrainView = serving;
  readonly drains: { peer: string | null; wait: number | null }[] = [];
  async drain(peer: string | null, wait: number | null): Promise<DrainView> {
    if (peer !== null) this.refresh(peer, null);
    this.drains.push({ peer, wait });
    const since = "2026-01-02T03:04:05.000Z";
    const state = "drained" as const;
    this.drainView =
      peer === null
        ? { ...this.drainView, state, since }
        : { ...this.drainView, peers: [{ name: peer, state, since }] };
    return this.drainView;
  }
  async undrain(peer: string | null): Promise<DrainView> {
    if (this.drainView.state === "serving" && this.drainView.peers.length === 0)
      throw new ApiError(409, "the node is not drained");
    this.drainView = peer === null ? { ...serving, peers: this.drainView.peers } : { ...this.drainView, peers: [] };
    return this.drainView;
  }
  shutdownView: ShutdownView = { told: ["tor-a"], late: ["tor/b"] };
  async shutdown(): Promise<ShutdownView> {
    return this.shutdownView;
  }
  uninstallView: UninstallView = {
    pods: [],
    settings: [{ name: "net.ipv4.ip_forward", before: "0", outcome: "restored" }],
    directories: [],
    etcd: null,
    lock: "/nonexistent/lock",
  };
  async uninstall(forced: boolean): Promise<UninstallView> {
    if (!forced && this.pods().length > 0) throw new ApiError(409, "1 pods are attached: default/web");
    return this.uninstallView;
  }
  async reload(): Promise<PlanView> {
    if (this.planView.impact === "restart") throw new ApiError(409, "nothing was changed");
    return this.planView;
  }
  async dump(file: string): Promise<DumpResult> {
    if (file.startsWith("/full/"))
      throw new ApiError(500, `cannot write ${file}: no space left on the device (ENOSPC)`);
    return { file, prefixes: 2, routes: 3, bytes: 100, duration: 1 };
  }
  readonly calls: ApiEvent[] = [];
  called(call: ApiEvent): void {
    this.calls.push(call);
  }
  onEvent(listener: EventListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  emit(event: WatchEvent): void {
    for (const listener of this.listeners) listener.event(event);
  }
}
