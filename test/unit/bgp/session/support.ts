// A clock that moves when told to, and a neighbour's options with defaults.

import type { PeerOptions } from "../../../../bgp/session/types.ts";
import type { Clock } from "../../../../net/clock.ts";

export class ManualClock implements Clock {
  #now = 1_000;
  #timers = new Set<{ at: number; callback: () => void }>();

  now(): number {
    return this.#now;
  }

  after(delay: number, callback: () => void): { cancel(): void } {
    const timer = { at: this.#now + delay, callback };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  get pending(): number {
    return this.#timers.size;
  }

  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      let next: { at: number; callback: () => void } | null = null;
      for (const timer of this.#timers) if (timer.at <= until && (!next || timer.at < next.at)) next = timer;
      if (!next) break;
      this.#now = Math.max(this.#now, next.at);
      this.#timers.delete(next);
      next.callback();
    }
    this.#now = until;
  }
}

/** Real timers, `factor` times as fast: a hold time of 90 s takes 0.9 s at factor 100. */
export function fastClock(factor: number): Clock {
  return {
    now: () => performance.now() * factor,
    after(delay, callback) {
      const handle = setTimeout(callback, delay / factor);
      return { cancel: () => clearTimeout(handle) };
    },
  };
}

export function peerOptions(options: Partial<PeerOptions> = {}): PeerOptions {
  return {
    name: "peer",
    address: Uint8Array.of(127, 0, 0, 1),
    group: null,
    dynamic: false,
    interface: null,
    localAsn: 65001,
    routerId: 0x0a000001,
    remoteAsn: "external",
    port: 179,
    passive: false,
    localAddress: null,
    holdTime: 90,
    connectRetry: 30,
    families: [4, 6],
    extendedNextHop: false,
    password: null,
    acceptedPasswords: [],
    ttlSecurity: false,
    multihop: null,
    extendedMessages: false,
    hostname: null,
    gracefulRestart: null,
    role: null,
    requireRole: false,
    ...options,
  };
}

export async function waitFor(condition: () => boolean, what: string, ms = 8_000): Promise<void> {
  const until = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > until) throw new Error(`timed out after ${ms} ms waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
