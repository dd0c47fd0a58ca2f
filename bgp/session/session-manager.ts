// All sessions of a speaker: the configured peers, the listeners, and who an incoming connection belongs to.
// In: PeerOptions. Out: SessionHandler callbacks (established, update, down, ...) and PeerStatus.
//
// Link-local neighbours are known by interface and address together, because every switch port may have the same one. A
// peer without an address is known by its interface alone; who the neighbour is there, a NeighbourFinder knows. What is
// no peer's may be in a listen range; dynamic-peers.ts knows those.
import { type Family, formatAddress, formatScoped, isLinkLocal, sameBytes } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { native } from "../../net/native.ts";
import { WorkQueue } from "../../net/work-queue.ts";
import { type Admission, type DynamicGroup, type DynamicHost, DynamicPeers } from "./dynamic-peers.ts";
import type { FailureLog } from "./failure-log.ts";
import type { FoundNeighbour, NeighbourChange, NeighbourFinder, NeighbourUser } from "./found-neighbour.ts";
import { noRestart, type RestartState } from "./graceful-restart.ts";
import { keysOf } from "./key-rollover.ts";
import { Listener } from "./listener.ts";
import { ListenerKeys } from "./listener-keys.ts";
import { heardWithin, provoke } from "./liveness.ts";
import { Peer, type PeerDependencies } from "./peer.ts";
import { RecordMemory } from "./record-memory.ts";
import { refuse } from "./refusal.ts";
import {
  bindToDevice,
  localEnd,
  type SocketAddress,
  setMd5Key,
  setSessionOptions,
  setTtlSecurity,
} from "./socket-options.ts";
import { hopOptions, wrap } from "./transport.ts";
import type { PeerOptions, PeerStatus, SessionHandler } from "./types.ts";

export interface SessionManagerOptions {
  readonly handler: SessionHandler;
  readonly clock: Clock;
  readonly log: Log;
  /** TCP port; 0: any free one (see `port`); null: no listener. */
  readonly listenPort: number | null;
  /** Empty: all addresses of both families. */
  readonly listenAddresses: readonly Uint8Array[];
  /** Makes peers for groups that listen; absent: there are none. */
  readonly dynamic?: DynamicHost;
  /** 0 to 1, for timer jitter. */
  readonly random?: () => number;
  /** For peers without an address. */
  readonly neighbours?: NeighbourFinder;
}

export type StopMode = "shutdown" | "restart";

export class SessionManager {
  readonly #options: SessionManagerOptions;
  readonly #listener: Listener;
  readonly #work: WorkQueue;
  readonly #keys: ListenerKeys;
  readonly #dynamic: DynamicPeers | null;
  readonly #peers = new Map<string, Peer>();
  readonly #records = new RecordMemory();
  /** By the text of their address, of those that are configured with one: several only on different interfaces. */
  readonly #byAddress = new Map<string, Peer[]>();
  /** By name of a peer without an address. */
  readonly #found = new Map<string, FoundNeighbour>();
  readonly #neighbourListeners: ((peer: PeerOptions, address: Uint8Array | null) => void)[] = [];
  #restart: RestartState = noRestart;
  #running = false;
  /** Names of peers that are kept down. */
  readonly #disabled = new Set<string>();
  #dynamicDisabled = false;

  constructor(options: SessionManagerOptions) {
    this.#options = options;
    const { clock, log, dynamic } = options;
    this.#work = new WorkQueue(clock);
    this.#listener = new Listener(log, (fd, remote) => this.#accept(fd, remote));
    this.#keys = new ListenerKeys(this.#listener, clock, log);
    this.#dynamic =
      dynamic === undefined
        ? null
        : new DynamicPeers(
            dynamic,
            options,
            (peer, failures, waiting) => this.#createDynamic(peer, failures, waiting),
            (peer) => this.#forget(peer),
          );
  }

  /** Adds a neighbour; it starts at once when the manager is running. Throws when the name or the address is taken. */
  addPeer(options: PeerOptions): void {
    if (this.#peers.has(options.name)) throw new Error(`peer ${options.name} exists already`);
    for (const { options: other } of [...this.#peers.values()]) {
      if (!samePlace(other, options)) continue;
      if (!other.dynamic)
        throw new Error(`peers ${other.name} and ${options.name} have the same ${placeText(options)}`);
      void this.#removeDynamic(this.#peers.get(other.name) as Peer, "configured by itself now", "changed");
    }
    const peer = this.#create(options, { neighbour: options.address ? null : this.#findNeighbour(options) });
    if (this.#running && !this.#disabled.has(options.name)) peer.start();
  }

  /** Cease/2 with a text (RFC 9003), and no new session; holds for a peer of that name that is added later, too. */
  async disable(name: string, text: string): Promise<void> {
    this.#disabled.add(name);
    await this.#peers.get(name)?.stop({ kind: "shutdown", reason: text });
  }

  enable(name: string): void {
    if (this.#disabled.delete(name) && this.#running) this.#peers.get(name)?.start();
  }

  async disableDynamic(text: string): Promise<void> {
    this.#dynamicDisabled = true;
    const peers = [...this.#peers.values()].filter(({ options }) => options.dynamic);
    await Promise.all(peers.map((peer) => this.#removeDynamic(peer, text, "shutdown")));
  }

  enableDynamic(): void {
    this.#dynamicDisabled = false;
  }

  /** Peers with a session whose TCP has not acknowledged all that was sent. */
  undelivered(): string[] {
    return [...this.#peers.values()].filter(({ session }) => !session.delivered).map(({ options }) => options.name);
  }

  /** Ends the session and forgets the neighbour: Cease/3 (Peer De-configured), or Cease/6 when it is about to come back. */
  removePeer(name: string, reason: string, kind: "deconfigured" | "changed" = "deconfigured"): void {
    const peer = this.#peers.get(name);
    if (!peer || peer.options.dynamic) return;
    this.#forget(peer);
    if (kind === "changed") this.#records.keep(name, peer.record);
    this.#keys.set(name, null, []);
    this.#found.get(name)?.close();
    this.#found.delete(name);
    void peer.stop({ kind, reason });
  }

  /** A group that listens, or new ranges, limits and keys of one. Peers that no range covers any more are ended. */
  setGroup(group: DynamicGroup): void {
    const dynamic = this.#requireDynamic();
    this.#setRangeKeys(group.name, []);
    for (const peer of dynamic.set(group))
      void this.#removeDynamic(peer, "no longer in a listen range", "deconfigured");
    this.#setRangeKeys(group.name, keysOf(group));
  }

  /** Ends the sessions of its peers: Cease/3, or Cease/6 when they may come back at once. */
  removeGroup(name: string, reason: string, kind: "deconfigured" | "changed" = "deconfigured"): void {
    const dynamic = this.#requireDynamic();
    for (const peer of dynamic.peersOf(name)) void this.#removeDynamic(peer, reason, kind);
    this.#setRangeKeys(name, []);
    dynamic.delete(name);
  }

  /** What does not touch an Established session: how connections are attempted. */
  setOptions(options: PeerOptions): void {
    const peer = this.#peers.get(options.name);
    if (!peer) return;
    if (!options.dynamic) this.#keys.set(options.name, endOf(peer), keysOf(options));
    peer.setOptions(options);
  }

  /**
   * Other TCP MD5 keys for a neighbour. Its session stays up: a key that is still accepted stays in use until the neighbour
   * changes it, another one is replaced at once. Only from no key to one, and back, the session is reset (Cease/6).
   */
  setPassword(name: string, password: Uint8Array | null, accepted: readonly Uint8Array[] = []): void {
    const peer = this.#peers.get(name);
    if (peer) this.setOptions({ ...peer.options, password, acceptedPasswords: accepted });
  }

  /** Opens the listeners and starts every peer. Rejects with a clear Error (port taken, no privilege, ...). */
  async start(): Promise<void> {
    if (this.#running) return;
    const { listenPort, listenAddresses } = this.#options;
    if (listenPort !== null) {
      this.#listener.open(listenAddresses, listenPort);
      try {
        this.#keys.apply();
      } catch (error) {
        this.#keys.stop();
        this.#listener.close();
        throw error;
      }
    }
    this.#running = true;
    for (const [name, peer] of this.#peers) if (!this.#disabled.has(name)) peer.start();
  }

  /**
   * `shutdown`: every neighbour gets Cease/2 with a text (RFC 9003). `restart`: TCP is closed without a NOTIFICATION, so
   * that graceful restart helpers keep our routes (RFC 4724). Resolves when every connection is closed, within seconds.
   */
  async stop(mode: StopMode, text = "daemon stopped"): Promise<void> {
    this.#running = false;
    this.#keys.stop();
    this.#listener.close();
    for (const neighbour of this.#found.values()) neighbour.close();
    await Promise.all([...this.#peers.values()].map((peer) => peer.stop({ kind: mode, reason: text })));
  }

  /** R and F bits of the OPENs to come. */
  setRestartState(state: RestartState): void {
    this.#restart = state;
  }

  names(): string[] {
    return [...this.#peers.keys()];
  }

  status(): PeerStatus[] {
    return [...this.#peers.values()].map((peer) => peer.status());
  }

  /** Sends a ROUTE-REFRESH. False when the session is not up, or the neighbour cannot. */
  requestRefresh(name: string, family: Family): boolean {
    return this.#peers.get(name)?.requestRefresh(family) ?? false;
  }

  /** Cease with this subcode (default: 4, Administrative Reset); the session comes back by itself. */
  reset(name: string, reason: string, subcode?: number): void {
    this.#peers.get(name)?.reset(reason, subcode);
  }

  /** The interface of a session went down: it ends without a NOTIFICATION, and a new one is tried at once. */
  pathLost(name: string, reason: string): void {
    this.#peers.get(name)?.pathLost(reason);
  }

  /** As reset, and a session that a limit keeps down may come back at once. */
  clear(name: string, reason: string): void {
    this.#peers.get(name)?.clear(reason);
  }

  /** The port listened on, null when not listening. */
  get port(): number | null {
    return this.#listener.port;
  }

  /** Calls back when the neighbour of a peer without an address has come, gone, or is another one now. */
  onNeighbour(listener: (peer: PeerOptions, address: Uint8Array | null) => void): void {
    this.#neighbourListeners.push(listener);
  }

  #findNeighbour(options: PeerOptions): FoundNeighbour {
    const { neighbours } = this.#options;
    const { name, interface: device, routerAdvertisements = true } = options;
    if (!neighbours || device === null) throw new Error(`peer ${name} has no address, and nobody to find it`);
    const withPeer = <T>(what: (peer: Peer) => T) => {
      const peer = this.#peers.get(name);
      return peer && what(peer);
    };
    const user: NeighbourUser = {
      changed: (change) => withPeer((peer) => this.#neighbourChanged(peer, change)),
      provoke: () => withPeer(({ session }) => provoke(session)),
      heardWithin: (milliseconds) => withPeer(({ session }) => heardWithin(session, milliseconds)) ?? false,
    };
    const found = neighbours.find(device, { advertise: routerAdvertisements }, user);
    this.#found.set(name, found);
    return found;
  }

  #neighbourChanged(peer: Peer, change: NeighbourChange): void {
    const { options, address } = peer;
    try {
      this.#keys.set(options.name, endOf(peer), keysOf(options));
    } catch (error) {
      this.#options.log.error({ err: error, peer: options.name }, "setting the key of a neighbour failed");
    }
    peer.neighbourChanged(change);
    for (const listener of this.#neighbourListeners) listener(options, address);
  }

  #accept(fd: number, remote: SocketAddress): boolean {
    if (!this.#running) return false;
    const known = this.#find(remote);
    const admission = known ? ({ kind: "peer", peer: known } as const) : this.#admit(remote);
    if (!admission || admission.kind === "stranger") return false;
    if (admission.kind === "peer" && this.#disabled.has(admission.peer.options.name)) {
      // Not with a NOTIFICATION, for which it would hold off longer each time: it is to be there when we are back.
      native().close(fd);
      return true;
    }
    if (admission.kind !== "peer" || !admission.peer.acceptsConnections()) {
      refuse(fd);
      return true;
    }
    const { peer } = admission;
    const { options } = peer;
    const { localAddress, interface: device } = options;
    if (!peer.admits(remote.address)) return false;
    const local = localEnd(fd);
    if (localAddress && !sameBytes(local.address, localAddress)) {
      const [to, wanted] = [formatAddress(local.address), formatAddress(localAddress)];
      peer.refused(`the neighbour connects to ${to}, but localAddress is ${wanted}: refused`);
      refuse(fd);
      return true;
    }
    const key = this.#keys.current(keysOf(options));
    // It may have come in before the listener had the key.
    if (key && options.address === null) setMd5Key(fd, remote, key);
    // The kernel has done so already where the address itself is tied to the interface.
    if (device !== null && remote.scope === 0) bindToDevice(fd, device);
    const hops = hopOptions(options);
    setSessionOptions(fd, remote.address.length, hops);
    setTtlSecurity(fd, remote.address.length, hops);
    const transport = wrap(fd, remote, "remote", key);
    try {
      peer.accept(transport);
    } catch (error) {
      // The descriptor is the socket's by now: the listener must not close it.
      this.#options.log.error({ err: error, peer: peer.options.name }, "accepting a connection failed");
      transport.socket.destroy();
    }
    return true;
  }

  #admit(remote: SocketAddress): Admission | undefined {
    return this.#dynamicDisabled ? this.#dynamic?.refuses(remote) : this.#dynamic?.admit(remote);
  }

  /** Null: nobody's. A peer without an address has all of its interface but what other peers have. */
  #find(remote: SocketAddress): Peer | null {
    const here = (device: string | null) =>
      remote.scope === 0 || device === null || native().ifNameToIndex(device) === remote.scope;
    for (const peer of this.#byAddress.get(formatAddress(remote.address)) ?? [])
      if (here(peer.options.interface)) return peer;
    if (remote.scope === 0 || remote.address.length !== 16 || !isLinkLocal(remote.address)) return null;
    for (const name of this.#found.keys()) {
      const peer = this.#peers.get(name);
      if (peer && here(peer.options.interface)) return peer;
    }
    return null;
  }

  #create(options: PeerOptions, more: Pick<PeerDependencies, "neighbour" | "failures" | "onWaiting">): Peer {
    const { handler, clock, log, random = Math.random } = this.#options;
    const restartState = () => this.#restart;
    const record = this.#records.take(options.name);
    const peer = new Peer(options, { handler, clock, log, work: this.#work, random, restartState, record, ...more });
    if (!options.dynamic) this.#keys.set(options.name, endOf(peer), keysOf(options));
    this.#peers.set(options.name, peer);
    if (options.address) {
      const text = formatAddress(options.address);
      this.#byAddress.set(text, [...(this.#byAddress.get(text) ?? []), peer]);
    }
    return peer;
  }

  #createDynamic(options: PeerOptions, failures: FailureLog, onWaiting: () => void): Peer {
    const peer = this.#create(options, { neighbour: null, failures, onWaiting });
    peer.start();
    return peer;
  }

  #forget(peer: Peer): void {
    const { name, address } = peer.options;
    this.#peers.delete(name);
    if (peer.options.dynamic) this.#records.keep(name, peer.record);
    if (!address) return;
    const text = formatAddress(address);
    const others = (this.#byAddress.get(text) ?? []).filter((other) => other !== peer);
    if (others.length > 0) this.#byAddress.set(text, others);
    else this.#byAddress.delete(text);
  }

  #removeDynamic(peer: Peer, reason: string, kind: "deconfigured" | "changed" | "shutdown"): Promise<void> {
    this.#forget(peer);
    const stopped = peer.stop({ kind, reason });
    this.#dynamic?.removed(peer);
    return stopped;
  }

  #setRangeKeys(group: string, keys: readonly Uint8Array[]): void {
    const { listen = [] } = this.#dynamic?.groups.find(({ name }) => name === group) ?? {};
    for (const [index, { prefix }] of listen.entries())
      this.#keys.set(`${group}/${index}`, { address: prefix.bytes, port: 0, scope: 0 }, keys, prefix.length);
  }

  #requireDynamic(): DynamicPeers {
    if (!this.#dynamic) throw new Error("this manager has nobody who makes peers for groups");
    return this.#dynamic;
  }
}

/** The neighbour's end, null: not known yet. */
function endOf({ address, options }: Peer): SocketAddress | null {
  if (!address) return null;
  const scoped = options.interface !== null && address.length === 16 && isLinkLocal(address);
  const scope = scoped ? Math.max(0, native().ifNameToIndex(options.interface)) : 0;
  return { address, port: 0, scope };
}

function samePlace(a: PeerOptions, b: PeerOptions): boolean {
  if (a.interface !== b.interface) return false;
  return a.address && b.address ? sameBytes(a.address, b.address) : a.address === b.address;
}

function placeText({ address, interface: device }: PeerOptions): string {
  return address ? `address ${formatScoped(address, device)}` : `interface ${device}`;
}
