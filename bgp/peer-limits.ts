// The prefix limits of one peer, in both directions, on its present session: counts what there is, logs, ends the session, or
// says that there is no room. A session that a limit ends stays down for as long as the configuration says.
import type { Family } from "../net/address.ts";
import type { Log } from "../net/log.ts";
import type { PeerErrors } from "./peer-errors.ts";
import type { PeerFamily } from "./peer-family.ts";
import {
  type CountOf,
  describeExceeded,
  type Exceeded,
  exceeded,
  limitData,
  PrefixLimitWatch,
  roomFor,
} from "./prefix-limits.ts";
import type { EstablishedSession } from "./session/types.ts";
import type { SpeakerPeer } from "./speaker-types.ts";
import { CeaseSubcode, ErrorCode } from "./wire/registry.ts";

export interface LimitedPeer {
  readonly options: Pick<SpeakerPeer, "name" | "maxPrefixes" | "maxPrefixesOut">;
  readonly families: ReadonlyMap<Family, PeerFamily>;
  readonly session: EstablishedSession | null;
  readonly errors: PeerErrors;
}

export class PeerLimits {
  readonly #peer: LimitedPeer;
  readonly #log: Log;
  readonly #watch = new PrefixLimitWatch();
  /** Not taken since the last look. */
  #dropped = false;
  readonly #received: CountOf = (family) => this.#peer.families.get(family)?.received ?? 0;
  readonly #advertised: CountOf = (family) => this.#peer.families.get(family)?.advertised ?? 0;

  constructor(peer: LimitedPeer, log: Log) {
    this.#peer = peer;
    this.#log = log;
  }

  established(): void {
    this.#watch.reset();
    this.#dropped = false;
  }

  /** Prefixes beyond a limit are not taken. */
  get drops(): boolean {
    return this.#peer.options.maxPrefixes?.action === "drop";
  }

  /** Takes what there is room for; a prefix that is there already may always change. */
  announce(part: PeerFamily, buffer: Uint8Array, start: number, end: number, attributes: number): void {
    const limits = this.#peer.options.maxPrefixes;
    const room = () => (limits ? roomFor(limits, this.#received, part.family) : Number.POSITIVE_INFINITY);
    const dropped = part.announceWithin(buffer, start, end, attributes, room);
    if (dropped === 0) return;
    this.#peer.errors.prefixesDropped += dropped;
    this.#dropped = true;
  }

  /** After every UPDATE, and when limits have changed. */
  checkReceived(): void {
    const limits = this.#peer.options.maxPrefixes;
    if (limits === null) return;
    const { near, over } = this.#watch.look(limits, this.#received, this.#dropped);
    this.#dropped = false;
    const peer = this.#peer.options.name;
    if (over) {
      const words = `${describeExceeded(over)} received (maxPrefixes)`;
      if (limits.action === "close") {
        this.#end(over, this.#received, words, limits.restartAfter);
        return;
      }
      const then = limits.action === "drop" ? "further ones are not taken" : "only a warning is configured";
      this.#log.warn({ peer, limit: over.limit }, `${words}: ${then}`);
      this.#peer.errors.limit(`${words}: ${then}`);
    } else if (near) {
      const what = near.family === null ? "prefixes" : `IPv${near.family} prefixes`;
      this.#log.warn({ peer, limit: near.limit }, `${what} received have reached ${limits.warnAt} % of maxPrefixes`);
    }
  }

  /** False: the session has been ended, because more would be announced than may be. */
  checkAdvertised(): boolean {
    const limits = this.#peer.options.maxPrefixesOut;
    const over = limits && exceeded(limits, this.#advertised);
    if (!over) return true;
    const words = `${describeExceeded(over)} to announce (maxPrefixesOut)`;
    this.#end(over, this.#advertised, words, limits.restartAfter);
    return false;
  }

  #end(over: Exceeded, count: CountOf, reason: string, restartAfter: number | null): void {
    const { options, session } = this.#peer;
    this.#log.error({ peer: options.name, limit: over.limit }, `prefix limit exceeded: ${reason}, the session ends`);
    const subcode = CeaseSubcode.MAXIMUM_NUMBER_OF_PREFIXES_REACHED;
    session?.hold(ErrorCode.CEASE, subcode, limitData(over, count), reason, restartAfter);
  }
}
