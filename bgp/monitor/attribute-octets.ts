// An interned attribute set as octets for others to read: as it was received where that is possible, written anew where
// the octets have a fault (RFC 7606: the discarded attribute must not be passed on) or the wrong width of AS numbers.
// The next hop of MP_REACH_NLRI is handed out apart, because BMP and MRT put it into attributes of different forms.
import type { Family } from "../../net/address.ts";
import type { AttributeStore } from "../attribute-store.ts";
import { AttributeCode } from "../wire/registry.ts";
import { encodeAttributes } from "../wire/update.ts";
import { Writer } from "../wire/writer.ts";

const unspecified = { 4: new Uint8Array(4), 6: new Uint8Array(16) };
/**
 * Flags, code and length (1) of the MP_REACH_NLRI that stands first in an interned set, then AFI (2), SAFI (1), next
 * hop length (1).
 */
const MP_HEADER = 3;
const MP_NEXT_HOP = MP_HEADER + 4;

export class AttributeOctets {
  readonly #store: AttributeStore;
  readonly #writer = new Writer();
  /** Everything but MP_REACH_NLRI. Valid until the next `read`. */
  octets: Uint8Array = new Uint8Array(0);
  /** The next hop of MP_REACH_NLRI, 4, 16 or 32 octets; null: NEXT_HOP is among the attributes. */
  nextHop: Uint8Array | null = null;

  constructor(store: AttributeStore) {
    this.#store = store;
  }

  read(id: number, family: Family, as4: boolean): void {
    const store = this.#store;
    // A set of our own without a next hop is a route of this node.
    const own = store.nextHop[id] === 0;
    if (!own && !store.isFaulty(id) && store.wireOf(id).as4 === as4) this.#copy(store.octets(id));
    else this.#encode(id, family, as4);
  }

  #copy(octets: Uint8Array): void {
    const writer = this.#writer;
    writer.reset();
    let start = 0;
    let nextHop = 0;
    if (octets[1] === AttributeCode.MP_REACH_NLRI) {
      start = MP_HEADER + octets[2];
      nextHop = octets[MP_NEXT_HOP - 1];
      writer.bytes(octets.subarray(MP_NEXT_HOP, MP_NEXT_HOP + nextHop));
    }
    writer.bytes(octets.subarray(start));
    this.#split(nextHop);
  }

  #encode(id: number, family: Family, as4: boolean): void {
    const writer = this.#writer;
    const attributes = this.#store.attributes(id);
    const { linkLocalNextHop } = attributes;
    const nextHop = attributes.nextHop ?? unspecified[family];
    const inAttribute = family === 4 && nextHop.length === 4;
    writer.reset();
    if (!inAttribute) {
      writer.bytes(nextHop);
      if (linkLocalNextHop) writer.bytes(linkLocalNextHop);
    }
    const length = writer.offset;
    encodeAttributes(writer, { ...attributes, nextHop }, { as4 }, inAttribute);
    this.#split(length);
  }

  #split(nextHop: number): void {
    const { buffer, offset } = this.#writer;
    this.nextHop = nextHop === 0 ? null : buffer.subarray(0, nextHop);
    this.octets = buffer.subarray(nextHop, offset);
  }
}
