// BFD for the peers that have it configured (RFC 5882): when a session fails, the BGP session beside it ends at once
// instead of at its hold time, and with it the routes.
//
// A BFD session that has never been up holds nothing back: the neighbour may not have BFD yet. AdminDown, said by either
// side, is no failure. While a neighbour restarts (RFC 4724) there is no BGP session to end, and what it sent before stays
// for the restart time.
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

  constructor({ speaker, events, log }: BfdDependencies) {
    this.#speaker = speaker;
    this.#events = events;
    this.#client = new BfdClient({ log });
    this.#client.onState((change) => this.#changed(change));
  }

  /** Rejects when the UDP port is taken. */
  async start(peers: readonly SpeakerPeer[]): Promise<void> {
    await Promise.all(peers.flatMap((peer) => (peer.bfd ? [this.#client.add(bfdPeer(peer, peer.bfd))] : [])));
  }

  /** Takes over a peer's present options; a session whose timing alone is new stays up. Rejects when a port is taken. */
  async update(peer: SpeakerPeer): Promise<void> {
    if (peer.bfd) await this.#client.add(bfdPeer(peer, peer.bfd));
    else await this.remove(peer.name);
  }

  /** The neighbour is told AdminDown. */
  remove(peer: string): Promise<void> {
    return this.#client.remove(peer);
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
  }
}

function bfdPeer(peer: SpeakerPeer, timing: NonNullable<SpeakerPeer["bfd"]>): BfdPeer {
  const { name, address, interface: device, localAddress, multihop } = peer;
  return { name, address, interface: device, localAddress, multihop: (multihop ?? 1) > 1, ...timing };
}
