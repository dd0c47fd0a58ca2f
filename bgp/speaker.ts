// The BGP speaker: sessions on one side, the RIB on the other. Wires them, has no logic of its own.
import { type Family, formatScoped } from "../net/address.ts";
import type { Clock } from "../net/clock.ts";
import type { InstalledBlock } from "../net/installed-block.ts";
import type { Log } from "../net/log.ts";
import type { Prefix } from "../net/prefix.ts";
import type { SpeakerEvent } from "./events.ts";
import type { LocRibView } from "./loc-rib/types.ts";
import { Monitoring } from "./monitor/monitoring.ts";
import { type DumpResult, type MonitoringOptions, type MonitoringView, noMonitoring } from "./monitor/types.ts";
import type { NextHopResolver } from "./next-hop-resolver.ts";
import type { Names } from "./policy/describe.ts";
import { Rib } from "./rib.ts";
import type { RouteQuery } from "./route-query.ts";
import { type RouteWhy, routesTold, routesWhy, type ToldWhy } from "./route-why.ts";
import { SessionManager } from "./session/session-manager.ts";
import type {
  EstablishedInterface,
  OriginatedAttributes,
  SpeakerGroup,
  SpeakerOptions,
  SpeakerPeer,
} from "./speaker-types.ts";
import type { Table } from "./tables.ts";
import { NeighbourDiscovery } from "./unnumbered/discovery.ts";
import type { LinkSource } from "./unnumbered/types.ts";
import type { Heard, PeerView, PrefixCounts, RouteView } from "./views.ts";
import type { PathAttributes } from "./wire/path-attributes.ts";

export interface SpeakerDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly resolver: NextHopResolver;
  /** Interfaces on which peers without an address are found; absent: there can be no such peers. */
  readonly links?: LinkSource;
  /** Whether an address is a pod's of this node; `ifindex`: of a link-local one. Absent: none is. */
  readonly isPod?: (address: Uint8Array, ifindex: number) => boolean;
}

export interface SpeakerRestartState {
  readonly restarting: boolean;
  forwarding(table: number, family: Family): boolean;
}

type DynamicPeer = SpeakerPeer & { readonly address: Uint8Array };

export class Speaker {
  readonly #rib: Rib;
  readonly #sessions: SessionManager;
  readonly #monitoring: Monitoring;
  readonly #groups = new Map<string, SpeakerGroup>();
  readonly #dynamic = new Map<string, DynamicPeer>();
  readonly #dynamicListeners: ((peer: SpeakerPeer, present: boolean) => void)[] = [];

  constructor(options: SpeakerOptions, dependencies: SpeakerDependencies) {
    this.#rib = new Rib(options, dependencies);
    const { clock, log, links } = dependencies;
    this.#monitoring = new Monitoring(options.monitoring ?? noMonitoring, {
      clock,
      log,
      core: this.#rib.core,
      asn: options.asn,
      peers: () => this.#rib.peers,
      wallTime: Date.now,
      random: Math.random,
    });
    this.#rib.setMonitor(this.#monitoring, this.#monitoring.updateTap);
    const { listenPort, listenAddresses } = options;
    const neighbours = links && new NeighbourDiscovery({ clock, log, links });
    const dynamic = {
      open: (group: string, address: Uint8Array, device: string | null) => this.#openDynamic(group, address, device),
      close: (name: string) => this.#closeDynamic(name),
      keeps: (name: string) => this.#rib.staleCount(name) > 0,
      isPod: dependencies.isPod ?? (() => false),
    };
    this.#sessions = new SessionManager({
      handler: this.#rib,
      clock,
      log,
      listenPort,
      listenAddresses,
      neighbours,
      dynamic,
    });
  }

  /** Throws when name or address are taken, the table is not configured, or a policy does not compile. */
  addPeer(peer: SpeakerPeer): void {
    this.#rib.addPeer(peer);
    try {
      this.#sessions.addPeer(peer);
    } catch (error) {
      this.#rib.removePeer(peer.name);
      throw error;
    }
  }

  /** Ends the session; what was learned from the peer is withdrawn. */
  removePeer(name: string, reason = "peer removed from the configuration"): void {
    this.#sessions.removePeer(name, reason);
    this.#rib.removePeer(name);
  }

  /** New import and export policies and limits for a peer, without touching its session. */
  setPolicies(peer: SpeakerPeer): void {
    this.#rib.setPolicies(peer);
  }

  /**
   * New options for a peer. `live`: its session stays as it is, and what concerns connecting counts from the next attempt;
   * `refresh`: the neighbour is asked to send its routes again, too; `reset`: the session ends with Cease/6 and comes back.
   */
  changePeer(peer: SpeakerPeer, impact: "live" | "refresh" | "reset"): void {
    if (impact === "reset") {
      this.#sessions.removePeer(peer.name, "configuration changed", "changed");
      this.#rib.removePeer(peer.name);
      this.addPeer(peer);
      return;
    }
    this.#sessions.setOptions(peer);
    this.#rib.setPolicies(peer);
    if (impact === "refresh") for (const family of peer.families) this.#sessions.requestRefresh(peer.name, family);
  }

  /**
   * Ends a peer's session with Cease/Administrative Shutdown and a text for its operator (RFC 9003), and keeps it down until
   * `enablePeer`; also when the peer is added later. Resolves when the connection is closed, within seconds.
   */
  async disablePeer(name: string, text: string): Promise<void> {
    const closed = this.#sessions.disable(name, text);
    this.#rib.setDisabled(name, true);
    await closed;
  }

  enablePeer(name: string): void {
    this.#rib.setDisabled(name, false);
    this.#sessions.enable(name);
  }

  /** The same for all peers that come out of groups: those that there are end, and no new ones are taken. */
  disableDynamic(text: string): Promise<void> {
    return this.#sessions.disableDynamic(text);
  }

  enableDynamic(): void {
    this.#sessions.enableDynamic();
  }

  /** A peer group with listen ranges; peers come out of it by themselves. */
  addGroup(group: SpeakerGroup): void {
    this.#groups.set(group.name, group);
    this.#sessions.setGroup(group);
  }

  removeGroup(name: string, reason = "peer group removed from the configuration"): void {
    this.#sessions.removeGroup(name, reason);
    this.#groups.delete(name);
  }

  /** As changePeer, for the group and all peers that have come out of it. */
  changeGroup(group: SpeakerGroup, impact: "live" | "refresh" | "reset"): void {
    if (impact === "reset") this.#sessions.removeGroup(group.name, "configuration changed", "changed");
    this.addGroup(group);
    for (const peer of [...this.#dynamic.values()].filter((entry) => entry.group === group.name)) {
      const changed = dynamicPeer(group, peer.address, peer.interface);
      this.#dynamic.set(peer.name, changed);
      this.changePeer(changed, impact);
      this.#tellDynamic(changed, true);
    }
  }

  /** Told of each peer that comes out of a group, or is changed, and (false) that is gone. */
  onDynamicPeer(listener: (peer: SpeakerPeer, present: boolean) => void): void {
    this.#dynamicListeners.push(listener);
  }

  /** Names of the peers there are, those out of groups too. */
  peerNames(): string[] {
    return this.#sessions.names();
  }

  /** Rejects when the port is taken. */
  async start(): Promise<void> {
    await this.#sessions.start();
    this.#monitoring.start();
  }

  /**
   * `shutdown` tells the peers, and their operators `text` (RFC 9003); `restart` leaves them believing, so that
   * graceful-restart helpers keep our routes.
   */
  async stop(mode: "shutdown" | "restart", text?: string): Promise<void> {
    await this.#sessions.stop(mode, text);
    await this.#monitoring.stop();
    this.#rib.stop();
  }

  /** The R and F bits of OPENs to come (RFC 4724 §3): whether forwarding state of a table and family is as it was. */
  setRestartState({ restarting, forwarding }: SpeakerRestartState): void {
    this.#rib.setRestarting(restarting);
    this.#sessions.setRestartState({
      restarting,
      forwarding: ({ name }, family) => forwarding(this.#rib.tableOf(name), family),
    });
  }

  /** Packets to the peer do not arrive: what was kept for it to restart is withdrawn. */
  abortRestart(peer: string, reason: string): void {
    this.#rib.abortRestart(peer, reason);
  }

  /**
   * Originates a block in its table (origin IGP, empty AS path), or changes what it is announced with. Throws when the kernel
   * does not have the block any more.
   */
  announceLocal(block: InstalledBlock, attributes: Partial<OriginatedAttributes> = {}): void {
    block.require();
    this.#rib.announceLocal(block.table, block.prefix, attributes);
  }

  withdrawLocal(table: number, prefix: Prefix): void {
    this.#rib.withdrawLocal(table, prefix);
  }

  /** Peers that have not been told all there is to tell: of a session that is up, something waits or its socket is full. */
  untold(): string[] {
    return this.#rib.untold();
  }

  /** These, and peers whose TCP has not acknowledged all that was sent. */
  undelivered(): string[] {
    return [...new Set([...this.#rib.untold(), ...this.#sessions.undelivered()])];
  }

  /** Peers without a session that may still believe what they were told last, because they keep it or have not noticed. */
  rememberers(): string[] {
    return this.#rib.rememberers();
  }

  /** How far the neighbours with a session have heard of a prefix, as far as they are to be told of it. */
  heard(prefix: Prefix): Heard {
    return this.#rib.heard(prefix);
  }

  /** Called whenever a neighbour may have been told something: what heard() says may be otherwise. */
  set onProgress(listener: () => void) {
    this.#rib.onProgress = listener;
  }

  /** One per table and family. */
  locRibs(): readonly LocRibView[] {
    return this.#rib.locRibs();
  }

  /** A further table, or another name for one. Returns its Loc-RIBs if they are new. */
  addTable(table: Table): readonly LocRibView[] {
    const added = this.#rib.addTable(table);
    this.#monitoring.tablesChanged();
    return added;
  }

  /** Nobody is to use a table any more: it goes when it is empty. Calls back then, unless it was added again. */
  retireTable(id: number, gone: () => void): void {
    this.#rib.retireTable(id, () => {
      this.#monitoring.tablesChanged();
      gone();
    });
  }

  peers(): PeerView[] {
    return this.#sessions.status().map((status) => this.#rib.peerView(status));
  }

  /** Paths in the Loc-RIBs, read as the iterator moves. Throws RangeError on a bad query, for these three. */
  routes(query: RouteQuery = {}): Iterable<RouteView> {
    return this.#rib.routes(query);
  }

  received(peer: string, query: RouteQuery = {}): Iterable<RouteView> {
    return this.#rib.received(peer, query);
  }

  /** Why a prefix has the route that it has, in each table that has heard of it. */
  why(prefix: Prefix, names: Names): RouteWhy[] {
    return routesWhy(this.#rib.core, this.#rib.peers, prefix, names);
  }

  /** Whether these peers were told of a table's route to the prefix, and if not, why. */
  whyTold(prefix: Prefix, table: number, peers: readonly string[], names: Names): ToldWhy[] {
    const some = this.#rib.peers.filter(({ options }) => peers.includes(options.name));
    return routesTold(this.#rib.core, some, prefix, table, names);
  }

  /** The paths that a peer has announced for a prefix, as its import policy sees them. */
  policyInputs(peer: string, prefix: Prefix): PathAttributes[] {
    return this.#rib.policyInputs(peer, prefix);
  }

  advertised(peer: string, query: RouteQuery = {}): Iterable<RouteView> {
    return this.#rib.advertised(peer, query);
  }

  /** Prefixes with a best path, by table. */
  tableCounts(): { readonly table: string; readonly ipv4: number; readonly ipv6: number }[] {
    return this.#rib.tableCounts();
  }

  /** Prefixes with a best path, over all tables. */
  counts(): PrefixCounts {
    return this.#rib.counts();
  }

  /** Takes effect at once. */
  setMonitoring(options: MonitoringOptions): void {
    this.#monitoring.setOptions(options);
    this.#rib.setMonitor(this.#monitoring, this.#monitoring.updateTap);
  }

  /** Writes a TABLE_DUMP_V2 (RFC 6396). Rejects with an Error in words. */
  dump(file: string): Promise<DumpResult> {
    return this.#monitoring.dump(file);
  }

  /** BMP collectors and MRT files. */
  monitoring(): MonitoringView {
    return this.#monitoring.view;
  }

  /** Returns the function that ends the subscription. */
  onEvent(listener: (event: SpeakerEvent) => void): () => void {
    return this.#rib.onEvent(listener);
  }

  /**
   * Calls back once: when every configured peer is Established and has sent End-of-RIB for each family, or when
   * `deferral` seconds have passed. At once when that is so already.
   */
  onConverged(listener: () => void, deferral = 60): void {
    this.#rib.onConverged(listener, deferral);
  }

  /** Asks a peer to send a family again (RFC 2918); false when it cannot. */
  requestRefresh(peer: string, family: Family): boolean {
    return this.#sessions.requestRefresh(peer, family);
  }

  /** Calls back when the neighbour of a peer without an address has come, gone (null), or is another one now. */
  onNeighbour(listener: (peer: string, address: Uint8Array | null) => void): void {
    this.#sessions.onNeighbour(({ name }, address) => listener(name, address));
  }

  /** Established sessions that run over a known interface. */
  establishedInterfaces(): EstablishedInterface[] {
    return this.#rib.establishedInterfaces();
  }

  /** Ends a session with a Cease of this subcode (RFC 4486; default: Administrative Reset); it comes back by itself. */
  resetPeer(peer: string, reason: string, subcode?: number): void {
    this.#sessions.reset(peer, reason, subcode);
  }

  /** The interface of a session went down: routes stay where graceful restart says so, until the neighbour is back. */
  pathLost(peer: string, reason: string): void {
    this.#sessions.pathLost(peer, reason);
  }

  /** What an operator asks for: the session ends (Cease/4) and comes back, also when a limit keeps it down. */
  clearPeer(peer: string, reason: string): void {
    this.#sessions.clear(peer, reason);
  }

  #openDynamic(group: string, address: Uint8Array, device: string | null): SpeakerPeer {
    const options = this.#groups.get(group);
    if (!options) throw new Error(`no peer group ${group}`);
    const peer = dynamicPeer(options, address, device);
    this.#rib.addPeer(peer);
    this.#dynamic.set(peer.name, peer);
    this.#tellDynamic(peer, true);
    return peer;
  }

  #closeDynamic(name: string): void {
    const peer = this.#dynamic.get(name);
    if (!peer) return;
    this.#dynamic.delete(name);
    this.#rib.removePeer(name);
    this.#tellDynamic(peer, false);
  }

  #tellDynamic(peer: SpeakerPeer, present: boolean): void {
    for (const listener of this.#dynamicListeners) listener(peer, present);
  }
}

function dynamicPeer(group: SpeakerGroup, address: Uint8Array, device: string | null): DynamicPeer {
  const { listen, listenLimit, listenPods, ...common } = group;
  return {
    ...common,
    name: `${group.name}/${formatScoped(address, device)}`,
    group: group.name,
    dynamic: true,
    passive: true,
    address,
    interface: device,
    extendedNextHop: group.extendedNextHop ?? address.length === 16,
  };
}
