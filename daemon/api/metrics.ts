// GET /metrics: the daemon's figures in Prometheus' text format, read at the time of asking. Nothing is counted for it
// on the way of a route.
import { Counter, Gauge, Registry } from "prom-client";
import type { PeerView } from "../../bgp/views.ts";
import type { PoolFullness } from "../../cni/ipam/fullness.ts";
import type { BlockView, PodView } from "../../cni/types.ts";
import type { StatusView } from "./types.ts";

export interface MetricsInput {
  readonly status: StatusView;
  readonly peers: readonly PeerView[];
  readonly pods: readonly PodView[];
  /** Released without a DEL. */
  readonly vanished: number;
  readonly blocks: readonly BlockView[];
  readonly pools: readonly PoolFullness[];
}

type Labels = Record<string, string>;
type Sample = [value: number, labels?: Labels];

export async function renderMetrics({ status, peers, pods, vanished, blocks, pools }: MetricsInput): Promise<string> {
  const registry = new Registry();
  const metric = (kind: typeof Gauge | typeof Counter, name: string, help: string, samples: Sample[]) => {
    const labelNames = Object.keys(samples[0]?.[1] ?? {});
    const instance = new kind({ name, help, labelNames, registers: [registry] });
    for (const [value, labels] of samples) labels ? instance.inc(labels, value) : instance.inc(value);
  };
  const gauge = (name: string, help: string, ...samples: Sample[]) => metric(Gauge, `underlay_${name}`, help, samples);
  const counter = (name: string, help: string, ...samples: Sample[]) =>
    metric(Counter, `underlay_${name}`, help, samples);

  gauge("info", "Version, node name and AS number as labels.", [
    1,
    { version: status.version, node: status.name, asn: String(status.asn) },
  ]);
  gauge("healthy", "1 when nothing is wrong, 0 otherwise; GET /v1/status says what.", [status.state === "ok" ? 1 : 0]);

  const perPeer = (value: (peer: PeerView) => number): Sample[] =>
    peers.map((peer) => [value(peer), { peer: peer.name }]);
  gauge(
    "peer_established",
    "1 when the session is Established.",
    ...perPeer((peer) => (peer.state === "Established" ? 1 : 0)),
  );
  gauge("peer_uptime_seconds", "Seconds since the session became Established.", ...perPeer((peer) => peer.uptime ?? 0));
  const watched = peers.flatMap(({ name, bfd }) => (bfd ? [{ peer: name, bfd }] : []));
  gauge(
    "bfd_up",
    "1 when the BFD session beside the peer's is Up.",
    ...watched.map(({ peer, bfd }): Sample => [bfd.state === "Up" ? 1 : 0, { peer }]),
  );
  counter(
    "bfd_packets_total",
    "BFD packets sent, received, discarded, and not sent for an error.",
    ...watched.flatMap(({ peer, bfd }) =>
      Object.entries(bfd.packets).map(([kind, count]): Sample => [count, { peer, kind }]),
    ),
  );
  counter(
    "peer_established_total",
    "How often the session became Established.",
    ...perPeer((peer) => peer.establishedCount),
  );
  counter(
    "peer_updates_received_total",
    "UPDATE messages received.",
    ...perPeer((peer) => peer.messages.updatesReceived),
  );
  counter("peer_updates_sent_total", "UPDATE messages sent.", ...perPeer((peer) => peer.messages.updatesSent));
  counter(
    "peer_attribute_errors_total",
    "Routes treated as withdrawn and attributes discarded for malformed attributes (RFC 7606).",
    ...perPeer((peer) => peer.errors.treatedAsWithdrawn + peer.errors.attributesDiscarded),
  );
  const perKind = (of: "prefixes" | "paths") =>
    peers.flatMap((peer) =>
      (["received", "accepted", "advertised"] as const).flatMap((kind) =>
        (["ipv4", "ipv6"] as const).map(
          (family): Sample => [peer[of][kind][family], { peer: peer.name, kind, family }],
        ),
      ),
    );
  gauge(
    "peer_prefixes",
    "Prefixes per peer and family: received, accepted by policy, advertised.",
    ...perKind("prefixes"),
  );
  gauge("peer_paths", "As peer_prefixes, each path of a prefix counted (ADD-PATH).", ...perKind("paths"));
  gauge(
    "peer_paths_stale",
    "Paths kept for a neighbour that was lost (RFC 4724, RFC 9494).",
    ...perPeer((peer) => peer.stale),
  );
  counter(
    "peer_paths_ignored_total",
    "Paths beyond addPath.limit of a prefix.",
    ...perPeer((peer) => peer.pathsIgnored),
  );

  gauge(
    "routes",
    "Prefixes with a route.",
    [status.routes.ipv4, { family: "ipv4" }],
    [status.routes.ipv6, { family: "ipv6" }],
  );
  const { kernel } = status;
  gauge("kernel_routes_desired", "Routes that should be in the kernel.", [kernel.desired]);
  gauge("kernel_routes_installed", "Routes that are in the kernel.", [kernel.installed]);
  gauge("kernel_routes_failed", "Routes that the kernel refused.", [kernel.failed.length]);
  gauge("kernel_routes_stale", "Routes of a former run that are not confirmed yet.", [kernel.stale]);
  gauge("kernel_next_hop_sets", "Next hop groups in use.", [kernel.nextHopSets]);
  counter("kernel_resyncs_total", "Full comparisons with the kernel.", [kernel.resyncs]);
  counter("kernel_overruns_total", "Times the kernel told more than the socket could hold.", [kernel.overruns]);

  const { bmp, mrt } = status.monitoring;
  const perCollector = (value: (collector: (typeof bmp)[number]) => number): Sample[] =>
    bmp.map((collector) => [value(collector), { collector: collector.name }]);
  gauge(
    "bmp_connected",
    "1 when the BMP collector is connected.",
    ...perCollector(({ state }) => (state === "connected" ? 1 : 0)),
  );
  gauge(
    "bmp_pending",
    "Prefixes that the BMP collector has yet to hear of.",
    ...perCollector(({ pending }) => pending),
  );
  counter("bmp_messages_total", "Messages sent to the BMP collector.", ...perCollector((of) => of.messagesSent));
  counter("mrt_updates_lost_total", "UPDATEs and changes of state that were not written to MRT files.", [
    mrt?.updatesLost ?? 0,
  ]);

  gauge("pods", "Pods attached.", [pods.length]);
  gauge("pods_isolated", "1 when pods are kept to their own addresses.", [kernel.isolation.state === "active" ? 1 : 0]);
  counter(
    "pod_packets_dropped_total",
    "Packets of pods that were dropped because a pod has no business to send them.",
    ...Object.entries(kernel.isolation.dropped).map(([reason, packets]): Sample => [packets, { reason }]),
  );
  counter("vanished_pods_total", "Pods that went without a DEL and were released.", [vanished]);
  const perBlock = (value: (block: BlockView) => number): Sample[] =>
    blocks.map((block) => [value(block), { block: block.prefix, pool: block.pool }]);
  gauge("block_used", "Addresses in use.", ...perBlock((block) => block.used));
  gauge("block_capacity", "Usable addresses.", ...perBlock((block) => block.capacity ?? Number.POSITIVE_INFINITY));
  const perPool = (value: (pool: PoolFullness) => number | null): Sample[] =>
    pools.map((pool) => [value(pool) ?? Number.POSITIVE_INFINITY, { pool: pool.pool, family: `ipv${pool.family}` }]);
  gauge("pool_blocks", "Blocks of the pool.", ...perPool(({ blocks }) => blocks));
  gauge("pool_capacity", "Usable addresses.", ...perPool(({ capacity }) => capacity));
  gauge("pool_used", "Addresses in use.", ...perPool(({ used }) => used));
  gauge("pool_free", "Addresses to be had at once.", ...perPool(({ free }) => free));
  gauge("pool_cooling", "Addresses given back that no other pod gets yet.", ...perPool(({ cooling }) => cooling));
  gauge("pool_reserved", "Addresses given only by name, and not in use.", ...perPool(({ reserved }) => reserved));
  gauge("pool_sticky", "Addresses kept for pods that may come again.", ...perPool(({ sticky }) => sticky));
  gauge(
    "pool_level",
    "0: there is room, 1: nearly exhausted, 2: exhausted.",
    ...perPool(({ level }) => ["fine", "filling", "exhausted"].indexOf(level)),
  );
  gauge(
    "block_announced",
    "1 when the block is announced.",
    ...perBlock((block) => (block.state === "announced" ? 1 : 0)),
  );

  const { etcd, claims, exceptions } = status.shared;
  gauge(
    "etcd_connected",
    "1 when etcd can be relied on; absent without a shared pool.",
    ...(etcd ? [[etcd.state === "connected" ? 1 : 0] as Sample] : []),
  );
  counter(
    "block_claims_total",
    "Blocks of shared pools: claimed, claims that failed, given back, lost by the operator's act.",
    ...(["claimed", "failed", "returned", "lost"] as const).map((outcome): Sample => [claims[outcome], { outcome }]),
  );
  counter("block_claim_seconds_total", "Time that successful claims took.", [claims.milliseconds / 1000]);
  gauge(
    "exceptions",
    "Host routes of single addresses outside of the blocks.",
    ...exceptions.map(({ pool, used }): Sample => [used, { pool }]),
  );
  gauge(
    "exceptions_budget",
    "How many there may be.",
    ...exceptions.map(({ pool, budget }): Sample => [budget, { pool }]),
  );

  const { p50, p99, max } = status.eventLoopDelay;
  gauge(
    "event_loop_delay_seconds",
    "How late the event loop ran, over the last minute.",
    [p50 / 1000, { quantile: "0.5" }],
    [p99 / 1000, { quantile: "0.99" }],
    [max / 1000, { quantile: "1" }],
  );
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  metric(Gauge, "process_resident_memory_bytes", "Resident memory.", [[status.memory.rss]]);
  metric(Counter, "process_cpu_seconds_total", "User and system time.", [[(userCPUTime + systemCPUTime) / 1e6]]);
  metric(Gauge, "process_start_time_seconds", "Start of the process, in seconds since 1970.", [
    [Math.round(Date.now() / 1000 - process.uptime())],
  ]);
  return registry.metrics();
}

export const METRICS_MEDIA_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;
