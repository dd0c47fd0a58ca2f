// TCP MD5 keys of the listeners (RFC 2385), by peer, or by listen range of a group. The kernel keeps one key for an address.
// Where several are accepted they take turns, so that a neighbour with any of them gets through with one of its SYNs,
// which TCP repeats after 1 s, 3 s and 7 s.
//
// A key goes by the neighbour's address alone (the kernel ties one to an interface only in a VRF): of two link-local
// neighbours with one address on two interfaces, the key set last counts for connections that come in, and when one goes
// the other's is there again. All turns are one counter: equal keys stay equal.
import { formatAddress } from "../../net/address.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import type { Listener } from "./listener.ts";
import type { SocketAddress } from "./socket-options.ts";

/** Milliseconds of one turn. */
const TURN = 2_000;

interface Entry {
  readonly neighbour: SocketAddress;
  readonly prefixLength: number;
  /** At least one. */
  readonly keys: readonly Uint8Array[];
}

export class ListenerKeys {
  readonly #listener: Pick<Listener, "setKey">;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #entries = new Map<string, Entry>();
  #turn = 0;
  #timer: Timer | null = null;

  constructor(listener: Pick<Listener, "setKey">, clock: Clock, log: Log) {
    this.#listener = listener;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Replaces what the owner had; for all addresses that share the first `prefixLength` bits. Without keys, or (null)
   * without an address yet, it has none. Throws when the kernel refuses.
   */
  set(
    owner: string,
    neighbour: SocketAddress | null,
    keys: readonly Uint8Array[],
    prefixLength: number = (neighbour?.address.length ?? 0) * 8,
  ): void {
    const before = this.#entries.get(owner);
    this.#entries.delete(owner);
    const entry = neighbour && keys.length > 0 ? { neighbour, prefixLength, keys } : null;
    if (before && !(entry && samePlace(before, entry))) {
      const other = [...this.#entries.values()].find((candidate) => samePlace(candidate, before));
      if (other) this.#apply(other);
      else this.#listener.setKey(before.neighbour, null, before.prefixLength);
    }
    if (entry) {
      this.#apply(entry);
      this.#entries.set(owner, entry);
    }
    this.#schedule();
  }

  /** The listener has been opened: sets what was said before. */
  apply(): void {
    for (const entry of this.#entries.values()) this.#apply(entry);
    this.#schedule();
  }

  /** The listener is closed: nobody's turn comes any more. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** The key whose turn it is. */
  current(keys: readonly Uint8Array[]): Uint8Array | null {
    return keys.length === 0 ? null : keys[this.#turn % keys.length];
  }

  #apply({ neighbour, prefixLength, keys }: Entry): void {
    this.#listener.setKey(neighbour, this.current(keys), prefixLength);
  }

  #schedule(): void {
    if (![...this.#entries.values()].some(({ keys }) => keys.length > 1)) {
      this.stop();
      return;
    }
    this.#timer ??= this.#clock.after(TURN, () => {
      this.#timer = null;
      this.#turn++;
      for (const entry of this.#entries.values()) if (entry.keys.length > 1) this.#take(entry);
      this.#schedule();
    });
  }

  #take(entry: Entry): void {
    try {
      this.#apply(entry);
    } catch (error) {
      const address = formatAddress(entry.neighbour.address);
      this.#log.error({ err: error, address }, "changing the TCP MD5 key of the listener failed");
    }
  }
}

function samePlace(a: Entry, b: Entry): boolean {
  return a.prefixLength === b.prefixLength && formatAddress(a.neighbour.address) === formatAddress(b.neighbour.address);
}
