// Route Monitoring (RFC 7854 §4.6): prefixes that share an attribute set -> UPDATEs as their peer would send them, each in
// a BMP message, as few as hold them.
//
// UPDATEs keep to 4096 octets, which every station reads; only attributes that are longer by themselves make a longer one.
import type { Family } from "../../../net/address.ts";
import type { PrefixTable } from "../../../net/prefix-table.ts";
import { beginMessage, endMessage, MAX_MESSAGE } from "../../wire/message.ts";
import { MessageType } from "../../wire/registry.ts";
import { beginMpReach, beginMpUnreach, encodeEndOfRib, endMultiprotocol } from "../../wire/update.ts";
import type { Writer } from "../../wire/writer.ts";
import type { AttributeOctets } from "../attribute-octets.ts";
import { type BmpPeer, BmpType, begin, end, writePeerHeader } from "./messages.ts";

/** The longest prefix: path identifier, length octet and 16 octets of address. */
const LONGEST_PREFIX = 21;
/** Header, both lengths, MP_REACH_NLRI up to its prefixes with the longest next hop, and one prefix. */
const LONGEST_REST = 19 + 4 + 4 + 5 + 32 + LONGEST_PREFIX;

/** Prefix ids, with path identifiers where there are any. */
export interface PathList {
  readonly ids: Uint32Array;
  readonly pathIds: Uint32Array;
}

/** Chained: ids[i], then ids[next[i]], until -1. */
export interface PrefixChains extends PathList {
  readonly next: Int32Array;
}

export class RouteMonitoringWriter {
  readonly writer: Writer;
  readonly #address = new Uint8Array(16);
  /** Messages written since `messages` was set back. */
  messages = 0;
  /** Prefixes carry path identifiers (RFC 7911), as in the OPENs of the session. */
  addPath = false;

  constructor(writer: Writer) {
    this.writer = writer;
  }

  announce(
    peer: BmpPeer,
    time: number,
    prefixes: PrefixTable,
    set: AttributeOctets,
    chain: PrefixChains,
    head: number,
  ): void {
    const { writer } = this;
    const { octets, nextHop } = set;
    const longest = Math.max(MAX_MESSAGE, octets.length + LONGEST_REST);
    for (let at = head; at >= 0; ) {
      const message = this.#begin(peer, time);
      const update = beginMessage(writer, MessageType.UPDATE);
      const limit = update + longest - LONGEST_PREFIX;
      writer.u16(0);
      const attributes = writer.offset;
      writer.u16(0);
      if (nextHop === null) {
        writer.bytes(octets);
        writer.patchU16(attributes, octets.length);
        at = this.#writeChain(prefixes, chain, at, limit);
      } else {
        const reach = beginMpReach(writer, prefixes.family, nextHop, null);
        at = this.#writeChain(prefixes, chain, at, limit - octets.length);
        endMultiprotocol(writer, reach);
        writer.bytes(octets);
        writer.patchU16(attributes, writer.offset - attributes - 2);
      }
      endMessage(writer, update);
      end(writer, message);
    }
  }

  /** Withdraws ids[0, count). */
  withdraw(peer: BmpPeer, time: number, prefixes: PrefixTable, list: PathList, count: number): void {
    const { writer } = this;
    const mp = prefixes.family === 6;
    for (let at = 0; at < count; ) {
      const message = this.#begin(peer, time);
      const update = beginMessage(writer, MessageType.UPDATE);
      const limit = update + MAX_MESSAGE - LONGEST_PREFIX - 2;
      const length = writer.offset;
      writer.u16(0);
      if (mp) writer.u16(0);
      const unreach = mp ? beginMpUnreach(writer, prefixes.family) : 0;
      while (at < count && writer.offset <= limit) this.#writePrefix(prefixes, list, at++);
      if (mp) {
        endMultiprotocol(writer, unreach);
        writer.patchU16(length + 2, writer.offset - length - 4);
      } else {
        writer.patchU16(length, writer.offset - length - 2);
        writer.u16(0);
      }
      endMessage(writer, update);
      end(writer, message);
    }
  }

  /** Says that the initial dump is complete. */
  endOfRib(peer: BmpPeer, family: Family): void {
    const message = this.#begin(peer, 0);
    this.writer.bytes(encodeEndOfRib(family));
    end(this.writer, message);
  }

  #begin(peer: BmpPeer, time: number): number {
    this.messages++;
    const message = begin(this.writer, BmpType.ROUTE_MONITORING);
    writePeerHeader(this.writer, peer, time);
    return message;
  }

  #writeChain(prefixes: PrefixTable, chain: PrefixChains, head: number, limit: number): number {
    let at = head;
    do {
      this.#writePrefix(prefixes, chain, at);
      at = chain.next[at];
    } while (at >= 0 && this.writer.offset <= limit);
    return at;
  }

  #writePrefix(prefixes: PrefixTable, { ids, pathIds }: PathList, at: number): void {
    if (this.addPath) this.writer.u32(pathIds[at]);
    const length = prefixes.read(ids[at], this.#address, 0);
    this.writer.u8(length);
    this.writer.bytes(this.#address.subarray(0, (length + 7) >>> 3));
  }
}
