// From the octets of an UPDATE to ranges of prefixes and an attribute id (RFC 4271 §4.3, RFC 4760). Attributes that came
// before are found by their octets and not decoded again; what they carry in MP_REACH_NLRI and MP_UNREACH_NLRI, which
// changes with every message, is cut out first.
//
// Errors as RFC 7606 has them: `discard` leaves the attribute out and interns the rest, `withdraw` hands the announced
// prefixes on as withdrawn, `reset` is thrown as WireError.
import type { Family } from "../../net/address.ts";
import { type AttributeSource, type AttributeStore, appendMpReach } from "../attribute-store.ts";
import type { WireError } from "../wire/error.ts";
import { checkNlri, receivesPathIds } from "../wire/nlri.ts";
import { Afi, Safi } from "../wire/registry.ts";
import {
  decodeAttributes,
  layoutUpdate,
  locateMultiprotocol,
  type MpLayout,
  type UpdateLayout,
} from "../wire/update.ts";
import { Writer } from "../wire/writer.ts";

/**
 * What an UPDATE says, in order. Prefixes are NLRI in buffer[start, end), checked to be well-formed, with path ids
 * where agreed on.
 */
export interface UpdateSink {
  withdraw(family: Family, buffer: Uint8Array, start: number, end: number): void;
  announce(family: Family, buffer: Uint8Array, start: number, end: number, attributes: number): void;
  /** Announced, but with attributes that make it unusable (RFC 7606 §2 treat-as-withdraw). */
  treatAsWithdraw(family: Family, buffer: Uint8Array, start: number, end: number): void;
  /** RFC 4724 §2. */
  endOfRib(family: Family): void;
  /** What was wrong, with less consequence than a reset. */
  wireErrors(errors: readonly WireError[]): void;
}

/** One MP_REACH_NLRI or MP_UNREACH_NLRI of a family that we know. */
interface MpPart {
  family: Family;
  /** Octets of the next hop; empty in MP_UNREACH_NLRI. */
  nextHopStart: number;
  nextHopEnd: number;
  nlriStart: number;
  nlriEnd: number;
}

const newPart = (): MpPart => ({ family: 4, nextHopStart: 0, nextHopEnd: 0, nlriStart: 0, nlriEnd: 0 });

export class UpdateReader {
  readonly #store: AttributeStore;
  readonly #layout: UpdateLayout = {
    withdrawnStart: 0,
    withdrawnEnd: 0,
    attributesStart: 0,
    attributesEnd: 0,
    nlriStart: 0,
    nlriEnd: 0,
  };
  readonly #mp: MpLayout = { reachStart: -1, reachEnd: -1, unreachStart: -1, unreachEnd: -1 };
  readonly #reach = newPart();
  readonly #unreach = newPart();
  readonly #scratch = new Writer();

  constructor(store: AttributeStore) {
    this.#store = store;
  }

  /** Reads the body of an UPDATE, buffer[start, end). Throws WireError when the session has to be reset. */
  read(source: AttributeSource, tag: number, buffer: Uint8Array, start: number, end: number, sink: UpdateSink): void {
    const layout = this.#layout;
    layoutUpdate(buffer, start, end, layout);
    const { withdrawnStart, withdrawnEnd, attributesStart, attributesEnd, nlriStart, nlriEnd } = layout;
    const ipv4 = source.wire.families.includes(4);
    const pathIds = receivesPathIds(source.wire, 4);
    if (withdrawnEnd > withdrawnStart) checkNlri(buffer, withdrawnStart, withdrawnEnd, 32, pathIds);
    if (nlriEnd > nlriStart) checkNlri(buffer, nlriStart, nlriEnd, 32, pathIds);
    if (ipv4 && withdrawnEnd > withdrawnStart) sink.withdraw(4, buffer, withdrawnStart, withdrawnEnd);
    if (attributesEnd === attributesStart && nlriEnd === nlriStart) {
      if (withdrawnEnd === withdrawnStart && ipv4) sink.endOfRib(4);
      return;
    }

    locateMultiprotocol(buffer, attributesStart, attributesEnd, this.#mp);
    if (this.#mp.reachStart >= 0 || this.#mp.unreachStart >= 0) {
      this.#readMultiprotocol(source, tag, buffer, sink);
      return;
    }
    if (nlriEnd === nlriStart) {
      this.#checkAlone(source, buffer, sink);
      return;
    }
    const attributes = this.#resolve(tag, buffer, attributesStart, attributesEnd, true, sink);
    if (ipv4) this.#announced(4, buffer, nlriStart, nlriEnd, attributes, sink);
  }

  #readMultiprotocol(source: AttributeSource, tag: number, buffer: Uint8Array, sink: UpdateSink): void {
    const { attributesStart, attributesEnd, nlriStart, nlriEnd } = this.#layout;
    const { reachStart, reachEnd, unreachStart, unreachEnd } = this.#mp;
    const hasNlri = nlriEnd > nlriStart;
    let reach = reachStart >= 0 && readPart(buffer, reachStart, reachEnd, true, source, this.#reach);
    let unreach = unreachStart >= 0 && readPart(buffer, unreachStart, unreachEnd, false, source, this.#unreach);
    let refused = false;
    if ((reachStart >= 0 && !reach) || (unreachStart >= 0 && !unreach) || this.#mp.repeated) {
      // Not as usual: the decoder says what it is and what follows. It throws what calls for a reset.
      const decoded = decodeAttributes(buffer, attributesStart, attributesEnd, source.wire, hasNlri);
      if (decoded.errors.length > 0) sink.wireErrors(decoded.errors);
      refused = decoded.action === "withdraw";
      const { mpReach, mpUnreach } = decoded;
      if (!reach && mpReach?.family) {
        reach = true;
        const { family, nlriStart, nlriEnd } = mpReach;
        Object.assign(this.#reach, { family, nlriStart, nlriEnd });
        // Its next hop has an unusual form: good enough to know which routes are meant, not to use them.
        refused = true;
      }
      if (!unreach && mpUnreach?.family) {
        unreach = true;
        const { family, nlriStart, nlriEnd } = mpUnreach;
        Object.assign(this.#unreach, { family, nlriStart, nlriEnd });
      }
    }

    if (unreach) {
      const { family, nlriStart: from, nlriEnd: to } = this.#unreach;
      checkNlri(buffer, from, to, family === 4 ? 32 : 128, receivesPathIds(source.wire, family));
      if (to > from) sink.withdraw(family, buffer, from, to);
      else if (reachStart < 0 && !hasNlri) sink.endOfRib(family);
    }
    const announces = hasNlri || (reach && this.#reach.nlriEnd > this.#reach.nlriStart);
    if (!announces) {
      const alone = reachStart < 0 && unreachEnd - unreachStart === attributesEnd - attributesStart;
      if (!alone) this.#checkAlone(source, buffer, sink);
      return;
    }

    if (hasNlri && source.wire.families.includes(4)) {
      this.#scratch.reset();
      this.#cutMultiprotocol(buffer);
      const attributes = refused ? 0 : this.#resolveScratch(tag, true, sink);
      this.#announced(4, buffer, nlriStart, nlriEnd, attributes, sink);
    }
    if (!reach) return;
    const { family, nextHopStart, nextHopEnd, nlriStart: from, nlriEnd: to } = this.#reach;
    checkNlri(buffer, from, to, family === 4 ? 32 : 128, receivesPathIds(source.wire, family));
    if (to === from) return;
    let attributes = 0;
    if (!refused) {
      this.#scratch.reset();
      appendMpReach(this.#scratch, family, buffer.subarray(nextHopStart, nextHopEnd));
      this.#cutMultiprotocol(buffer);
      attributes = this.#resolveScratch(tag, false, sink);
    }
    this.#announced(family, buffer, from, to, attributes, sink);
  }

  /** Attributes that belong to no route are never interned, only checked: a fault may have hidden routes (RFC 7606 §5.2). */
  #checkAlone({ wire }: AttributeSource, buffer: Uint8Array, sink: UpdateSink): void {
    const { attributesStart, attributesEnd } = this.#layout;
    const { errors } = decodeAttributes(buffer, attributesStart, attributesEnd, wire, false);
    if (errors.length > 0) sink.wireErrors(errors);
  }

  /** Appends the attributes to the scratch space, without the multiprotocol ones. */
  #cutMultiprotocol(buffer: Uint8Array): void {
    const { reachStart, reachEnd, unreachStart, unreachEnd } = this.#mp;
    const { attributesStart, attributesEnd } = this.#layout;
    const reachFirst = unreachStart < 0 || (reachStart >= 0 && reachStart < unreachStart);
    let from = attributesStart;
    for (const first of [true, false]) {
      const [start, end] = first === reachFirst ? [reachStart, reachEnd] : [unreachStart, unreachEnd];
      if (start < 0) continue;
      this.#scratch.bytes(buffer.subarray(from, start));
      from = end;
    }
    this.#scratch.bytes(buffer.subarray(from, attributesEnd));
  }

  #resolveScratch(tag: number, hasIpv4Nlri: boolean, sink: UpdateSink): number {
    return this.#resolve(tag, this.#scratch.buffer, 0, this.#scratch.offset, hasIpv4Nlri, sink);
  }

  #announced(
    family: Family,
    buffer: Uint8Array,
    start: number,
    end: number,
    attributes: number,
    sink: UpdateSink,
  ): void {
    if (end === start) return;
    if (attributes !== 0) sink.announce(family, buffer, start, end, attributes);
    else sink.treatAsWithdraw(family, buffer, start, end);
  }

  /** The id of an attribute string, 0: treat as withdraw. */
  #resolve(
    tag: number,
    buffer: Uint8Array,
    start: number,
    end: number,
    hasIpv4Nlri: boolean,
    sink: UpdateSink,
  ): number {
    const known = this.#store.find(tag, buffer, start, end);
    if (known !== 0) return known;
    const { attributes, action, errors } = decodeAttributes(
      buffer,
      start,
      end,
      this.#store.contextOf(tag),
      hasIpv4Nlri,
    );
    if (errors.length > 0) sink.wireErrors(errors);
    if (!attributes || action === "withdraw") return 0;
    return this.#store.add(tag, buffer, start, end, attributes, errors.length > 0);
  }
}

/** Reads the attribute at buffer[start, end) when it is a usual one of a negotiated family; false: ask the decoder. */
function readPart(
  buffer: Uint8Array,
  start: number,
  end: number,
  isReach: boolean,
  { wire }: AttributeSource,
  out: MpPart,
): boolean {
  const flags = buffer[start];
  // Optional, not transitive, not partial; the extended length bit is free.
  if ((flags & 0xe0) !== 0x80) return false;
  let at = start + ((flags & 0x10) !== 0 ? 4 : 3);
  if (end - at < (isReach ? 5 : 3) || buffer[at] !== 0 || buffer[at + 2] !== Safi.UNICAST) return false;
  const afi = buffer[at + 1];
  if (afi !== Afi.IPV4 && afi !== Afi.IPV6) return false;
  const family = afi === Afi.IPV4 ? 4 : 6;
  if (!wire.families.includes(family)) return false;
  out.family = family;
  at += 3;
  if (isReach) {
    const length = buffer[at++];
    const usual =
      family === 4
        ? length === 4 || (wire.extendedNextHop && (length === 16 || length === 32))
        : length === 16 || length === 32;
    if (!usual || end - at < length + 1) return false;
    out.nextHopStart = at;
    out.nextHopEnd = at + length;
    at += length + 1;
  }
  out.nlriStart = at;
  out.nlriEnd = end;
  return true;
}
