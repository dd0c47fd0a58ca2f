// TCP MD5 keys of the listeners (RFC 2385): one per neighbour, or per listen range of a group. The kernel keeps one key for
// an address. Where several are accepted they take turns, so that a neighbour with any of them gets through with one of
// its SYNs, which TCP repeats after 1 s, 3 s and 7 s.
//
// Known limit: keys go by address alone (the kernel ties them to an interface only for VRFs), so two link-local
// neighbours with equal addresses need equal keys. All turns are one counter: their keys stay equal.
import { formatAddress } from "../../net/address.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import type { Listener } from "./listener.ts";
import type { SocketAddress } from "./socket-options.ts";

/** Milliseconds of one turn. */
const TURN = 2_000;

interface Entry {
  readonly address: SocketAddress;
  readonly prefixLength: number;
  readonly keys: readonly Uint8Array[];
}

export class ListenerKeys {
  readonly #listener: Listener;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #entries = new Map<string, Entry>();
  #turn = 0;
  #timer: Timer | null = null;
  #open = false;

  constructor(listener: Listener, clock: Clock, log: Log) {
    this.#listener = listener;
    this.#clock = clock;
    this.#log = log;
  }

  /** The listener has been opened: everything is set. Throws what the kernel refuses. */
  open(): void {
    this.#open = true;
    for (const entry of this.#entries.values()) this.#apply(entry);
    this.#schedule();
  }

  close(): void {
    this.#open = false;
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Keys for a neighbour, or for all addresses that share the first `prefixLength` bits; none: unsigned, as it was. */
  set(address: SocketAddress, keys: readonly Uint8Array[], prefixLength: number = address.address.length * 8): void {
    const name = entryName(address, prefixLength);
    const before = this.#entries.get(name);
    if (keys.length === 0) {
      if (!before) return;
      this.#entries.delete(name);
      if (this.#open) this.#listener.setKey(address, null, prefixLength);
      return;
    }
    const entry = { address, prefixLength, keys };
    if (this.#open) this.#apply(entry);
    this.#entries.set(name, entry);
    this.#schedule();
  }

  /** The key whose turn it is. */
  current(keys: readonly Uint8Array[]): Uint8Array | null {
    return keys.length === 0 ? null : keys[this.#turn % keys.length];
  }

  #apply({ address, prefixLength, keys }: Entry): void {
    this.#listener.setKey(address, this.current(keys), prefixLength);
  }

  #schedule(): void {
    if (this.#timer || !this.#open || ![...this.#entries.values()].some(({ keys }) => keys.length > 1)) return;
    this.#timer = this.#clock.after(TURN, () => {
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
      const address = formatAddress(entry.address.address);
      this.#log.error({ err: error, address }, "changing the TCP MD5 key of the listener failed");
    }
  }
}

function entryName({ address, scope }: SocketAddress, prefixLength: number): string {
  return `${formatAddress(address)}%${scope}/${prefixLength}`;
}
