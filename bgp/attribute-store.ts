// Attribute sets as dense ids. In: the path attributes of an UPDATE as received, once per UPDATE; equal octets from like
// sessions are one set, so that parsing, policy and the keys of the decision process are done once per set and not once per
// prefix (a full table has about one set per 6 to 12 prefixes). Out: columns by id with what the decision process
// compares, and the decoded attributes on request.
//
// A set is a valid attribute string by itself: routes of MP_REACH_NLRI (RFC 4760) are stored with an MP_REACH_NLRI that
// has the next hop and a stand-in for the prefixes, in place of the one they came with. Decoded values are not kept,
// they would take five times the memory of the octets; a small cache serves the export that follows an import.
import type { Family } from "../net/address.ts";
import { ByteStore } from "../net/byte-store.ts";
import { linkBandwidth } from "./community-text.ts";
import type { WireContext } from "./wire/context.ts";
import { AsSegmentType, type PathAttributes } from "./wire/path-attributes.ts";
import { Afi, AttributeCode, AttributeFlag, Safi, WellKnownCommunity } from "./wire/registry.ts";
import { decodeAttributes, encodeAttributes } from "./wire/update.ts";
import { Writer } from "./wire/writer.ts";

/** Bits of the `flags` column. */
const Flags = {
  /** Something that BGP itself has rules about, see ingress.ts. */
  NOTABLE: 1,
  NO_EXPORT: 2,
  NO_ADVERTISE: 4,
  NO_EXPORT_SUBCONFED: 8,
  LLGR_STALE: 16,
  NO_LLGR: 32,
  FAULTY: 64,
} as const;

/** NO_EXPORT; the other two follow. */
const FIRST_WELL_KNOWN = 0xffff_ff01;
const WELL_KNOWN = [Flags.NO_EXPORT, Flags.NO_ADVERTISE, Flags.NO_EXPORT_SUBCONFED];

/** Assumed where there is none: routes from other ASes (RFC 4271 §9.1.1 leaves it to us; 100 is everybody's habit). */
const DEFAULT_LOCAL_PREF = 100;

/** Who the octets came from, as far as it changes what they mean. */
export interface AttributeSource {
  readonly wire: WireContext;
  /** Of the session; 0: sets of our own making. */
  readonly localAsn: number;
  readonly nodeAsn: number;
  readonly routerId: number;
  readonly clusterId: number;
}

/** Interned next hop addresses, see loc-rib/next-hops.ts. */
export interface NextHopAddresses {
  intern(address: Uint8Array, linkLocal: Uint8Array | null): number;
  release(id: number): void;
}

/** Decoded attribute sets that are kept; a power of two. */
/** As few as serve a burst of changes: what survives a collection of garbage or two costs more than to decode it again. */
const CACHE_SIZE = 64;
const INITIAL_IDS = 256;

/** How sets that we make ourselves are written: everything in its widest form, nothing discarded. */
const ownWire: WireContext = { as4: true, ebgp: false, families: [4, 6], extendedNextHop: true, maxMessage: 65535 };

export class AttributeStore {
  readonly #bytes = new ByteStore();
  readonly #addresses: NextHopAddresses;
  readonly #sources: AttributeSource[] = [];
  readonly #sourceTags = new Map<string, number>();
  readonly #freed = new Set<(id: number) => void>();
  readonly #cacheIds = new Uint32Array(CACHE_SIZE);
  readonly #cache: (PathAttributes | null)[] = new Array(CACHE_SIZE).fill(null);
  readonly #writer = new Writer();
  readonly #ownTag: number;
  readonly #missingMed: number;
  readonly #weightTags = new Map<number, number>();

  /** Columns by id. Read them anew after anything that adds sets: they move when they grow. */
  /** Given by a policy, of this node alone: no attribute, so that sets that differ in nothing else are told apart by tag. */
  weight = new Uint32Array(INITIAL_IDS);
  localPref = new Uint32Array(INITIAL_IDS);
  /**
   * Number of ASes for the decision process: a set counts 1, confederation segments 0 (RFC 4271 §9.1.2.2 a, RFC 5065
   * §5.3).
   */
  pathLength = new Uint16Array(INITIAL_IDS);
  origin = new Uint8Array(INITIAL_IDS);
  /** 0 when there is none (RFC 4271 §9.1.2.2 c), unless operators want it otherwise. */
  med = new Uint32Array(INITIAL_IDS);
  /** The AS that sent the route to our AS; 0: it comes from our own. */
  neighborAs = new Uint32Array(INITIAL_IDS);
  /** 0: none. */
  originatorId = new Uint32Array(INITIAL_IDS);
  clusterLength = new Uint8Array(INITIAL_IDS);
  /** Bytes per second of the link bandwidth community; 0: none. */
  bandwidth = new Float32Array(INITIAL_IDS);
  /** Id of the next hop address; 0: none, a route of our own. */
  nextHop = new Uint32Array(INITIAL_IDS);
  #flags = new Uint8Array(INITIAL_IDS);

  /** `missingMed`: what counts where there is none. */
  constructor(addresses: NextHopAddresses, missingMed = 0) {
    this.#missingMed = missingMed;
    this.#addresses = addresses;
    this.#ownTag = this.tagOf({ wire: ownWire, localAsn: 0, nodeAsn: 0, routerId: 0, clusterId: 0 });
  }

  /** Sets that exist. */
  get size(): number {
    return this.#bytes.size;
  }

  get garbage(): number {
    return this.#bytes.garbage;
  }

  /** A small number that equal sources share. */
  tagOf(source: AttributeSource): number {
    const { wire, localAsn, nodeAsn, routerId, clusterId } = source;
    const key = `${wire.as4} ${wire.ebgp} ${wire.extendedNextHop} ${localAsn} ${nodeAsn} ${routerId} ${clusterId}`;
    let tag = this.#sourceTags.get(key);
    if (tag === undefined) {
      tag = this.#sources.push({ wire: asStored(wire), localAsn, nodeAsn, routerId, clusterId }) - 1;
      this.#sourceTags.set(key, tag);
    }
    return tag;
  }

  /** How sets with this tag are read, other than from the wire: whatever family they are of, without path identifiers. */
  contextOf(tag: number): WireContext {
    return this.#sources[tag].wire;
  }

  /** The id of these octets, or 0: decode them, and `add` them when they are in order. */
  find(tag: number, buffer: Uint8Array, start: number, end: number): number {
    return this.#bytes.find(tag, buffer, start, end);
  }

  /** Right after a `find` of the same octets that returned 0. `faulty`: the attributes are less than the octets say. */
  add(tag: number, buffer: Uint8Array, start: number, end: number, attributes: PathAttributes, faulty = false): number {
    const id = this.#bytes.add(tag, buffer, start, end);
    if (id >= this.#flags.length) this.#grow();
    this.weight[id] = 0;
    this.localPref[id] = attributes.localPref ?? DEFAULT_LOCAL_PREF;
    this.pathLength[id] = pathLength(attributes);
    this.origin[id] = attributes.origin;
    this.med[id] = attributes.med ?? this.#missingMed;
    this.neighborAs[id] = neighborAs(attributes);
    this.originatorId[id] = attributes.originatorId ?? 0;
    this.clusterLength[id] = Math.min(255, attributes.clusterList.length);
    this.bandwidth[id] = bandwidthOf(attributes);
    this.nextHop[id] = attributes.nextHop ? this.#addresses.intern(attributes.nextHop, attributes.linkLocalNextHop) : 0;
    this.#flags[id] =
      wellKnownFlags(attributes) |
      (isNotable(attributes, this.#sources[tag]) ? Flags.NOTABLE : 0) |
      (faulty ? Flags.FAULTY : 0);
    this.#remember(id, attributes);
    return id;
  }

  /** The id of attributes that we made (a policy, a route of our own). */
  intern(attributes: PathAttributes, family: Family, weight = 0): number {
    const tag = weight === 0 ? this.#ownTag : this.#weighted(weight);
    const writer = this.#writer;
    writer.reset();
    const { nextHop } = attributes;
    const inAttribute = family === 4 && nextHop?.length === 4;
    if (nextHop && !inAttribute) appendMpReach(writer, family, nextHop, attributes.linkLocalNextHop);
    encodeAttributes(writer, attributes, { as4: true }, inAttribute);
    const found = this.#bytes.find(tag, writer.buffer, 0, writer.offset);
    if (found !== 0) return found;
    const id = this.add(tag, writer.buffer, 0, writer.offset, attributes);
    this.weight[id] = weight;
    return id;
  }

  /** The tag of sets of our own making with a weight: as many as there are weights in the configuration. */
  #weighted(weight: number): number {
    let tag = this.#weightTags.get(weight);
    if (tag === undefined) {
      tag = this.#sources.push(this.#sources[this.#ownTag]) - 1;
      this.#weightTags.set(weight, tag);
    }
    return tag;
  }

  /** Its routes may be looping, or subject to another rule of BGP itself: ask the Ingress of who sent it. */
  isNotable(id: number): boolean {
    return (this.#flags[id] & Flags.NOTABLE) !== 0;
  }

  /** A well-known community forbids to announce it to such a peer (RFC 1997). */
  isHidden(id: number, ebgp: boolean): boolean {
    const hiding = ebgp ? Flags.NO_ADVERTISE | Flags.NO_EXPORT | Flags.NO_EXPORT_SUBCONFED : Flags.NO_ADVERTISE;
    return (this.#flags[id] & hiding) !== 0;
  }

  /** Whoever it comes from keeps it for a neighbour that has been away for long: least preferred (RFC 9494 §4.3). */
  isLongLivedStale(id: number): boolean {
    return (this.#flags[id] & Flags.LLGR_STALE) !== 0;
  }

  /** Not to be kept for a neighbour that stays away (NO_LLGR, RFC 9494 §4.2). */
  refusesLongLived(id: number): boolean {
    return (this.#flags[id] & Flags.NO_LLGR) !== 0;
  }

  sameAsPath(a: number, b: number): boolean {
    if (a === b) return true;
    if (this.pathLength[a] !== this.pathLength[b] || this.neighborAs[a] !== this.neighborAs[b]) return false;
    const [one, other] = [this.attributes(a).asPath, this.attributes(b).asPath];
    return (
      one.length === other.length &&
      one.every(({ type, asns }, i) => type === other[i].type && asns.join() === other[i].asns.join())
    );
  }

  /** The octets, valid until the next call that adds or sweeps. */
  octets(id: number): Uint8Array {
    return this.#bytes.bytes(id);
  }

  /** How the octets are written. */
  wireOf(id: number): WireContext {
    return this.#sources[this.#bytes.tagOf(id)].wire;
  }

  /** The octets have something that was discarded (RFC 7606): they are not to be passed on as they are. */
  isFaulty(id: number): boolean {
    return (this.#flags[id] & Flags.FAULTY) !== 0;
  }

  /** The decoded attributes. */
  attributes(id: number): PathAttributes {
    const slot = id & (CACHE_SIZE - 1);
    const cached = this.#cacheIds[slot] === id ? this.#cache[slot] : null;
    if (cached) return cached;
    const chunk = this.#bytes.chunkOf(id);
    const start = this.#bytes.offsetOf(id);
    const { wire } = this.#sources[this.#bytes.tagOf(id)];
    const { attributes } = decodeAttributes(chunk, start, start + this.#bytes.lengthOf(id), wire, false);
    // It has been decoded before it was stored.
    if (!attributes) throw new Error(`interned attribute set ${id} does not decode`);
    this.#remember(id, attributes);
    return attributes;
  }

  retain(id: number): void {
    this.#bytes.retain(id);
  }

  release(id: number): void {
    this.#bytes.release(id);
  }

  /** Tells when an id is about to be freed: whoever has results by attribute id forgets this one. */
  onFreed(listener: (id: number) => void): () => void {
    this.#freed.add(listener);
    return () => this.#freed.delete(listener);
  }

  /** Frees a few hundred sets that nobody uses any more. */
  sweep(): void {
    this.#bytes.sweep(this.#onSweep);
  }

  readonly #onSweep = (id: number): void => {
    for (const listener of this.#freed) listener(id);
    if (this.nextHop[id] !== 0) this.#addresses.release(this.nextHop[id]);
    const slot = id & (CACHE_SIZE - 1);
    if (this.#cacheIds[slot] === id) this.#cache[slot] = null;
  };

  #remember(id: number, attributes: PathAttributes): void {
    const slot = id & (CACHE_SIZE - 1);
    this.#cacheIds[slot] = id;
    this.#cache[slot] = attributes;
  }

  #grow(): void {
    const ids = this.#flags.length * 2;
    this.weight = wider32(this.weight, ids);
    this.localPref = wider32(this.localPref, ids);
    this.med = wider32(this.med, ids);
    this.neighborAs = wider32(this.neighborAs, ids);
    this.originatorId = wider32(this.originatorId, ids);
    this.nextHop = wider32(this.nextHop, ids);
    const bandwidth = new Float32Array(ids);
    bandwidth.set(this.bandwidth);
    this.bandwidth = bandwidth;
    const pathLength = new Uint16Array(ids);
    pathLength.set(this.pathLength);
    this.pathLength = pathLength;
    this.origin = wider8(this.origin, ids);
    this.clusterLength = wider8(this.clusterLength, ids);
    this.#flags = wider8(this.#flags, ids);
  }
}

/**
 * MP_REACH_NLRI (RFC 4760 §3) with a next hop and one prefix, of length 0: a list that announces nothing is not checked
 * for the mandatory attributes. It goes first, where a broken attribute that follows cannot swallow it.
 */
export function appendMpReach(
  writer: Writer,
  family: Family,
  nextHop: Uint8Array,
  linkLocal: Uint8Array | null = null,
): void {
  const nextHopLength = nextHop.length + (linkLocal?.length ?? 0);
  writer.u8(AttributeFlag.OPTIONAL);
  writer.u8(AttributeCode.MP_REACH_NLRI);
  writer.u8(nextHopLength + 6);
  writer.u16(family === 4 ? Afi.IPV4 : Afi.IPV6);
  writer.u8(Safi.UNICAST);
  writer.u8(nextHopLength);
  writer.bytes(nextHop);
  if (linkLocal) writer.bytes(linkLocal);
  // Reserved octet, then the prefix.
  writer.u16(0);
}

/** Sessions with other families, or path identifiers, share what they have in common. */
function asStored(wire: WireContext): WireContext {
  const { as4, ebgp, extendedNextHop, maxMessage } = wire;
  return { as4, ebgp, families: [4, 6], extendedNextHop, maxMessage };
}

function pathLength({ asPath }: PathAttributes): number {
  let length = 0;
  for (const { type, asns } of asPath) {
    if (type === AsSegmentType.AS_SEQUENCE) length += asns.length;
    else if (type === AsSegmentType.AS_SET) length += 1;
  }
  return length;
}

function neighborAs({ asPath }: PathAttributes): number {
  for (const { type, asns } of asPath) {
    if (type === AsSegmentType.AS_SEQUENCE && asns.length > 0) return asns[0];
    if (type === AsSegmentType.AS_SET) return 0;
  }
  return 0;
}

function isNotable(attributes: PathAttributes, { localAsn, nodeAsn, routerId, clusterId }: AttributeSource): boolean {
  if (localAsn === 0) return false;
  const { asPath, originatorId, clusterList, communities } = attributes;
  if (originatorId === routerId || clusterList.includes(clusterId)) return true;
  if (communities.includes(WellKnownCommunity.GRACEFUL_SHUTDOWN)) return true;
  for (const { type, asns } of asPath) {
    if (type === AsSegmentType.AS_SET || type === AsSegmentType.AS_CONFED_SET) return true;
    if (asns.includes(localAsn) || asns.includes(nodeAsn)) return true;
  }
  return false;
}

function wellKnownFlags({ communities }: PathAttributes): number {
  let flags = 0;
  for (const community of communities) {
    if (community >= FIRST_WELL_KNOWN) flags |= WELL_KNOWN[community - FIRST_WELL_KNOWN] ?? 0;
    else if (community === WellKnownCommunity.LLGR_STALE) flags |= Flags.LLGR_STALE;
    else if (community === WellKnownCommunity.NO_LLGR) flags |= Flags.NO_LLGR;
  }
  return flags;
}

function bandwidthOf({ extendedCommunities }: PathAttributes): number {
  for (const [high, low] of extendedCommunities) {
    const bandwidth = linkBandwidth(high, low);
    if (bandwidth !== null) return bandwidth;
  }
  return 0;
}

function wider32(old: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const array = new Uint32Array(length);
  array.set(old);
  return array;
}

function wider8(old: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const array = new Uint8Array(length);
  array.set(old);
  return array;
}
