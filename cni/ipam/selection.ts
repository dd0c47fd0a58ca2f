// Which addresses a pod gets out of one pool: one per family, all or none. In order: what it asked for by name, what is kept
// for it, what is free. Looks only; the allocator takes.
import { type Family, formatAddress } from "../../net/address.ts";
import { type CniError, CniErrorCode } from "../protocol/error.ts";
import type { Block } from "./block.ts";
import type { Pool } from "./pools.ts";
import * as refusals from "./refusals.ts";
import type { Reservation } from "./sticky.ts";

export interface Wish {
  /** At most one per family. */
  readonly addresses: readonly Uint8Array[];
  readonly identity: string | null;
  /** An address that is in no block: may the pod have it here? */
  readonly admits: (address: string) => boolean;
}

export interface Choice {
  /** Null: by exception. */
  readonly block: Block | null;
  readonly address: string;
}

/** A pool has no address of a family. */
export interface Shortage {
  readonly family: Family | null;
  readonly error: CniError;
  /** Milliseconds until an attempt may succeed; null: not by waiting. */
  readonly wait: number | null;
}

export function isShortage(result: readonly Choice[] | Shortage): result is Shortage {
  return "error" in result;
}

export function isLater({ error }: Shortage): boolean {
  return error.code === CniErrorCode.tryAgainLater;
}

/** The pool for addresses asked for by name: the first that has all of them. Throws 102. */
export function poolWith(pools: readonly Pool[], { addresses, admits }: Wish): Pool {
  const has = (pool: Pool, address: Uint8Array) =>
    blockOf(pool, address) !== undefined || admits(formatAddress(address));
  const found = pools.find((pool) => addresses.every((address) => has(pool, address)));
  if (found) return found;
  const nowhere = addresses.find((address) => !pools.some((pool) => has(pool, address)));
  const missing = nowhere ?? addresses.find((address) => !has(pools[0], address));
  throw refusals.outside(nowhere ? pools : [pools[0]], formatAddress(missing!));
}

/** In the order to be tried: a pool that keeps addresses for the identity comes first. */
export function keeperFirst(pools: readonly Pool[], identity: string | null): readonly Pool[] {
  const keeps = (pool: Pool) => identity !== null && pool.reservations.get(identity) !== undefined;
  return pools.length > 1 && pools.some(keeps)
    ? [...pools.filter(keeps), ...pools.filter((pool) => !keeps(pool))]
    : pools;
}

/** Throws 101, 102 or 11 for an address asked for by name. `cooling`: one that cools down will do when there is no other. */
export function choose(pool: Pool, wish: Wish, now: number, cooling = false): Choice[] | Shortage {
  const named = wish.addresses.map((address) => ({
    family: familyOf(address),
    choice: byName(pool, address, wish, now),
  }));
  const chosen: Choice[] = [];
  const kept = wish.identity === null ? undefined : pool.reservations.get(wish.identity);
  for (const family of [4, 6] as const) {
    const blocks = pool.blocks.get(family) ?? [];
    const wanted = named.find((one) => one.family === family)?.choice;
    if (!wanted && blocks.length === 0) continue;
    const choice = wanted ?? again(kept, blocks) ?? free(pool, family, blocks, now, cooling);
    if ("error" in choice) return choice;
    chosen.push(choice);
  }
  return chosen.length > 0 ? chosen : { family: null, error: refusals.noBlocks(pool), wait: null };
}

/** What is kept longest of a family, when nothing else is left; and how long until others may have it. */
export function oldestKept(
  pool: Pool,
  family: Family,
  now: number,
): { readonly reservation: Reservation; readonly wait: number } | null {
  const blocks = pool.blocks.get(family) ?? [];
  for (const reservation of pool.reservations.all())
    for (const { address } of reservation.entries) {
      const block = blocks.find((candidate) => candidate.held === null && candidate.isKept(address));
      if (block) return { reservation, wait: block.coolingTime(address, now) };
    }
  return null;
}

function byName(pool: Pool, wanted: Uint8Array, wish: Wish, now: number): Choice {
  const address = formatAddress(wanted);
  const block = blockOf(pool, wanted);
  if (!block) {
    if (wish.admits(address)) return { block: null, address };
    throw refusals.outside([pool], address);
  }
  if (block.held !== null) throw refusals.heldBack(block);
  if (block.isExcluded(wanted)) throw refusals.excluded(pool, wanted);
  if (block.ownerOf(address)) throw refusals.taken(address);
  const released = block.releasedEntry(address);
  if (released && released.identity !== null && released.identity === wish.identity) return { block, address };
  if (released && block.isKept(address)) throw refusals.keptForAnother(address, released.identity!);
  const wait = block.coolingTime(address, now);
  if (wait > 0 && pool.options.whenCooling !== "reuse") throw refusals.cooling(address, wait);
  return { block, address };
}

function again(kept: Reservation | undefined, blocks: readonly Block[]): Choice | null {
  for (const { address } of kept?.entries ?? []) {
    const block = blocks.find((candidate) => candidate.held === null && candidate.isKept(address));
    if (block) return { block, address };
  }
  return null;
}

function free(pool: Pool, family: Family, blocks: readonly Block[], now: number, cooling: boolean): Choice | Shortage {
  const open = blocks.filter((block) => block.held === null);
  for (const block of open) {
    const address = block.next(now);
    if (address !== null) return { block, address };
  }
  const longest = cooling ? longestCooling(open, now) : null;
  if (longest) return longest;
  const held = blocks.find((block) => block.held !== null && block.next(now) !== null);
  if (held) return { family, error: refusals.heldBack(held), wait: null };
  const waits = open.flatMap((block) => block.nextIn(now) ?? []);
  if (waits.length === 0) return { family, error: refusals.exhausted(pool, family, blocks), wait: null };
  const wait = Math.min(...waits);
  return { family, error: refusals.allCooling(pool, family, wait), wait };
}

function longestCooling(blocks: readonly Block[], now: number): Choice | null {
  let longest: { block: Block; address: string; at: number } | null = null;
  for (const block of blocks) {
    const entry = block.longestCooling(now);
    if (entry && (!longest || entry.at < longest.at)) longest = { block, address: entry.address, at: entry.at };
  }
  return longest;
}

function blockOf(pool: Pool, address: Uint8Array): Block | undefined {
  return pool.blocks.get(familyOf(address))?.find((block) => block.contains(address));
}

function familyOf(address: Uint8Array): Family {
  return address.length === 4 ? 4 : 6;
}
