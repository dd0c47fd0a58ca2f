// BFD for the peers that have it configured (RFC 5882): when a session fails, the BGP session beside it ends at once
// instead of at its hold time, and with it the routes.
//
// A BFD session that has never been up holds nothing back: the neighbour may not have BFD yet. AdminDown, said by
// either side, is no failure. A failure while the neighbour restarts (RFC 4724), when there is no BGP session to end:
// its BFD restarts with it, unless it says that it does not (C bit) and packets do not arrive; then the path is what
// failed, and what it sent before goes at once (§4.3.1; that our own BFD shares the fate of our control plane, as our C
// bit says, is no doubt here: we are alive). A peer that is found on its interface is watched as soon as its address is
// known.
import { BfdClient } from "../bgp/bfd/client.ts";
import type { BfdChange, BfdPeer } from "../bgp/bfd/types.ts";
import type { Speaker } from "../bgp/speaker.ts";
import type { SpeakerPeer } from "../bgp/speaker-types.ts";
import type { PeerView } from "../bgp/views.ts";
import { CeaseSubcode } from "../bgp/wire/registry.ts";
import type { Log } from "../net/log.ts";
import type { EventHub } from "./events.ts";

export interface BfdDependencies {
  readonly speaker: Speaker;
  readonly events: EventHub;
  readonly log: Log;
}

export class Bfd {
  readonly #client: BfdClient;
  readonly #speaker: Speaker;
  readonly #events: EventHub;
  /** Peers without an address, and where they were found. */
  readonly #unnumbered = new Map<string, SpeakerPeer>();
  readonly #found = new Map<string, Uint8Array>();
  /** By peer: what is being done, in order. */
  readonly #work = new Map<string, Promise<void>>();

  constructor({ speaker, events, log }: BfdDependencies) {
    this.#speaker = speaker;
    this.#events = events;
    this.#client = new BfdClient({ log });
    this.#client.onState((change) => this.#changed(change));
    speaker.onNeighbour((name, address) => {
      if (address) this.#found.set(name, address);
      else this.#found.delete(name);
      const peer = this.#unnumbered.get(name);
      if (peer) this.#watch(peer).catch((error) => log.error({ peer: name, err: error }, "BFD cannot be started"));
    });
  }

  /** Rejects when the UDP port is taken. */
  async start(peers: readonly SpeakerPeer[]): Promise<void> {
    await Promise.all(peers.flatMap((peer) => (peer.bfd ? [this.update(peer)] : [])));
  }

  /** Takes over a peer's present options; a session whose timing alone is new stays up. Rejects when a port is taken. */
  async update(peer: SpeakerPeer): Promise<void> {
    if (peer.address === null) this.#unnumbered.set(peer.name, peer);
    else this.#unnumbered.delete(peer.name);
    await this.#watch(peer);
  }

  /** The neighbour is told AdminDown. */
  remove(peer: string): Promise<void> {
    this.#unnumbered.delete(peer);
    this.#found.delete(peer);
    return this.#inOrder(peer, () => this.#client.remove(peer));
  }

  /** A peer without an address is watched while its neighbour is known. */
  #watch(peer: SpeakerPeer): Promise<void> {
    return this.#inOrder(peer.name, () => {
      const address = peer.address ?? this.#found.get(peer.name);
      return peer.bfd && address ? this.#client.add(bfdPeer(peer, address, peer.bfd)) : this.#client.remove(peer.name);
    });
  }

  #inOrder(peer: string, work: () => Promise<void>): Promise<void> {
    const run = (this.#work.get(peer) ?? Promise.resolve()).then(work);
    const settled = run
      .catch(() => undefined)
      .then(() => {
        if (this.#work.get(peer) === settled) this.#work.delete(peer);
      });
    this.#work.set(peer, settled);
    return run;
  }

  onFailure(listener: (error: Error) => void): void {
    this.#client.onFailure(listener);
  }

  /** What is not well beside Established sessions. */
  problems(peers: readonly PeerView[]): string[] {
    return peers.flatMap(({ name, state, bfd }) =>
      state === "Established" && bfd && bfd.state !== "Up" ? [`BFD with peer ${name} is ${bfd.state}`] : [],
    );
  }

  /** A peer with its BFD session, null without one. */
  withStatus(peer: PeerView): PeerView {
    return { ...peer, bfd: this.#client.statusOf(peer.name) };
  }

  /** Neighbours are told AdminDown. */
  stop(): Promise<void> {
    return this.#client.stop();
  }

  #changed(change: BfdChange): void {
    this.#events.emit("bfd", change);
    if (!change.failed) return;
    const { state } = this.#speaker.peers().find(({ name }) => name === change.peer) ?? {};
    if (state === "Established")
      this.#speaker.resetPeer(change.peer, `BFD session down: ${change.reason}`, CeaseSubcode.BFD_DOWN);
    else if (change.independent) this.#speaker.abortRestart(change.peer, `BFD session down: ${change.reason}`);
  }
}

function bfdPeer(peer: SpeakerPeer, address: Uint8Array, timing: NonNullable<SpeakerPeer["bfd"]>): BfdPeer {
  const { name, interface: device, localAddress, multihop } = peer;
  return { name, address, interface: device, localAddress, multihop: (multihop ?? 1) > 1, ...timing };
}
