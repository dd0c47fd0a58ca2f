// All BFD sessions of a node: which session a packet belongs to (RFC 5880 §6.8.6, RFC 5881 §3, §5), and their life from
// add to a said good-bye. In: peers, datagrams. Out: datagrams through an Outlet per session, changes of state. No sockets
// here; sockets.ts has them.
//
// A packet must come from the neighbour's address even when it names our discriminator: stricter than RFC 5880, and nobody
// changes the address of a running session.
import { sameBytes } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import { CONTROL_LENGTH, type ControlPacket, type Discard, decodeControl, encodeControl } from "./packet.ts";
import { BfdSession, type StateChange } from "./session.ts";
import { countDiscarded, countReceived, countSent, countUp, type StatusWords, writeSession } from "./status-words.ts";
import type { BfdPeer } from "./types.ts";

/** RFC 5881 §5: sent with 255, and anything less has passed a router. */
export const GTSM_TTL = 255;

/** AdminDown is said so often, so that one lost packet does not turn a stop into a failure. */
const FAREWELLS = 3;
const FAREWELL_SPACING = 20;

export interface Datagram {
  readonly bytes: Uint8Array;
  readonly length: number;
  /** 4 or 16 bytes. */
  readonly source: Uint8Array;
  readonly ifindex: number;
  readonly ttl: number;
  /** Came to the port of multihop sessions. */
  readonly multihop: boolean;
}

/** Where a session's packets leave. */
export interface Outlet {
  /** 0, or the error's number. */
  send(bytes: Uint8Array): number;
  /** Whether this is the interface that the session is tied to; true for one that is tied to none. */
  accepts(ifindex: number): boolean;
  close(): void;
}

export interface EngineDependencies {
  readonly clock: Clock;
  random(): number;
  /** A number from 1 to 2^32-1 that others do not guess. */
  discriminator(): number;
  open(peer: BfdPeer): Outlet;
  stateChanged(peer: string, change: StateChange): void;
  /** A datagram came from an address that is no peer. */
  stranger(source: Uint8Array): void;
  /** Hands over every datagram that has arrived by now. */
  catchUp(): void;
}

interface Entry {
  readonly peer: BfdPeer;
  readonly session: BfdSession;
  readonly outlet: Outlet;
  readonly words: StatusWords;
}

export class BfdEngine {
  readonly #dependencies: EngineDependencies;
  readonly #byName = new Map<string, Entry>();
  readonly #byDiscriminator = new Map<number, Entry>();
  constructor(dependencies: EngineDependencies) {
    this.#dependencies = dependencies;
  }

  /** Starts a session; of one that runs already, changes its pace. */
  add(peer: BfdPeer, words: StatusWords): void {
    const running = this.#byName.get(peer.name);
    if (running) {
      running.session.configure(peer);
      writeSession(words, running.session);
      return;
    }
    const { clock, random, open, stateChanged, catchUp } = this.#dependencies;
    const outlet = open(peer);
    const bytes = new Uint8Array(CONTROL_LENGTH);
    const session: BfdSession = new BfdSession(this.#unusedDiscriminator(), peer, {
      clock,
      random,
      catchUp,
      send: (packet) => {
        encodeControl(packet, bytes);
        countSent(words, outlet.send(bytes));
        writeSession(words, session);
      },
      stateChanged: (change) => {
        writeSession(words, session);
        if (change.to === "Up") countUp(words);
        stateChanged(peer.name, change);
      },
    });
    const entry = { peer, session, outlet, words };
    this.#byName.set(peer.name, entry);
    this.#byDiscriminator.set(session.localDiscriminator, entry);
    session.start();
  }

  /** Says AdminDown and forgets the session. Resolves when the last word is out. */
  async remove(name: string): Promise<void> {
    const entry = this.#byName.get(name);
    if (!entry) return;
    this.#byName.delete(name);
    this.#byDiscriminator.delete(entry.session.localDiscriminator);
    entry.session.shutdown();
    for (let said = 1; said < FAREWELLS; said++) {
      await new Promise<void>((resolve) => this.#dependencies.clock.after(FAREWELL_SPACING, resolve));
      entry.session.repeat();
    }
    entry.session.close();
    entry.outlet.close();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#byName.keys()].map((name) => this.remove(name)));
  }

  receive(datagram: Datagram): void {
    const packet = decodeControl(datagram.bytes, datagram.length);
    const entry =
      typeof packet !== "string" && packet.yourDiscriminator !== 0
        ? this.#byDiscriminator.get(packet.yourDiscriminator)
        : this.#bySource(datagram);
    if (!entry) {
      // A neighbour's packets to a session of a former run are nothing to report: they stop with the new handshake.
      if (!this.#bySource(datagram)) this.#dependencies.stranger(datagram.source);
      return;
    }
    const fault = typeof packet === "string" ? packet : this.#fault(entry, datagram);
    if (fault) {
      countDiscarded(entry.words, fault);
      return;
    }
    countReceived(entry.words);
    entry.session.receive(packet as ControlPacket);
    writeSession(entry.words, entry.session);
  }

  #fault({ peer, outlet }: Entry, datagram: Datagram): Discard | null {
    if (!sameBytes(peer.address, datagram.source) || peer.multihop !== datagram.multihop)
      return "your discriminator is that of another session";
    if (!peer.multihop && datagram.ttl !== GTSM_TTL) return "TTL is not 255: it was forwarded by a router";
    if (!outlet.accepts(datagram.ifindex)) return "came in on another interface";
    return null;
  }

  #bySource(datagram: Datagram): Entry | null {
    let elsewhere: Entry | null = null;
    for (const entry of this.#byName.values()) {
      if (entry.peer.multihop !== datagram.multihop || !sameBytes(entry.peer.address, datagram.source)) continue;
      if (entry.outlet.accepts(datagram.ifindex)) return entry;
      elsewhere = entry;
    }
    return elsewhere;
  }

  #unusedDiscriminator(): number {
    for (;;) {
      const discriminator = this.#dependencies.discriminator();
      if (!this.#byDiscriminator.has(discriminator)) return discriminator;
    }
  }
}
