// What stations are told about: peers with their Adj-RIBs-In, tables with their Loc-RIBs. From the RIB's objects to BMP's:
// per-peer headers, where feeds read, figures for statistics, and the OPENs of a Loc-RIB, which nobody sent (RFC 9069 §5.2).

import { isLinkLocal } from "../../../net/address.ts";
import { watchAdjRibIn } from "../../adj-rib-in/watch.ts";
import type { LocRib } from "../../loc-rib/loc-rib.ts";
import type { PeerFamily } from "../../peer-family.ts";
import type { PeerRib } from "../../peer-rib.ts";
import type { RibCore } from "../../rib-core.ts";
import type { EstablishedSession, Handshake } from "../../session/types.ts";
import { encodeOpen } from "../../wire/open.ts";
import { Afi, AS_TRANS, Safi } from "../../wire/registry.ts";
import { AttributeOctets } from "../attribute-octets.ts";
import type { BmpCollectorOptions } from "../types.ts";
import { Feed, type FeedSource, FeedSpace, type FeedView } from "./feed.ts";
import {
  type BmpPeer,
  type Information,
  InformationType,
  PeerFlag,
  PeerType,
  type Statistic,
  StatisticsType,
} from "./messages.ts";

const afiOf = { 4: Afi.IPV4, 6: Afi.IPV6 } as const;
const unspecified = new Uint8Array(4);

/** What feeds share. */
class Shared {
  readonly core: RibCore;
  readonly wallTime: () => number;
  readonly octets: AttributeOctets;
  readonly space = new FeedSpace();

  constructor(core: RibCore, wallTime: () => number) {
    this.core = core;
    this.wallTime = wallTime;
    this.octets = new AttributeOctets(core.store);
  }

  feed(peer: BmpPeer, source: FeedSource, as4: boolean, wake: () => void): Feed {
    const { octets, space, wallTime } = this;
    return new Feed({ peer, source, as4, store: this.core.store, octets, space, wallTime, wake });
  }
}

export class PeerSubject {
  readonly #peer: PeerRib;
  readonly #shared: Shared;
  /** When the present session came up, milliseconds since 1970. */
  establishedAt = 0;
  isRemoved = false;

  constructor(peer: PeerRib, shared: Shared) {
    this.#peer = peer;
    this.#shared = shared;
    if (peer.session) this.establishedAt = shared.wallTime();
  }

  get name(): string {
    return this.#peer.options.name;
  }

  /** The session to be told of; null also for a peer that is not to be monitored. */
  get session(): EstablishedSession | null {
    return this.#peer.options.monitored === false ? null : this.#peer.session;
  }

  get localAddress(): Uint8Array {
    return this.#peer.session?.negotiated.localAddress ?? unspecified;
  }

  /**
   * Link-local neighbours on several interfaces may have one address: they are told apart by the interface's index, as
   * "local instance" peers (RFC 7854 §4.2).
   */
  headerOf({ negotiated }: EstablishedSession, view: FeedView = "prePolicy"): BmpPeer {
    const { remoteAddress: address, remoteAsn, remoteRouterId, ifindex, as4 } = negotiated;
    const local = address.length === 16 && isLinkLocal(address);
    const flags =
      (address.length === 16 ? PeerFlag.IPV6 : 0) |
      (as4 ? 0 : PeerFlag.AS2) |
      (view === "postPolicy" ? PeerFlag.POST_POLICY : 0);
    return {
      type: local ? PeerType.LOCAL : PeerType.GLOBAL,
      flags,
      distinguisher: local ? ifindex : 0,
      address,
      asn: remoteAsn,
      routerId: remoteRouterId,
    };
  }

  feeds({ prePolicy, postPolicy }: BmpCollectorOptions, wake: () => void): Feed[] {
    const { session } = this.#peer;
    if (!session) return [];
    const { families, as4, addPath } = session.negotiated;
    const views = [...(prePolicy ? ["prePolicy" as const] : []), ...(postPolicy ? ["postPolicy" as const] : [])];
    return views.flatMap((view) =>
      families.map((family) => {
        const withIds = addPath?.receive.includes(family) ?? false;
        const source = this.#source(this.#peer.families.get(family) as PeerFamily, view, withIds);
        return this.#shared.feed(this.headerOf(session, view), source, as4, wake);
      }),
    );
  }

  statistics(): Statistic[] {
    const parts = [...this.#peer.families.values()];
    const size = ({ receivedPaths }: PeerFamily) => receivedPaths;
    return [
      { type: StatisticsType.ADJ_RIB_IN, value: parts.reduce((sum, part) => sum + size(part), 0) },
      ...parts.map((part) => ({
        type: StatisticsType.ADJ_RIB_IN_OF_FAMILY,
        value: size(part),
        afi: afiOf[part.family],
      })),
      { type: StatisticsType.PREFIXES_TREATED_AS_WITHDRAWN, value: this.#peer.errors.treatedAsWithdrawn },
    ];
  }

  #source(part: PeerFamily, view: FeedView, withIds: boolean): FeedSource {
    const { prefixes } = part.locRib;
    const raw = (id: number, lane: number) => part.lanes[lane]?.adjRibIn.get(id) ?? 0;
    /** Routes may go to several tables: what one of them takes is accepted. */
    const accepted = (id: number, lane: number) => {
      const set = raw(id, lane);
      if (set === 0) return 0;
      for (const { source } of part.lanes[lane].feeds) {
        const result = source.filter.apply(set, id);
        if (result !== 0) return result;
      }
      return 0;
    };
    return {
      prefixes,
      get lanes() {
        return part.lanes.length;
      },
      get size() {
        return part.received;
      },
      walk: () => (from) => {
        let first = -1;
        for (const { adjRibIn } of part.lanes) {
          const id = adjRibIn.next(from);
          if (id >= 0 && (first < 0 || id < first)) first = id;
        }
        return first;
      },
      follow: (wake, again) => watchAdjRibIn(part, wake, view === "postPolicy" ? again : null),
      setOf: view === "prePolicy" ? raw : accepted,
      pathIdOf: withIds ? (id, lane) => part.lanes[lane].pathIds?.get(id) ?? 0 : null,
    };
  }
}

/** One table: a Loc-RIB instance (RFC 9069) with both families. */
export class LocRibSubject {
  readonly peer: BmpPeer;
  readonly localAddress = unspecified;
  readonly handshake: Handshake;
  readonly information: readonly Information[];
  readonly #locRibs: readonly LocRib[];
  readonly #shared: Shared;

  constructor(locRibs: readonly LocRib[], asn: number, distinguisher: number, shared: Shared) {
    const { routerId } = shared.core;
    this.#locRibs = locRibs;
    this.#shared = shared;
    this.peer = { type: PeerType.LOC_RIB, flags: 0, distinguisher, address: unspecified, asn, routerId };
    // RFC 9069 §5.2.1: that of the default instance has to be "global".
    const text = distinguisher === 0 ? "global" : locRibs[0].tableName;
    this.information = [{ type: InformationType.TABLE_NAME, text }];
    const open = locRibOpen(asn, routerId);
    this.handshake = { sentOpen: open, receivedOpen: open, localPort: 0, remotePort: 0 };
  }

  feeds(wake: () => void): Feed[] {
    return this.#locRibs.map((locRib) => {
      const source: FeedSource = {
        prefixes: locRib.prefixes,
        lanes: 1,
        get size() {
          return locRib.size;
        },
        walk: () => locRib.walk(),
        follow: (changed) => locRib.watch("best", changed, false),
        setOf: (id) => locRib.bestOf(id),
        pathIdOf: null,
      };
      return this.#shared.feed(this.peer, source, true, wake);
    });
  }

  statistics(): Statistic[] {
    return [
      { type: StatisticsType.LOC_RIB, value: this.#locRibs.reduce((sum, { size }) => sum + size, 0) },
      ...this.#locRibs.map(({ family, size }) => ({
        type: StatisticsType.LOC_RIB_OF_FAMILY,
        value: size,
        afi: afiOf[family],
      })),
    ];
  }
}

export class Subjects {
  readonly #shared: Shared;
  readonly #peers = new Map<PeerRib, PeerSubject>();
  readonly #asn: number;
  #tables: readonly LocRibSubject[] = [];
  readonly #present: () => readonly PeerRib[];

  constructor(core: RibCore, asn: number, present: () => readonly PeerRib[], wallTime: () => number) {
    this.#shared = new Shared(core, wallTime);
    this.#present = present;
    this.#asn = asn;
    this.tablesChanged();
  }

  tablesChanged(): void {
    const { core } = this.#shared;
    const tables = [...new Set(core.locRibs.map(({ table }) => table))];
    this.#tables = tables.map((table) => {
      const locRibs = core.locRibs.filter((locRib) => locRib.table === table);
      // The only table is the global instance (RFC 9069 §4.1); of several each is known by its number.
      return new LocRibSubject(locRibs, this.#asn, tables.length > 1 ? table : 0, this.#shared);
    });
  }

  peers(): PeerSubject[] {
    return this.#present().map((peer) => this.of(peer));
  }

  of(peer: PeerRib): PeerSubject {
    const known = this.#peers.get(peer);
    if (known) return known;
    const subject = new PeerSubject(peer, this.#shared);
    this.#peers.set(peer, subject);
    return subject;
  }

  remove(peer: PeerRib): PeerSubject {
    const subject = this.of(peer);
    subject.isRemoved = true;
    this.#peers.delete(peer);
    return subject;
  }

  tables(): readonly LocRibSubject[] {
    return this.#tables;
  }
}

/** Everything that the UPDATEs of a Loc-RIB make use of. */
function locRibOpen(asn: number, routerId: number): Uint8Array {
  return encodeOpen({
    version: 4,
    asn: asn > 0xffff ? AS_TRANS : asn,
    holdTime: 0,
    routerId,
    capabilities: [
      { kind: "multiprotocol", afi: Afi.IPV4, safi: Safi.UNICAST },
      { kind: "multiprotocol", afi: Afi.IPV6, safi: Safi.UNICAST },
      { kind: "extendedNextHop", entries: [{ afi: Afi.IPV4, safi: Safi.UNICAST, nextHopAfi: Afi.IPV6 }] },
      { kind: "as4", asn },
    ],
  });
}
