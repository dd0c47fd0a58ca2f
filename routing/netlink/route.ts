// RTM_*ROUTE: struct rtmsg { family u8, dst_len u8, src_len u8, tos u8, table u8, protocol u8, scope u8, type u8,
// flags u32 } and RTA_* attributes. Two ways in: RouteSpec for single routes, and encodeRouteById for columns of a
// million, without an object for each. Two ways out likewise: decodeRoute, and RouteReader.
import type { Family } from "../../net/address.ts";
import { Attributes, LITTLE } from "./attribute.ts";
import { AF_INET, AF_INET6, Flag, MessageType, RouteAttribute, RouteType, Scope } from "./constants.ts";
import { HEADER_LENGTH, halves, type MessageWriter, quarters } from "./message.ts";

const HEADER = 12;
/** Length of an attribute of 32 bits. */
const WORD = 8;

export interface RouteSpec {
  readonly family: Family;
  readonly table: number;
  /** Null with length 0: the default route. */
  readonly destination: Uint8Array | null;
  readonly length: number;
  /** RTN_*; unicast when absent. */
  readonly type?: number;
  /** RT_SCOPE_*; universe when absent. */
  readonly scope?: number;
  /** RTPROT_*. */
  readonly protocol: number;
  /** Metric; absent or 0: the kernel's default (IPv4 0, IPv6 1024). */
  readonly priority?: number;
  readonly oif?: number;
  readonly gateway?: Uint8Array;
  readonly preferredSource?: Uint8Array;
  readonly nextHopId?: number;
  /** RTNH_F_*, for example NextHopFlag.onlink. */
  readonly flags?: number;
  /** Seconds for which it counts; IPv6 only. */
  readonly expires?: number;
}

export interface RouteHop {
  readonly ifindex: number;
  readonly gateway: Uint8Array | null;
  readonly weight: number;
  /** RTNH_F_*. */
  readonly flags: number;
}

export interface Route {
  readonly family: Family;
  readonly table: number;
  readonly destination: Uint8Array;
  readonly length: number;
  /** The source that an IPv6 route is for; length 0: any. */
  readonly source: Uint8Array | null;
  readonly sourceLength: number;
  readonly tos: number;
  readonly type: number;
  readonly scope: number;
  readonly protocol: number;
  readonly priority: number;
  readonly nextHopId: number;
  readonly hops: readonly RouteHop[];
  readonly preferredSource: Uint8Array | null;
  /** Preference of an IPv6 router (RFC 4191): 0 medium, 1 high, 3 low. */
  readonly preference: number;
}

/** A question to the kernel: where would this packet go? */
export interface RouteRequest {
  readonly family: Family;
  readonly destination: Uint8Array;
  /** Null: not chosen yet. */
  readonly source: Uint8Array | null;
  /** 0: the packet is made here. */
  readonly iif: number;
  /** 0: any. */
  readonly oif: number;
  readonly mark: number;
  readonly tos: number;
  readonly uid: number;
  /** 0: the kernel's choice, which is UDP for IPv4. */
  readonly ipProtocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** RTM_F_*. */
  readonly flags: number;
}

/** `flags`: NLM_F_CREATE with EXCL (only if absent) or REPLACE. */
export function encodeNewRoute(out: MessageWriter, flags: number, route: RouteSpec): void {
  encode(out, MessageType.newRoute, flags, route);
}

/** Deletes a route that matches in everything named, the protocol included. */
export function encodeDelRoute(out: MessageWriter, route: RouteSpec): void {
  encode(out, MessageType.delRoute, 0, route);
}

function encode(out: MessageWriter, messageType: number, flags: number, route: RouteSpec): void {
  const family = route.family === 4 ? AF_INET : AF_INET6;
  out.begin(messageType, flags);
  out.u8(family);
  out.u8(route.length);
  out.u16(0);
  out.u8(route.table < 256 ? route.table : 0);
  out.u8(route.protocol);
  out.u8(route.scope ?? Scope.universe);
  out.u8(route.type ?? RouteType.unicast);
  out.u32(route.flags ?? 0);
  if (route.destination && route.length > 0) out.attributeBytes(RouteAttribute.destination, route.destination);
  out.attributeU32(RouteAttribute.table, route.table);
  if (route.priority) out.attributeU32(RouteAttribute.priority, route.priority);
  if (route.oif) out.attributeU32(RouteAttribute.oif, route.oif);
  if (route.preferredSource) out.attributeBytes(RouteAttribute.preferredSource, route.preferredSource);
  if (route.nextHopId) out.attributeU32(RouteAttribute.nextHopId, route.nextHopId);
  if (route.gateway) {
    if (route.gateway.length === 16 && route.family === 4) {
      const via = new Uint8Array(18);
      new DataView(via.buffer).setUint16(0, AF_INET6, LITTLE);
      via.set(route.gateway, 2);
      out.attributeBytes(RouteAttribute.via, via);
    } else out.attributeBytes(RouteAttribute.gateway, route.gateway);
  }
  if (route.expires) out.attributeU32(RouteAttribute.expires, route.expires);
  out.end();
}

/**
 * One route that uses the nexthop object `nextHopId`; 0 deletes the route of this protocol and metric. `addresses` holds
 * the prefix's bytes from word `at` on: one word, or four. Written a million times in a row, hence in words.
 */
export function encodeRouteById(
  out: MessageWriter,
  flags: number,
  family: Family,
  table: number,
  protocol: number,
  priority: number,
  addresses: Uint32Array,
  at: number,
  length: number,
  nextHopId: number,
): void {
  const deletes = nextHopId === 0;
  const addressWords = length === 0 ? 0 : family === 4 ? 1 : 4;
  const size =
    HEADER_LENGTH + HEADER + (addressWords === 0 ? 0 : 4 + addressWords * 4) + WORD + WORD + (deletes ? 0 : WORD);
  let to = out.claim(deletes ? MessageType.delRoute : MessageType.newRoute, flags, size);
  const { words } = out;
  words[to++] = quarters(family === 4 ? AF_INET : AF_INET6, length, 0, 0);
  words[to++] = quarters(table < 256 ? table : 0, protocol, Scope.universe, RouteType.unicast);
  words[to++] = 0;
  if (addressWords !== 0) {
    words[to++] = halves(4 + addressWords * 4, RouteAttribute.destination);
    words[to++] = addresses[at];
    for (let i = 1; i < addressWords; i++) words[to++] = addresses[at + i];
  }
  words[to++] = halves(WORD, RouteAttribute.table);
  words[to++] = table;
  words[to++] = halves(WORD, RouteAttribute.priority);
  words[to++] = priority;
  if (deletes) return;
  words[to++] = halves(WORD, RouteAttribute.nextHopId);
  words[to] = nextHopId;
}

/** The kernel filters by table, protocol, type and outgoing interface (0: all), given strict checking. */
export function encodeRouteDump(out: MessageWriter, family: Family, table = 0, protocol = 0, type = 0, oif = 0): void {
  out.begin(MessageType.getRoute, Flag.dump);
  out.u8(family === 4 ? AF_INET : AF_INET6);
  out.zeros(3);
  out.u8(0);
  out.u8(protocol);
  out.u8(0);
  out.u8(type);
  out.zeros(4);
  if (table !== 0) out.attributeU32(RouteAttribute.table, table);
  if (oif !== 0) out.attributeU32(RouteAttribute.oif, oif);
  out.end();
}

/** RTM_GETROUTE for one flow. The kernel refuses it with the error that the packet's sender would get. */
export function encodeRouteRequest(out: MessageWriter, request: RouteRequest): void {
  const { destination, source } = request;
  const port = (type: number, value: number) =>
    value !== 0 && out.attributeBytes(type, Uint8Array.of(value >>> 8, value & 255));
  const number = (type: number, value: number) => value !== 0 && out.attributeU32(type, value);
  out.begin(MessageType.getRoute, 0);
  out.u8(request.family === 4 ? AF_INET : AF_INET6);
  out.u8(destination.length * 8);
  out.u8(source ? source.length * 8 : 0);
  out.u8(request.tos);
  out.zeros(4);
  out.u32(request.flags);
  out.attributeBytes(RouteAttribute.destination, destination);
  if (source) out.attributeBytes(RouteAttribute.source, source);
  number(RouteAttribute.iif, request.iif);
  number(RouteAttribute.oif, request.oif);
  number(RouteAttribute.mark, request.mark);
  out.attributeU32(RouteAttribute.uid, request.uid);
  if (request.ipProtocol !== 0) out.attributeU8(RouteAttribute.ipProtocol, request.ipProtocol);
  port(RouteAttribute.sourcePort, request.sourcePort);
  port(RouteAttribute.destinationPort, request.destinationPort);
  out.end();
}

/** Fields of the last route read, reused: a dump of a million routes makes no objects. */
export class RouteReader {
  readonly #attributes = new Attributes(RouteAttribute.nextHopId);
  readonly address: Uint8Array = new Uint8Array(16);
  family: Family = 4;
  length = 0;
  sourceLength = 0;
  tos = 0;
  table = 0;
  protocol = 0;
  scope = 0;
  type = 0;
  flags = 0;
  priority = 0;
  nextHopId = 0;
  oif = 0;

  /** Body of RTM_NEWROUTE or RTM_DELROUTE; false when it is neither of IPv4 nor of IPv6. */
  read(buffer: Buffer, start: number, end: number): boolean {
    if (end - start < HEADER) return false;
    const family = buffer[start];
    if (family !== AF_INET && family !== AF_INET6) return false;
    const size = family === AF_INET ? 4 : 16;
    this.length = buffer[start + 1];
    if (this.length > size * 8) return false;
    const attributes = this.#attributes.parse(buffer, start + HEADER, end);
    this.family = family === AF_INET ? 4 : 6;
    this.sourceLength = buffer[start + 2];
    this.tos = buffer[start + 3];
    this.table = attributes.u32(RouteAttribute.table, buffer[start + 4]);
    this.protocol = buffer[start + 5];
    this.scope = buffer[start + 6];
    this.type = buffer[start + 7];
    this.flags = LITTLE ? buffer.readUInt32LE(start + 8) : buffer.readUInt32BE(start + 8);
    this.priority = attributes.u32(RouteAttribute.priority);
    this.nextHopId = attributes.u32(RouteAttribute.nextHopId);
    this.oif = attributes.u32(RouteAttribute.oif);
    const at = attributes.start(RouteAttribute.destination);
    if (at >= 0 && attributes.length(RouteAttribute.destination) === size)
      for (let i = 0; i < size; i++) this.address[i] = buffer[at + i];
    else this.address.fill(0);
    return true;
  }

  /** The source prefix's address of the last route read; null: from anywhere. */
  source(): Uint8Array | null {
    return this.sourceLength === 0 ? null : this.#attributes.address(RouteAttribute.source);
  }

  preferredSource(): Uint8Array | null {
    return this.#attributes.address(RouteAttribute.preferredSource);
  }

  preference(): number {
    return this.#attributes.u8(RouteAttribute.preference);
  }

  /** The hops of the last route read: the single one, or those of RTA_MULTIPATH. */
  hops(buffer: Buffer): RouteHop[] {
    const attributes = this.#attributes;
    const start = attributes.start(RouteAttribute.multipath);
    if (start < 0) {
      const gateway = gatewayOf(attributes);
      return this.oif === 0 && gateway === null ? [] : [{ ifindex: this.oif, gateway, weight: 1, flags: this.flags }];
    }
    // struct rtnexthop { len u16, flags u8, hops u8, ifindex s32 } and attributes
    const end = start + attributes.length(RouteAttribute.multipath);
    const hops: RouteHop[] = [];
    const nested = new Attributes(RouteAttribute.via);
    for (let at = start; at + 8 <= end; ) {
      const length = LITTLE ? buffer.readUInt16LE(at) : buffer.readUInt16BE(at);
      if (length < 8 || at + length > end) break;
      nested.parse(buffer, at + 8, at + length);
      hops.push({
        ifindex: LITTLE ? buffer.readInt32LE(at + 4) : buffer.readInt32BE(at + 4),
        gateway: gatewayOf(nested),
        weight: buffer[at + 3] + 1,
        flags: buffer[at + 2],
      });
      at += (length + 3) & ~3;
    }
    return hops;
  }
}

function gatewayOf(attributes: Attributes): Uint8Array | null {
  const via = attributes.bytes(RouteAttribute.via);
  if (via && (via.length === 6 || via.length === 18)) return via.subarray(2);
  return attributes.address(RouteAttribute.gateway);
}

const reader = new RouteReader();

/** Body of RTM_NEWROUTE or RTM_DELROUTE; null when it is neither of IPv4 nor of IPv6. */
export function decodeRoute(buffer: Buffer, start: number, end: number): Route | null {
  return reader.read(buffer, start, end) ? routeOf(reader, buffer) : null;
}

/** What the reader has read, as an object of its own. */
export function routeOf(reader: RouteReader, buffer: Buffer): Route {
  return {
    family: reader.family,
    table: reader.table,
    destination: reader.address.slice(0, reader.family === 4 ? 4 : 16),
    length: reader.length,
    source: reader.source(),
    sourceLength: reader.sourceLength,
    tos: reader.tos,
    type: reader.type,
    scope: reader.scope,
    protocol: reader.protocol,
    priority: reader.priority,
    nextHopId: reader.nextHopId,
    hops: reader.hops(buffer),
    preferredSource: reader.preferredSource(),
    preference: reader.preference(),
  };
}
