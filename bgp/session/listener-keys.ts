// TCP MD5 keys on the listener, by peer (RFC 2385). A key goes by the neighbour's address alone (the kernel ties one to an
// interface only in a VRF): of two link-local neighbours with one address on two interfaces, the key set last counts for
// connections that come in, and when one goes the other's is there again.
import { formatAddress } from "../../net/address.ts";
import type { Listener } from "./listener.ts";
import type { SocketAddress } from "./socket-options.ts";

interface Entry {
  readonly neighbour: SocketAddress;
  readonly key: Uint8Array;
}

export class ListenerKeys {
  readonly #listener: Pick<Listener, "setKey">;
  readonly #entries = new Map<string, Entry>();

  constructor(listener: Pick<Listener, "setKey">) {
    this.#listener = listener;
  }

  /** Replaces what the peer had; null: it has no key, or no address yet. Throws when the kernel refuses. */
  set(peer: string, neighbour: SocketAddress | null, key: Uint8Array | null): void {
    const before = this.#entries.get(peer);
    this.#entries.delete(peer);
    if (before && !(neighbour && key && sameAddress(before.neighbour, neighbour))) {
      const other = [...this.#entries.values()].find((entry) => sameAddress(entry.neighbour, before.neighbour));
      this.#listener.setKey(before.neighbour, other?.key ?? null);
    }
    if (!neighbour || !key) return;
    this.#listener.setKey(neighbour, key);
    this.#entries.set(peer, { neighbour, key });
  }

  /** The listener has been opened: sets what was said before. */
  apply(): void {
    for (const { neighbour, key } of this.#entries.values()) this.#listener.setKey(neighbour, key);
  }
}

function sameAddress(a: SocketAddress, b: SocketAddress): boolean {
  return formatAddress(a.address) === formatAddress(b.address);
}
