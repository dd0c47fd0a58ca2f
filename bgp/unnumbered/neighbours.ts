// The routers on one interface, and which of them the peer is (RFC 4861 has no answer to that: a host takes any). Pure but
// for the injected clock. In: who was heard, who connected, who answered. Out: the present neighbour, and probes.
//
// The first one heard is taken and kept. When another one speaks, the present one is asked whether it is still there, as
// neighbour unreachability detection does (§7.3.3: three Neighbor Solicitations, one second apart): a router that has
// changed its address is left within three seconds, and of two routers on a link the present one stays. A session that is up
// is asked too, by what its TCP acknowledges: who floods the link can make answers to solicitations get lost, but not those.
// While no session comes about, those heard take turns, and one that connects to us is taken: it speaks BGP.
import { formatAddress, sameBytes } from "../../net/address.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { NeighbourChange } from "../session/found-neighbour.ts";

export interface Neighbour {
  readonly address: Uint8Array;
  readonly mac: Uint8Array | null;
  readonly via: "advertisement" | "connection";
  /** Milliseconds of the clock. */
  readonly heardAt: number;
  /** Milliseconds that it counts as being there after it was heard. */
  readonly validity: number;
}

export interface NeighboursDependencies {
  readonly clock: Clock;
  /** Asks whoever has this address to say so. */
  probe(address: Uint8Array): void;
  changed(change: NeighbourChange): void;
  /** See NeighbourUser. */
  provoke(): void;
  heardWithin(milliseconds: number): boolean;
}

/** More on one link are no rack any more; the ones heard longest ago are forgotten. */
const MAX_NEIGHBOURS = 8;
/** Milliseconds: three advertisements of a router that says nothing about its lifetime. */
const SHORTEST_VALIDITY = 30_000;
/** RFC 4861 §10. */
const MAX_UNICAST_SOLICIT = 3;
const RETRANS_TIMER = 1_000;
/** At most one probe in so many milliseconds. */
const PROBE_SPACING = 1_000;

export class Neighbours {
  readonly #device: string;
  readonly #dependencies: NeighboursDependencies;
  /** In the order of their first word. */
  readonly #heard = new Map<string, Neighbour>();
  #present: string | null = null;
  #probe: Timer | null = null;
  #probes = 0;
  #doubtedAt = 0;
  #probedAt = Number.NEGATIVE_INFINITY;

  constructor(device: string, dependencies: NeighboursDependencies) {
    this.#device = device;
    this.#dependencies = dependencies;
  }

  get present(): Neighbour | null {
    return this.#present === null ? null : (this.#heard.get(this.#present) ?? null);
  }

  /** The present one first, without those that have been silent for too long. */
  list(): Neighbour[] {
    const now = this.#dependencies.clock.now();
    const others = [...this.#heard].filter(([key, entry]) => key !== this.#present && isValid(entry, now));
    return [...(this.present ? [this.present] : []), ...others.map(([, entry]) => entry)];
  }

  /** An advertisement; lifetime in seconds. True: this router was not known. */
  advertised(address: Uint8Array, mac: Uint8Array | null, lifetime: number): boolean {
    const { key, isNew } = this.#note(address, { mac, via: "advertisement", lifetime });
    if (key === this.#present) this.#alive();
    else if (this.#present === null) this.#choose(key, "found", `found on ${this.#device}`);
    else this.#doubt();
    return isNew;
  }

  /** See FoundNeighbour.spoke. */
  spoke(address: Uint8Array, engaged: boolean): boolean {
    const key = formatAddress(address);
    if (key === this.#present) return true;
    this.#note(address, { mac: null, via: "connection", lifetime: 0 });
    if (this.#present !== null && engaged) {
      this.#doubt();
      return false;
    }
    this.#choose(key, "turned", `${key} on ${this.#device} has connected`);
    return true;
  }

  /** Somebody has this address. */
  answered(target: Uint8Array): void {
    if (this.present && sameBytes(this.present.address, target)) this.#alive();
  }

  /** No session came about with the present one. */
  failed(): void {
    const now = this.#dependencies.clock.now();
    const keys = [...this.#heard.keys()];
    const at = keys.indexOf(this.#present ?? "");
    const next = [...keys.slice(at + 1), ...keys.slice(0, at)].find((key) => {
      const entry = this.#heard.get(key);
      return entry && isValid(entry, now);
    });
    if (this.#present !== null && next !== undefined)
      this.#choose(next, "turned", `no session with ${this.#present} on ${this.#device}`);
  }

  /** The link is gone: whoever comes next may be somebody else. */
  clear(reason: string): void {
    const had = this.#present !== null;
    this.#alive();
    this.#heard.clear();
    this.#present = null;
    if (had) this.#dependencies.changed({ kind: "lost", reason });
  }

  #note(
    address: Uint8Array,
    { mac, via, lifetime }: Pick<Neighbour, "mac" | "via"> & { lifetime: number },
  ): { key: string; isNew: boolean } {
    const key = formatAddress(address);
    const before = this.#heard.get(key);
    if (!before && this.#heard.size >= MAX_NEIGHBOURS) this.#forgetOldest();
    this.#heard.set(key, {
      address: Uint8Array.from(address),
      mac: mac ?? before?.mac ?? null,
      via: before?.via === "advertisement" ? "advertisement" : via,
      heardAt: this.#dependencies.clock.now(),
      validity: Math.max(SHORTEST_VALIDITY, lifetime * 1000),
    });
    return { key, isNew: !before };
  }

  #forgetOldest(): void {
    let oldest: string | null = null;
    for (const [key, { heardAt }] of this.#heard) {
      if (key === this.#present) continue;
      if (oldest === null || heardAt < (this.#heard.get(oldest) as Neighbour).heardAt) oldest = key;
    }
    if (oldest !== null) this.#heard.delete(oldest);
  }

  #choose(key: string, kind: NeighbourChange["kind"], reason: string): void {
    this.#alive();
    this.#present = key;
    this.#dependencies.changed({ kind, reason });
  }

  #alive(): void {
    this.#probe?.cancel();
    this.#probe = null;
  }

  #doubt(): void {
    const { clock, provoke } = this.#dependencies;
    if (this.#probe || clock.now() - this.#probedAt < PROBE_SPACING) return;
    this.#probes = 0;
    this.#doubtedAt = clock.now();
    provoke();
    this.#ask();
  }

  #ask(): void {
    const { clock, probe, heardWithin } = this.#dependencies;
    this.#probe = null;
    const { present } = this;
    if (!present) return;
    if (this.#probes === MAX_UNICAST_SOLICIT) {
      if (!heardWithin(clock.now() - this.#doubtedAt)) this.#replace();
      return;
    }
    this.#probes++;
    this.#probedAt = clock.now();
    this.#probe = clock.after(RETRANS_TIMER, () => this.#ask());
    probe(present.address);
  }

  /** The present one is dead: the one heard last takes its place. */
  #replace(): void {
    const dead = this.#present as string;
    this.#heard.delete(dead);
    this.#present = null;
    let latest: string | null = null;
    for (const [key, { heardAt }] of this.#heard)
      if (latest === null || heardAt >= (this.#heard.get(latest) as Neighbour).heardAt) latest = key;
    if (latest === null) this.#dependencies.changed({ kind: "lost", reason: `${dead} on ${this.#device} is gone` });
    else this.#choose(latest, "moved", `${dead} on ${this.#device} is gone, ${latest} is there`);
  }
}

function isValid({ heardAt, validity }: Neighbour, now: number): boolean {
  return now - heardAt < validity;
}
