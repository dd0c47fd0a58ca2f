// Listen ranges of peer groups: which group an address that is no configured peer belongs to, how many such peers there
// may be, and when one is over. In: connections that nobody else has. Out: Peers that only exist with their session, and
// as long as routes of theirs are kept for a restart (RFC 4724).
//
// The longest matching prefix decides. A peer goes when it waits for a connection again, so that one whose sessions keep
// failing is held off by its idle hold like any other, but is forgotten afterwards.
import { formatAddress } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { native } from "../../net/native.ts";
import { contains, hostPrefix, type Prefix } from "../../net/prefix.ts";
import { FailureLog } from "./failure-log.ts";
import type { Peer } from "./peer.ts";
import type { SocketAddress } from "./socket-options.ts";
import type { PeerOptions } from "./types.ts";

/** A peer group that listens. */
export interface DynamicGroup {
  readonly name: string;
  readonly listen: readonly { readonly prefix: Prefix; readonly interface: string | null }[];
  readonly listenLimit: number;
  /** Pods of this node are taken, too. */
  readonly listenPods: boolean;
  readonly password: Uint8Array | null;
  readonly acceptedPasswords: readonly Uint8Array[];
}

/** Who makes peers out of groups. */
export interface DynamicHost {
  /** Options of a new peer; what belongs to it beside its session is there when this returns. */
  open(group: string, address: Uint8Array, device: string | null): PeerOptions;
  /** The peer is gone. */
  close(name: string): void;
  /** Routes of the peer are kept although its session is down. */
  keeps(name: string): boolean;
  /** An address of a pod of this node, or one on a pod's interface (`scope`: its index, of a link-local address). */
  isPod(address: Uint8Array, scope: number): boolean;
}

/** Milliseconds from one look at whether routes are still kept to the next. */
const RETIRE_INTERVAL = 1_000;
/** Milliseconds between two lines about connections that a group does not take. */
const LIMIT_LOG_INTERVAL = 10_000;

interface Group {
  options: DynamicGroup;
  readonly peers: Map<string, Peer>;
  readonly failures: FailureLog;
  refused: number;
  refusedLogged: number;
}

/** `full`: the group has as many as it may have. */
export type Admission =
  | { readonly kind: "peer"; readonly peer: Peer }
  | { readonly kind: "full" }
  | { readonly kind: "stranger" };

export class DynamicPeers {
  readonly #host: DynamicHost;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #create: (options: PeerOptions, failures: FailureLog, waiting: () => void) => Peer;
  readonly #remove: (peer: Peer) => void;
  readonly #groups = new Map<string, Group>();

  /** `create` makes a peer known and starts it, `remove` forgets it. */
  constructor(
    host: DynamicHost,
    { clock, log }: { readonly clock: Clock; readonly log: Log },
    create: (options: PeerOptions, failures: FailureLog, waiting: () => void) => Peer,
    remove: (peer: Peer) => void,
  ) {
    this.#host = host;
    this.#clock = clock;
    this.#log = log;
    this.#create = create;
    this.#remove = remove;
  }

  get groups(): DynamicGroup[] {
    return [...this.#groups.values()].map(({ options }) => options);
  }

  /** A new group, or new options of one; returns the peers that its ranges do not cover any more. */
  set(options: DynamicGroup): Peer[] {
    const known = this.#groups.get(options.name);
    if (known) {
      known.options = options;
      return [...known.peers.values()].filter(
        ({ options: { address, interface: device } }) =>
          address !== null &&
          !options.listen.some((range) => contains(range.prefix, hostPrefix(address)) && range.interface === device),
      );
    }
    const failures = new FailureLog(this.#clock, (fields) =>
      this.#log.info({ group: options.name, ...fields }, "session failed"),
    );
    this.#groups.set(options.name, {
      options,
      peers: new Map(),
      failures,
      refused: 0,
      refusedLogged: Number.NEGATIVE_INFINITY,
    });
    return [];
  }

  /** Forgets the group; returns its peers, which go with it. */
  delete(name: string): Peer[] {
    const group = this.#groups.get(name);
    this.#groups.delete(name);
    return group ? [...group.peers.values()] : [];
  }

  peersOf(name: string): Peer[] {
    return [...(this.#groups.get(name)?.peers.values() ?? [])];
  }

  /** A connection from an address that is no peer. */
  admit({ address, scope }: SocketAddress): Admission {
    const found = this.#find(address, scope);
    if (!found) return { kind: "stranger" };
    const { group, device } = found;
    if (!group.options.listenPods && this.#host.isPod(address, scope)) {
      this.#refused(group, address, "a pod of this node, and listenPods is false");
      return { kind: "stranger" };
    }
    if (group.peers.size >= group.options.listenLimit) {
      this.#refused(group, address, `the group has its ${group.options.listenLimit} peers (listenLimit)`);
      return { kind: "full" };
    }
    const options = this.#host.open(group.options.name, address, device);
    let peer: Peer | null = null;
    try {
      peer = this.#create(options, group.failures, () => this.#clock.after(0, () => peer && this.#retire(group, peer)));
    } catch (error) {
      this.#host.close(options.name);
      throw error;
    }
    group.peers.set(options.name, peer);
    return { kind: "peer", peer };
  }

  /** What `admit` says while no new peers are taken. */
  refuses({ address, scope }: SocketAddress): Admission {
    return this.#find(address, scope) ? { kind: "full" } : { kind: "stranger" };
  }

  /** The peer is gone for another reason than the end of its session. */
  removed(peer: Peer): void {
    const { name, group } = peer.options;
    this.#groups.get(group ?? "")?.peers.delete(name);
    this.#host.close(name);
  }

  #find(address: Uint8Array, scope: number): { group: Group; device: string | null } | null {
    const host = hostPrefix(address);
    let best: { group: Group; device: string | null; length: number } | null = null;
    for (const group of this.#groups.values())
      for (const { prefix, interface: device } of group.options.listen) {
        if (best && best.length >= prefix.length) continue;
        if (!contains(prefix, host)) continue;
        if (scope !== 0 && device !== null && native().ifNameToIndex(device) !== scope) continue;
        best = { group, device, length: prefix.length };
      }
    return best;
  }

  #refused(group: Group, address: Uint8Array, why: string): void {
    group.refused++;
    const now = this.#clock.now();
    if (now - group.refusedLogged < LIMIT_LOG_INTERVAL) return;
    this.#log.warn(
      { group: group.options.name, address: formatAddress(address), refused: group.refused },
      `${why}: connection refused`,
    );
    group.refused = 0;
    group.refusedLogged = now;
  }

  #retire(group: Group, peer: Peer): void {
    const { name } = peer.options;
    if (group.peers.get(name) !== peer || !peer.waiting) return;
    if (this.#host.keeps(name)) {
      this.#clock.after(RETIRE_INTERVAL, () => this.#retire(group, peer));
      return;
    }
    group.peers.delete(name);
    this.#remove(peer);
    this.#host.close(name);
  }
}
