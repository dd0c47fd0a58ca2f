// A speaker's RIB with peers that are scripts: what they say is encoded into real UPDATEs, what they hear is decoded from
// real octets into a table, as a router at the other end would have it.
import { type BestPathOptions, usualBestPath } from "../../../bgp/loc-rib/best-path-options.ts";
import type { NextHopResolver } from "../../../bgp/next-hop-resolver.ts";
import { Rib } from "../../../bgp/rib.ts";
import type { Negotiated } from "../../../bgp/session/types.ts";
import type { SpeakerPeer } from "../../../bgp/speaker-types.ts";
import { Framer } from "../../../bgp/wire/framer.ts";
import { beginMessage, endMessage, HEADER_LENGTH } from "../../../bgp/wire/message.ts";
import { PATH_ID_LENGTH, readPathId, writeNlri } from "../../../bgp/wire/nlri.ts";
import { emptyAttributes, type PathAttributes } from "../../../bgp/wire/path-attributes.ts";
import { MessageType } from "../../../bgp/wire/registry.ts";
import { decodeRouteRefresh } from "../../../bgp/wire/route-refresh.ts";
import {
  beginMpReach,
  beginMpUnreach,
  decodeAttributes,
  encodeAttributes,
  encodeEndOfRib,
  endMultiprotocol,
  layoutUpdate,
} from "../../../bgp/wire/update.ts";
import { Writer } from "../../../bgp/wire/writer.ts";
import type { Family } from "../../../net/address.ts";
import { formatAddress } from "../../../net/address.ts";
import type { Clock, Timer } from "../../../net/clock.ts";
import { type Log, silentLog } from "../../../net/log.ts";
import { prefix } from "../../../net/prefix.ts";
import { address, FakeSession, LOCAL_ASN, peer, resolveAll } from "./support.ts";

/** Time that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ at: number; callback: () => void }>();

  now(): number {
    return this.#now;
  }

  after(delay: number, callback: () => void): Timer {
    const timer = { at: this.#now + delay, callback };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const [first] = [...this.#timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at);
      if (!first) break;
      this.#timers.delete(first);
      this.#now = first.at;
      first.callback();
    }
    this.#now = end;
  }
}

export interface Route {
  readonly attributes: PathAttributes;
}

/** A message as its receiver sees it, in words: `+10.0.0.0/8 via 192.0.2.1 path 65001`, `-10.0.0.0/8`, `end 4`. */
export class Neighbor {
  readonly options: SpeakerPeer;
  readonly rib: Rib;
  session: FakeSession;
  /** What this neighbour holds after all it was sent. */
  readonly table = new Map<string, PathAttributes>();
  /** Every message's length, and End-of-RIBs. */
  readonly messages: number[] = [];
  readonly endOfRibs: Family[] = [];
  /** `begin 4`, `end 4`: RFC 7313; beside each how many messages had come before. */
  readonly markers: [string, number][] = [];
  /** False: the socket is full. */
  open = true;
  readonly negotiated: Partial<Negotiated>;

  constructor(rib: Rib, options: SpeakerPeer, negotiated: Partial<Negotiated>) {
    this.rib = rib;
    this.options = options;
    this.negotiated = negotiated;
    this.session = this.#newSession();
  }

  up(negotiated: Partial<Negotiated> = {}): void {
    this.table.clear();
    this.endOfRibs.length = 0;
    this.session = this.#newSession(negotiated);
    this.rib.established(this.session);
  }

  down(graceful = false): void {
    this.rib.down(this.session, { reason: "test", notification: null, local: false, graceful });
  }

  /** Feeds one UPDATE body. */
  feed(body: Uint8Array): void {
    this.rib.update(this.session, body, 0, body.length);
  }

  announce(prefixes: readonly string[], attributes: Partial<PathAttributes> = {}): void {
    this.feed(this.announcement(prefixes, attributes));
  }

  /** With ADD-PATH prefixes may have an identifier: `10.0.0.0/8#3`, 0 otherwise. */
  announcement(prefixes: readonly string[], attributes: Partial<PathAttributes> = {}): Uint8Array {
    const { as4, remoteAsn, ebgp } = this.session.negotiated;
    const asPath = ebgp ? [{ type: 2 as const, asns: [remoteAsn] }] : [];
    const family = familyOf(prefixes);
    const { remoteAddress, addPath } = this.session.negotiated;
    const withIds = addPath?.receive.includes(family) ?? false;
    const nextHop = family === 6 && remoteAddress.length === 4 ? address("2001:db8::1") : remoteAddress;
    const all: PathAttributes = { ...emptyAttributes, asPath, nextHop, localPref: ebgp ? null : 100, ...attributes };
    const mp = family === 6 || all.nextHop?.length === 16;
    return updateBody(
      (writer) => {
        encodeAttributes(writer, all, { as4 }, !mp);
        if (!mp) return;
        const at = beginMpReach(writer, family, all.nextHop as Uint8Array, all.linkLocalNextHop);
        writeAll(writer, prefixes, withIds);
        endMultiprotocol(writer, at);
      },
      mp ? [] : prefixes,
      withIds,
    );
  }

  withdraw(prefixes: readonly string[]): void {
    const family = familyOf(prefixes);
    const withIds = this.session.negotiated.addPath?.receive.includes(family) ?? false;
    if (family === 6) {
      const body = updateBody((writer) => {
        const at = beginMpUnreach(writer, 6);
        writeAll(writer, prefixes, withIds);
        endMultiprotocol(writer, at);
      }, []);
      this.feed(body);
      return;
    }
    const writer = new Writer();
    writer.u16(0);
    writeAll(writer, prefixes, withIds);
    writer.patchU16(0, writer.offset - 2);
    writer.u16(0);
    this.feed(writer.slice());
  }

  endOfRib(family: Family): void {
    this.feed(encodeEndOfRib(family).subarray(HEADER_LENGTH));
  }

  /** The table as `prefix via next hop path`. */
  get routes(): string[] {
    return [...this.table]
      .map(([text, { nextHop, asPath }]) => {
        const path = asPath.map(({ asns }) => asns.join(" ")).join(" ");
        return `${text} via ${nextHop && formatAddress(nextHop)}${path ? ` path ${path}` : ""}`;
      })
      .sort();
  }

  #newSession(negotiated: Partial<Negotiated> = {}): FakeSession {
    return new FakeSession(this.options, (messages) => this.#receive(messages), { ...this.negotiated, ...negotiated });
  }

  #receive(messages: Uint8Array): boolean {
    const framer = new Framer(65535);
    framer.push(messages);
    while (framer.next()) {
      if (framer.type === MessageType.ROUTE_REFRESH) {
        const { afi, subtype } = decodeRouteRefresh(framer.buffer, framer.start, framer.end);
        this.markers.push([`${["request", "begin", "end"][subtype]} ${afi === 1 ? 4 : 6}`, this.messages.length]);
        continue;
      }
      this.messages.push(framer.end - framer.start + HEADER_LENGTH);
      this.#update(framer.buffer, framer.start, framer.end);
    }
    if (framer.buffered > 0) throw new Error("the speaker sent a broken message");
    return this.open;
  }

  #update(buffer: Uint8Array, start: number, end: number): void {
    const layout = {
      withdrawnStart: 0,
      withdrawnEnd: 0,
      attributesStart: 0,
      attributesEnd: 0,
      nlriStart: 0,
      nlriEnd: 0,
    };
    layoutUpdate(buffer, start, end, layout);
    const { withdrawnStart, withdrawnEnd, attributesStart, attributesEnd, nlriStart, nlriEnd } = layout;
    if (end - start === 4) this.endOfRibs.push(4);
    const read = (family: Family, from: number, to: number) =>
      readNlri(family, buffer, from, to, this.session.negotiated.addPath?.send.includes(family) ?? false);
    for (const text of read(4, withdrawnStart, withdrawnEnd)) this.table.delete(text);
    if (attributesEnd === attributesStart) return;
    const { addPath, ...negotiated } = this.session.negotiated;
    // What we send is what this end receives.
    const context = { ...negotiated, addPath: { receive: addPath?.send ?? [], send: addPath?.receive ?? [] } };
    const decoded = decodeAttributes(buffer, attributesStart, attributesEnd, context, nlriEnd > nlriStart);
    if (decoded.errors.length > 0) throw new Error(`the speaker sent wrong attributes: ${decoded.errors[0].message}`);
    const { attributes, mpReach, mpUnreach } = decoded;
    if (!attributes) throw new Error("no attributes");
    for (const text of read(4, nlriStart, nlriEnd)) this.table.set(text, attributes);
    if (mpReach?.family) {
      for (const text of read(mpReach.family, mpReach.nlriStart, mpReach.nlriEnd)) this.table.set(text, attributes);
    }
    if (mpUnreach?.family) {
      const { family, nlriStart: from, nlriEnd: to } = mpUnreach;
      if (from === to) this.endOfRibs.push(family);
      for (const text of read(family, from, to)) this.table.delete(text);
    }
  }
}

export class Simulation {
  readonly clock: ManualClock;
  readonly rib: Rib;

  constructor(
    options: {
      resolver?: NextHopResolver;
      maxPaths?: number;
      bestPath?: Partial<BestPathOptions>;
      log?: Log;
      clock?: ManualClock;
    } = {},
  ) {
    this.clock = options.clock ?? new ManualClock();
    const { resolver = resolveAll, maxPaths = 4, bestPath = {}, log = silentLog } = options;
    this.rib = new Rib(
      {
        asn: LOCAL_ASN,
        routerId: 0x0a000001,
        tables: [
          { name: "fabric", id: 7100 },
          { name: "storage", id: 7200 },
        ],
        clusterId: 0x0a000001,
        bestPath: { ...usualBestPath, maxPaths, maxPathsIbgp: maxPaths, ...bestPath },
        listenPort: null,
        listenAddresses: [],
      },
      { clock: this.clock, log, resolver },
    );
  }

  /** A peer with its session up. */
  peer(
    name: string,
    at: string,
    asn: number,
    options: Partial<SpeakerPeer> = {},
    negotiated: Partial<Negotiated> = {},
  ): Neighbor {
    const configured = peer(name, at, asn, options);
    this.rib.addPeer(configured);
    const neighbor = new Neighbor(this.rib, configured, negotiated);
    neighbor.up();
    return neighbor;
  }

  /** Lets all sliced work finish. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  }
}

function familyOf([first]: readonly string[]): Family {
  return first.includes(":") ? 6 : 4;
}

function updateBody(attributes: (writer: Writer) => void, nlri: readonly string[], withIds = false): Uint8Array {
  const writer = new Writer();
  const start = beginMessage(writer, MessageType.UPDATE);
  writer.u16(0);
  const at = writer.offset;
  writer.u16(0);
  attributes(writer);
  writer.patchU16(at, writer.offset - at - 2);
  writeAll(writer, nlri, withIds);
  endMessage(writer, start);
  return writer.slice().subarray(HEADER_LENGTH);
}

function writeAll(writer: Writer, prefixes: readonly string[], withIds: boolean): void {
  for (const entry of prefixes) {
    const [text, pathId = "0"] = entry.split("#");
    if (withIds) writer.u32(Number(pathId));
    const { bytes, length } = prefix(text);
    writeNlri(writer, bytes, length);
  }
}

function readNlri(family: Family, buffer: Uint8Array, start: number, end: number, withIds: boolean): string[] {
  const texts: string[] = [];
  for (let at = start; at < end; ) {
    const pathId = withIds ? `#${readPathId(buffer, at)}` : "";
    if (withIds) at += PATH_ID_LENGTH;
    const length = buffer[at++];
    const bytes = new Uint8Array(family === 4 ? 4 : 16);
    const count = (length + 7) >>> 3;
    bytes.set(buffer.subarray(at, at + count));
    at += count;
    texts.push(`${formatAddress(bytes)}/${length}${pathId}`);
  }
  return texts;
}
