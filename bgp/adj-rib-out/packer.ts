// Packs prefixes into UPDATEs (RFC 4271 §4.3, RFC 4760): all prefixes of one attribute set in as few messages as the largest
// message allows, withdrawals likewise. MP_REACH_NLRI comes first among the attributes (RFC 7606 §5.1).
//
// Messages are written one after another into one big buffer that is reused; a copy goes to the session whenever it is
// well filled, because sockets keep what they are given.
import type { PrefixTable } from "../../net/prefix-table.ts";
import { HEADER_LENGTH, MAX_EXTENDED_MESSAGE } from "../wire/message.ts";
import { PATH_ID_LENGTH } from "../wire/nlri.ts";
import { Afi, AttributeCode, AttributeFlag, MessageType, Safi } from "../wire/registry.ts";
import { NextHopForm, type OutgoingSets } from "./outgoing-sets.ts";

/** Handed to the session at once, about. */
const FLUSH_AT = 65536;
const EXTENDED = AttributeFlag.OPTIONAL | AttributeFlag.EXTENDED_LENGTH;

/** Where messages go, and what is special about the session. */
export interface PackerTarget {
  readonly prefixes: PrefixTable;
  readonly maxMessage: number;
  /** Our address for NEXT_HOP, 4 octets, and for MP_REACH_NLRI, 4, 16 or 32. */
  readonly selfAttribute: Uint8Array | null;
  readonly selfMp: Uint8Array | null;
  /** Withdraw by MP_UNREACH_NLRI: IPv6, and IPv4 that was announced by MP_REACH_NLRI. */
  readonly mpWithdraw: boolean;
  send(messages: Uint8Array): void;
}

/** Prefix ids, chained: ids[i], then ids[next[i]], until -1. */
export interface PrefixChains {
  readonly ids: Uint32Array;
  readonly next: Int32Array;
  /** With ADD-PATH (RFC 7911 §3): the path identifier that goes before each prefix. */
  readonly pathIds?: Uint32Array;
}

export class Packer {
  readonly #buffer = new Uint8Array(FLUSH_AT + MAX_EXTENDED_MESSAGE + 64);
  #offset = 0;

  /** Announces the chain that starts at `head` with the outgoing set `set`. */
  announce(target: PackerTarget, sets: OutgoingSets, set: number, chains: PrefixChains, head: number): void {
    const form = sets.formOf(set);
    const classic = form === NextHopForm.SELF || form === NextHopForm.FIXED;
    for (let at = head; at >= 0; ) {
      const start = this.#begin();
      at = classic
        ? this.#writeClassic(target, sets, set, chains, at, start)
        : this.#writeMpReach(target, sets, set, chains, at, start);
      this.#end(target, start);
    }
  }

  /** Withdraws ids[0, count), with ADD-PATH paths of theirs. */
  withdraw(target: PackerTarget, ids: Uint32Array, count: number, pathIds?: Uint32Array): void {
    for (let at = 0; at < count; ) {
      const start = this.#begin();
      const limit = start + target.maxMessage;
      if (target.mpWithdraw) {
        // Withdrawn length, attributes length, then flags, code and length of MP_UNREACH_NLRI.
        const from = this.#offset;
        this.#u16(0, from);
        this.#u16((EXTENDED << 8) | AttributeCode.MP_UNREACH_NLRI, from + 4);
        this.#offset = from + 8;
        this.#family(target);
        at = this.#withdrawn(target, ids, at, count, limit, pathIds);
        this.#u16(this.#offset - from - 8, from + 6);
        this.#u16(this.#offset - from - 4, from + 2);
      } else {
        const length = this.#offset;
        this.#offset += 2;
        at = this.#withdrawn(target, ids, at, count, limit - 2, pathIds);
        this.#u16(this.#offset - length - 2, length);
        this.#u16(0, this.#offset);
        this.#offset += 2;
      }
      this.#end(target, start);
    }
  }

  /** Hands over what is left. */
  flush(target: PackerTarget): void {
    if (this.#offset === 0) return;
    const messages = this.#buffer.slice(0, this.#offset);
    this.#offset = 0;
    target.send(messages);
  }

  #writeClassic(
    target: PackerTarget,
    sets: OutgoingSets,
    set: number,
    chains: PrefixChains,
    head: number,
    start: number,
  ): number {
    this.#u16(0, this.#offset);
    this.#u16(sets.attributeLengthOf(set), this.#offset + 2);
    this.#offset = sets.copy(set, this.#buffer, this.#offset + 4, target.selfAttribute);
    return this.#prefixes(target, chains, head, start + target.maxMessage);
  }

  #writeMpReach(
    target: PackerTarget,
    sets: OutgoingSets,
    set: number,
    chains: PrefixChains,
    head: number,
    start: number,
  ): number {
    const nextHop = sets.formOf(set) === NextHopForm.MP_SELF ? (target.selfMp as Uint8Array) : sets.nextHopOf(set);
    const length = sets.attributeLengthOf(set);
    // Withdrawn length, attributes length, then flags, code and length of MP_REACH_NLRI.
    const from = this.#offset;
    this.#u16(0, from);
    this.#u16((EXTENDED << 8) | AttributeCode.MP_REACH_NLRI, from + 4);
    this.#offset = from + 8;
    this.#family(target);
    this.#buffer[this.#offset++] = nextHop.length;
    this.#buffer.set(nextHop, this.#offset);
    this.#offset += nextHop.length;
    this.#buffer[this.#offset++] = 0;
    const rest = this.#prefixes(target, chains, head, start + target.maxMessage - length);
    this.#u16(this.#offset - from - 8, from + 6);
    this.#offset = sets.copy(set, this.#buffer, this.#offset, null);
    this.#u16(this.#offset - from - 4, from + 2);
    return rest;
  }

  /** Writes prefixes of the chain while they fit; returns where the chain goes on, -1 at its end. */
  #prefixes(target: PackerTarget, { ids, next, pathIds }: PrefixChains, head: number, limit: number): number {
    let at = head;
    if (pathIds !== undefined) {
      while (at >= 0 && this.#offset + PATH_ID_LENGTH + octets(target, ids[at]) <= limit) {
        this.#path(target, pathIds[at], ids[at]);
        at = next[at];
      }
      return at;
    }
    while (at >= 0 && this.#offset + octets(target, ids[at]) <= limit) {
      this.#prefix(target, ids[at]);
      at = next[at];
    }
    return at;
  }

  /** Writes ids[from, count) while they fit; returns where to go on. */
  #withdrawn(
    target: PackerTarget,
    ids: Uint32Array,
    from: number,
    count: number,
    limit: number,
    pathIds: Uint32Array | undefined,
  ): number {
    let at = from;
    if (pathIds === undefined) {
      while (at < count && this.#offset + octets(target, ids[at]) <= limit) this.#prefix(target, ids[at++]);
      return at;
    }
    while (at < count && this.#offset + PATH_ID_LENGTH + octets(target, ids[at]) <= limit) {
      this.#path(target, pathIds[at], ids[at]);
      at++;
    }
    return at;
  }

  #path(target: PackerTarget, pathId: number, id: number): void {
    this.#u16(pathId >>> 16, this.#offset);
    this.#u16(pathId & 0xffff, this.#offset + 2);
    this.#offset += PATH_ID_LENGTH;
    this.#prefix(target, id);
  }

  #prefix({ prefixes }: PackerTarget, id: number): void {
    const buffer = this.#buffer;
    const length = prefixes.lengthOf(id);
    let at = this.#offset;
    buffer[at++] = length;
    for (let bits = 0, word = 0; bits < length; bits += 8) {
      if ((bits & 31) === 0) word = prefixes.word(id, bits >>> 5);
      buffer[at++] = word >>> (24 - (bits & 31));
    }
    this.#offset = at;
  }

  #begin(): number {
    const start = this.#offset;
    this.#buffer.fill(0xff, start, start + 16);
    this.#buffer[start + 18] = MessageType.UPDATE;
    this.#offset = start + HEADER_LENGTH;
    return start;
  }

  #end(target: PackerTarget, start: number): void {
    this.#u16(this.#offset - start, start + 16);
    if (this.#offset >= FLUSH_AT) this.flush(target);
  }

  #family({ prefixes }: PackerTarget): void {
    this.#buffer[this.#offset++] = 0;
    this.#buffer[this.#offset++] = prefixes.family === 4 ? Afi.IPV4 : Afi.IPV6;
    this.#buffer[this.#offset++] = Safi.UNICAST;
  }

  #u16(value: number, at: number): void {
    this.#buffer[at] = value >>> 8;
    this.#buffer[at + 1] = value;
  }
}

/** A prefix as NLRI. */
function octets({ prefixes }: PackerTarget, id: number): number {
  return 1 + ((prefixes.lengthOf(id) + 7) >>> 3);
}
