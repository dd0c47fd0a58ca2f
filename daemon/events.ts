// Where sessions, routes, kernel and pods report, and where the API's watchers listen. Delivery is synchronous; the
// bounded queue per client is the API server's.
import type { WatchEvent } from "./api/types.ts";

type Listener = (event: WatchEvent) => void;

export class EventHub {
  readonly #listeners = new Set<Listener>();

  /** Returns the function that ends the subscription. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(type: WatchEvent["type"], fields: object): void {
    if (this.#listeners.size === 0) return;
    const event: WatchEvent = { time: new Date().toISOString(), type, ...fields };
    for (const listener of this.#listeners) listener(event);
  }
}
