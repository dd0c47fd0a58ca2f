// A neighbour that is not there. Our side of its session is made of the same parts as any other, down to the TCP socket:
// objects that only look alike would have everything compiled for something else. The far end says what it is told to say.
import type { Socket } from "node:net";
import type { Family } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import { silentLog } from "../../net/log.ts";
import type { WorkQueue } from "../../net/work-queue.ts";
import { noRestart } from "../session/graceful-restart.ts";
import { buildOpen } from "../session/negotiate.ts";
import { Peer } from "../session/peer.ts";
import type { SessionHandler } from "../session/types.ts";
import type { SpeakerPeer } from "../speaker-types.ts";
import { KEEPALIVE } from "../wire/message.ts";
import { encodeOpen } from "../wire/open.ts";
import { Afi, Safi } from "../wire/registry.ts";
import { encodeRouteRefresh } from "../wire/route-refresh.ts";
import { encodeEndOfRib } from "../wire/update.ts";
import { loopback } from "./loopback.ts";

export interface ScratchDependencies {
  readonly handler: SessionHandler;
  readonly clock: Clock;
  readonly work: WorkQueue;
}

export class ScratchNeighbour {
  readonly options: SpeakerPeer;
  readonly asn: number;
  readonly #peer: Peer;
  readonly #routerId: number;
  #far: Socket | null = null;
  /** Messages that have been said. */
  #said = 0;

  /** The `template` is a configured peer. With `host` come its name, AS and router id. */
  constructor(
    template: SpeakerPeer,
    host: number,
    policies: Pick<SpeakerPeer, "import" | "export">,
    { handler, clock, work }: ScratchDependencies,
  ) {
    // Numbers of more than 31 bits are other things to V8 than shorter ones: there are both.
    const asn = (host & 1) === 0 ? 4_200_000_000 + host : host;
    this.asn = template.localAsn === asn ? asn + 256 : asn;
    this.#routerId = (host & 1) === 0 ? 0xc000_0200 + host : 0x0a00_0000 + host;
    this.options = {
      ...template,
      ...policies,
      name: `warm-up ${host}`,
      address: Uint8Array.of(127, 0, 0, 1),
      interface: null,
      localAddress: null,
      passive: true,
      remoteAsn: this.asn,
      password: null,
      acceptedPasswords: [],
      role: null,
      requireRole: false,
      families: [4, 6],
      table: 0,
      maxPrefixes: null,
      maxPrefixesOut: null,
    };
    const random = () => 0.5;
    const dependencies = {
      handler,
      clock,
      work,
      random,
      log: silentLog,
      neighbour: null,
      restartState: () => noRestart,
    };
    this.#peer = new Peer(this.options, dependencies);
  }

  get isEstablished(): boolean {
    return this.#peer.session.state === "Established";
  }

  /** All that was said has been read. */
  get isHeard(): boolean {
    return this.#peer.counters.received === this.#said;
  }

  /** Connects and sends an OPEN. False: there is nothing to connect over. */
  async connect(): Promise<boolean> {
    this.#peer.start();
    const connection = await loopback();
    if (!connection) return false;
    this.#far = connection.far;
    this.#peer.accept(connection.near);
    const open = buildOpen(
      {
        ...this.options,
        localAsn: this.asn,
        routerId: this.#routerId,
        gracefulRestart: null,
        addPath: null,
      },
      noRestart,
    );
    this.#say(encodeOpen(open), 1);
    this.#say(KEEPALIVE, 1);
    return true;
  }

  /** Announces a table of so many UPDATEs, as if it had all of its routes in it. */
  announce(updates: Uint8Array, count: number): void {
    this.#say(updates, count);
    for (const family of [4, 6] as const) this.#say(encodeEndOfRib(family), 1);
    this.#say(KEEPALIVE, 1);
  }

  requestRefresh(family: Family): void {
    this.#say(encodeRouteRefresh(family === 4 ? Afi.IPV4 : Afi.IPV6, Safi.UNICAST), 1);
  }

  /** The connection is gone. */
  vanish(): void {
    this.#far?.destroy();
    this.#far = null;
  }

  /** Resolves when nothing is left of it. */
  async stop(): Promise<void> {
    this.vanish();
    await this.#peer.stop({ kind: "restart", reason: "warm-up" });
  }

  #say(messages: Uint8Array, count: number): void {
    this.#said += count;
    this.#far?.write(messages);
  }
}
