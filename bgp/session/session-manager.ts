// All sessions of a speaker: the configured peers, the listeners, and who an incoming connection belongs to.
// In: PeerOptions. Out: SessionHandler callbacks (established, update, down, ...) and PeerStatus.
//
// Link-local neighbours are known by interface and address together, because every switch port may have the same one.
// Known limit: TCP MD5 keys on a listener go by address alone (the kernel ties them to an interface only for VRFs), so two
// link-local neighbours with equal addresses need equal keys.
import { type Family, formatAddress, isLinkLocal } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { native } from "../../net/native.ts";
import { WorkQueue } from "../../net/work-queue.ts";
import { noRestart, type RestartState } from "./graceful-restart.ts";
import { Listener } from "./listener.ts";
import { Peer } from "./peer.ts";
import { type SocketAddress, setSessionOptions, setTtlSecurity } from "./socket-options.ts";
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
}

export type StopMode = "shutdown" | "restart";

export class SessionManager {
  readonly #options: SessionManagerOptions;
  readonly #listener: Listener;
  readonly #work: WorkQueue;
  readonly #peers = new Map<string, Peer>();
  #restart: RestartState = noRestart;
  #running = false;

  constructor(options: SessionManagerOptions) {
    this.#options = options;
    this.#work = new WorkQueue(options.clock);
    this.#listener = new Listener(options.log, (fd, remote) => this.#accept(fd, remote));
  }

  /** Adds a neighbour; it starts at once when the manager is running. Throws when the name or the address is taken. */
  addPeer(options: PeerOptions): void {
    if (this.#peers.has(options.name)) throw new Error(`peer ${options.name} exists already`);
    for (const { options: other } of this.#peers.values())
      if (formatAddress(other.address) === formatAddress(options.address) && other.interface === options.interface)
        throw new Error(
          `peers ${other.name} and ${options.name} have the same address ${formatAddress(options.address)}`,
        );
    const peer = new Peer(options, {
      handler: this.#options.handler,
      clock: this.#options.clock,
      log: this.#options.log,
      work: this.#work,
      random: this.#options.random ?? Math.random,
      restartState: () => this.#restart,
    });
    if (this.#running && options.password) this.#listener.setKey(keyAddress(options), options.password);
    this.#peers.set(options.name, peer);
    if (this.#running) peer.start();
  }

  /** Ends the session and forgets the neighbour: Cease/3 (Peer De-configured), or Cease/6 when it is about to come back. */
  removePeer(name: string, reason: string, kind: "deconfigured" | "changed" = "deconfigured"): void {
    const peer = this.#peers.get(name);
    if (!peer) return;
    this.#peers.delete(name);
    if (peer.options.password && !this.#sharesKey(peer.options)) this.#listener.setKey(keyAddress(peer.options), null);
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
        for (const { options } of this.#peers.values())
          if (options.password) this.#listener.setKey(keyAddress(options), options.password);
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

  #accept(fd: number, remote: SocketAddress): boolean {
    const peer = this.#find(remote);
    if (!peer || !this.#running) return false;
    if (!peer.acceptsConnections()) {
      native().close(fd);
      return true;
    }
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

  #find(remote: SocketAddress): Peer | null {
    const text = formatAddress(remote.address);
    for (const peer of this.#peers.values()) {
      const { address, interface: device } = peer.options;
      if (formatAddress(address) !== text) continue;
      if (remote.scope === 0 || device === null || native().ifNameToIndex(device) === remote.scope) return peer;
    }
    return null;
  }

  /** Another peer with this address still needs the listener's key. */
  #sharesKey(options: PeerOptions): boolean {
    const text = formatAddress(options.address);
    return [...this.#peers.values()].some(
      (peer) => peer.options.password !== null && formatAddress(peer.options.address) === text,
    );
  }
}

function keyAddress(options: PeerOptions): SocketAddress {
  let scope = 0;
  if (options.interface !== null && options.address.length === 16 && isLinkLocal(options.address))
    scope = Math.max(0, native().ifNameToIndex(options.interface));
  return { address: options.address, port: 0, scope };
}
