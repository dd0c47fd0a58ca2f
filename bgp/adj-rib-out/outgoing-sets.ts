// Attributes as they are sent, encoded once and shared by every peer and prefix that they go to. Interned by their
// octets: two sets that differ only in what is not sent on (a MED, say) are one here, and their prefixes share UPDATEs.
//
// The next hop is left open where it is our own address, because that differs from session to session.
import { ByteStore } from "../../net/byte-store.ts";
import type { Writer } from "../wire/writer.ts";

/** How the next hop of a set travels. */
export const NextHopForm = {
  /** NEXT_HOP, to be filled in with our address. */
  SELF: 0,
  /** NEXT_HOP, in the octets already. */
  FIXED: 1,
  /** MP_REACH_NLRI, to be written with our address. */
  MP_SELF: 2,
  /** MP_REACH_NLRI, to be written with the next hop that stands behind the attributes. */
  MP_FIXED: 3,
} as const;
export type NextHopForm = (typeof NextHopForm)[keyof typeof NextHopForm];

const TAG_AS4 = 4;
const NEXT_HOP_CODE = 3;

export class OutgoingSets {
  readonly #bytes = new ByteStore();
  /** By id: octets of attributes, what is left are those of the next hop; where NEXT_HOP's value is. */
  #attributeLengths = new Uint16Array(256);
  #patchOffsets = new Uint16Array(256);

  get size(): number {
    return this.#bytes.size;
  }

  get garbage(): number {
    return this.#bytes.garbage;
  }

  get limit(): number {
    return this.#bytes.limit;
  }

  /** The id of encoded attributes; `nextHop` for MP_FIXED. */
  intern(form: NextHopForm, as4: boolean, attributes: Writer, nextHop: Uint8Array | null): number {
    const length = attributes.offset;
    if (nextHop) attributes.bytes(nextHop);
    const tag = form | (as4 ? TAG_AS4 : 0);
    const known = this.#bytes.find(tag, attributes.buffer, 0, attributes.offset);
    if (known !== 0) return known;
    const id = this.#bytes.add(tag, attributes.buffer, 0, attributes.offset);
    if (id >= this.#attributeLengths.length) this.#grow();
    this.#attributeLengths[id] = length;
    this.#patchOffsets[id] = form === NextHopForm.SELF ? findNextHop(attributes.buffer, length) : 0;
    return id;
  }

  formOf(id: number): NextHopForm {
    return (this.#bytes.tagOf(id) & 3) as NextHopForm;
  }

  /** The next hop travels in MP_REACH_NLRI. */
  isMp(id: number): boolean {
    const form = this.formOf(id);
    return form === NextHopForm.MP_SELF || form === NextHopForm.MP_FIXED;
  }

  as4Of(id: number): boolean {
    return (this.#bytes.tagOf(id) & TAG_AS4) !== 0;
  }

  attributeLengthOf(id: number): number {
    return this.#attributeLengths[id];
  }

  /** The next hop of MP_FIXED; empty otherwise. */
  nextHopOf(id: number): Uint8Array {
    return this.#bytes.bytes(id).subarray(this.#attributeLengths[id]);
  }

  /** Copies the attributes to out[offset...], our IPv4 address filled in where it is left open; returns the new offset. */
  copy(id: number, out: Uint8Array, offset: number, self: Uint8Array | null): number {
    const chunk = this.#bytes.chunkOf(id);
    const length = this.#attributeLengths[id];
    let from = this.#bytes.offsetOf(id);
    for (let to = offset; to < offset + length; to++, from++) out[to] = chunk[from];
    if (self && this.formOf(id) === NextHopForm.SELF) out.set(self, offset + this.#patchOffsets[id]);
    return offset + length;
  }

  retain(id: number): void {
    this.#bytes.retain(id);
  }

  release(id: number): void {
    this.#bytes.release(id);
  }

  sweep(): void {
    this.#bytes.sweep(() => {});
  }

  #grow(): void {
    const ids = this.#attributeLengths.length * 2;
    const lengths = new Uint16Array(ids);
    lengths.set(this.#attributeLengths);
    this.#attributeLengths = lengths;
    const offsets = new Uint16Array(ids);
    offsets.set(this.#patchOffsets);
    this.#patchOffsets = offsets;
  }
}

/** Offset of NEXT_HOP's value in a well-formed attribute string. */
function findNextHop(buffer: Uint8Array, length: number): number {
  for (let at = 0; at < length; ) {
    const extended = (buffer[at] & 0x10) !== 0;
    const value = at + (extended ? 4 : 3);
    if (buffer[at + 1] === NEXT_HOP_CODE) return value;
    at = value + (extended ? (buffer[at + 2] << 8) | buffer[at + 3] : buffer[at + 2]);
  }
  throw new Error("encoded attributes without NEXT_HOP");
}
