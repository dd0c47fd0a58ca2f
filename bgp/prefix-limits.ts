// How many prefixes a neighbour may announce to us, and we to it (RFC 4486 §4). In: counts by family. Out: what to do
// about them, each crossing told once. What was too much stays known until it is no longer, so that nothing is said for
// every UPDATE.
import type { Family } from "../net/address.ts";
import { Afi, Safi } from "./wire/registry.ts";

/** Null: no limit. */
export interface PrefixCountLimits {
  /** Of both families together. */
  readonly total: number | null;
  readonly ipv4: number | null;
  readonly ipv6: number | null;
  /** Seconds until the session that was ended may come back; null: when an operator says so. */
  readonly restartAfter: number | null;
}

/** Of what is received. */
export interface PrefixLimits extends PrefixCountLimits {
  /** Share of a limit, in percent, from which on it is logged. */
  readonly warnAt: number;
  /** End the session; only say so; or take no further prefixes and leave the session as it is. */
  readonly action: "close" | "warn" | "drop";
}

export type CountOf = (family: Family) => number;

export interface Exceeded {
  /** Null: both together. */
  readonly family: Family | null;
  readonly limit: number;
}

/** The first limit with more than that many prefixes. */
export function exceeded(limits: PrefixCountLimits, count: CountOf): Exceeded | null {
  return crossed(limits, count, 1);
}

/** How many more prefixes of a family there may be. */
export function roomFor(limits: PrefixCountLimits, count: CountOf, family: Family): number {
  const { total } = limits;
  const own = family === 4 ? limits.ipv4 : limits.ipv6;
  const ownRoom = own === null ? Number.POSITIVE_INFINITY : own - count(family);
  const allRoom = total === null ? Number.POSITIVE_INFINITY : total - count(4) - count(6);
  return Math.max(0, Math.min(ownRoom, allRoom));
}

/** `more than 10000 IPv6 prefixes`. */
export function describeExceeded({ family, limit }: Exceeded): string {
  return `more than ${limit} ${family === null ? "" : `IPv${family} `}prefixes`;
}

/**
 * The Data field of Cease/1: AFI, SAFI, upper bound (RFC 4486 §4). `family`: what has been counted most, for a limit of
 * both.
 */
export function limitData({ family, limit }: Exceeded, count: CountOf): Uint8Array {
  const told = family ?? (count(6) > count(4) ? 6 : 4);
  const data = new Uint8Array(7);
  const view = new DataView(data.buffer);
  view.setUint16(0, told === 4 ? Afi.IPV4 : Afi.IPV6);
  view.setUint8(2, Safi.UNICAST);
  view.setUint32(3, limit);
  return data;
}

/** What a session's counts have led to so far. */
export class PrefixLimitWatch {
  #near = false;
  #over = false;

  /** Another session: everything is said anew. */
  reset(): void {
    this.#near = false;
    this.#over = false;
  }

  /** What has been crossed since the last look; `over` too when prefixes had to be dropped. */
  look(limits: PrefixLimits, count: CountOf, dropped: boolean): { near: Exceeded | null; over: Exceeded | null } {
    const near = crossed(limits, count, limits.warnAt / 100, true);
    const over = exceeded(limits, count) ?? (dropped ? crossed(limits, count, 1, true) : null);
    const result = { near: this.#near ? null : near, over: this.#over ? null : over };
    this.#near = near !== null;
    // What is dropped keeps the count at the limit: it is over when there is room again.
    this.#over = over !== null || (this.#over && limits.action === "drop" && crossed(limits, count, 1, true) !== null);
    return result;
  }
}

function crossed(limits: PrefixCountLimits, count: CountOf, share: number, orEqual = false): Exceeded | null {
  const over = (limit: number | null, prefixes: number) =>
    limit !== null && (prefixes > limit * share || (orEqual && prefixes === limit * share));
  if (over(limits.ipv4, count(4))) return { family: 4, limit: limits.ipv4 as number };
  if (over(limits.ipv6, count(6))) return { family: 6, limit: limits.ipv6 as number };
  return over(limits.total, count(4) + count(6)) ? { family: null, limit: limits.total as number } : null;
}
