// All sessions of a speaker: the configured peers, the listeners, and who an incoming connection belongs to.
// In: PeerOptions. Out: SessionHandler callbacks (established, update, down, ...) and PeerStatus.
//
// Link-local neighbours are known by interface and address together, because every switch port may have the same one. A
// peer without an address is known by its interface alone; who the neighbour is there, a NeighbourFinder knows.
import { type Family, formatScoped, isLinkLocal, sameBytes } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { native } from "../../net/native.ts";
import { WorkQueue } from "../../net/work-queue.ts";
import type { FoundNeighbour, NeighbourChange, NeighbourFinder } from "./found-neighbour.ts";
import { noRestart, type RestartState } from "./graceful-restart.ts";
import { Listener } from "./listener.ts";
import { ListenerKeys } from "./listener-keys.ts";
import { Peer } from "./peer.ts";
import { type SocketAddress, setMd5Key, setSessionOptions, setTtlSecurity } from "./socket-options.ts";
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
  readonly #peers = new Map<string, Peer>();
  readonly #keys: ListenerKeys;
  /** By name of a peer without an address. */
  readonly #found = new Map<string, FoundNeighbour>();
  readonly #neighbourListeners: ((peer: PeerOptions, address: Uint8Array | null) => void)[] = [];
  #restart: RestartState = noRestart;
  #running = false;

  constructor(options: SessionManagerOptions) {
    this.#options = options;
    this.#work = new WorkQueue(options.clock);
    this.#listener = new Listener(options.log, (fd, remote) => this.#accept(fd, remote));
    this.#keys = new ListenerKeys(this.#listener);
  }

  /** Adds a neighbour; it starts at once when the manager is running. Throws when the name or the address is taken. */
  addPeer(options: PeerOptions): void {
    if (this.#peers.has(options.name)) throw new Error(`peer ${options.name} exists already`);
    for (const { options: other } of this.#peers.values())
      if (samePlace(other, options))
        throw new Error(`peers ${other.name} and ${options.name} have the same ${placeText(options)}`);
    const neighbour = options.address ? null : this.#findNeighbour(options);
    const peer = new Peer(options, {
      handler: this.#options.handler,
      clock: this.#options.clock,
      log: this.#options.log,
      work: this.#work,
      neighbour,
      random: this.#options.random ?? Math.random,
      restartState: () => this.#restart,
    });
    this.#keys.set(options.name, endOf(peer), options.password);
    this.#peers.set(options.name, peer);
    if (this.#running) peer.start();
  }

  /** Ends the session and forgets the neighbour: Cease/3 (Peer De-configured), or Cease/6 when it is about to come back. */
  removePeer(name: string, reason: string, kind: "deconfigured" | "changed" = "deconfigured"): void {
    const peer = this.#peers.get(name);
    if (!peer) return;
    this.#peers.delete(name);
    this.#keys.set(name, null, null);
    this.#found.get(name)?.close();
    this.#found.delete(name);
    void peer.stop({ kind, reason });
  }

  /** What does not touch an Established session: how connections are attempted. */
  setOptions(options: PeerOptions): void {
    this.#peers.get(options.name)?.setOptions(options);
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
        this.#listener.close();
        throw error;
      }
    }
    this.#running = true;
    for (const peer of this.#peers.values()) peer.start();
  }

  /**
   * `shutdown`: every neighbour gets Cease/2 with a text (RFC 9003). `restart`: TCP is closed without a NOTIFICATION, so
   * that graceful restart helpers keep our routes (RFC 4724). Resolves when every connection is closed, within seconds.
   */
  async stop(mode: StopMode, text = "daemon stopped"): Promise<void> {
    this.#running = false;
    this.#listener.close();
    for (const neighbour of this.#found.values()) neighbour.close();
    await Promise.all([...this.#peers.values()].map((peer) => peer.stop({ kind: mode, reason: text })));
  }

  /** R and F bits of the OPENs to come. */
  setRestartState(state: RestartState): void {
    this.#restart = state;
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
    const found = neighbours.find(device, { advertise: routerAdvertisements }, (change) => {
      const peer = this.#peers.get(name);
      if (peer) this.#neighbourChanged(peer, change);
    });
    this.#found.set(name, found);
    return found;
  }

  #neighbourChanged(peer: Peer, change: NeighbourChange): void {
    const { options, address } = peer;
    try {
      this.#keys.set(options.name, endOf(peer), options.password);
    } catch (error) {
      this.#options.log.error({ err: error, peer: options.name }, "setting the key of a neighbour failed");
    }
    peer.neighbourChanged(change);
    for (const listener of this.#neighbourListeners) listener(options, address);
  }

  #accept(fd: number, remote: SocketAddress): boolean {
    const peer = this.#find(remote);
    if (!peer || !this.#running) return false;
    if (!peer.acceptsConnections()) {
      native().close(fd);
      return true;
    }
    if (!peer.admits(remote.address)) return false;
    const { password } = peer.options;
    // It may have come in before the listener had the key.
    if (password && peer.options.address === null) setMd5Key(fd, remote, password);
    const hops = hopOptions(peer.options);
    setSessionOptions(fd, remote.address.length, hops);
    setTtlSecurity(fd, remote.address.length, hops);
    const transport = wrap(fd, remote, "remote");
    try {
      peer.accept(transport);
    } catch (error) {
      // The descriptor is the socket's by now: the listener must not close it.
      this.#options.log.error({ err: error, peer: peer.options.name }, "accepting a connection failed");
      transport.socket.destroy();
    }
    return true;
  }

  /** Null: nobody's. A peer without an address has all of its interface but what other peers have. */
  #find(remote: SocketAddress): Peer | null {
    const linkLocal = remote.address.length === 16 && isLinkLocal(remote.address);
    let unnumbered: Peer | null = null;
    for (const peer of this.#peers.values()) {
      const { address, interface: device } = peer.options;
      if (address ? !sameBytes(address, remote.address) : !linkLocal || remote.scope === 0) continue;
      if (remote.scope !== 0 && device !== null && native().ifNameToIndex(device) !== remote.scope) continue;
      if (address) return peer;
      unnumbered = peer;
    }
    return unnumbered;
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
