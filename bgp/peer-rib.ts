// One peer's side of the RIB: what its session says goes into its Adjacency-RIBs-In and the Loc-RIB, what the Loc-RIB has
// goes out; and what becomes of its routes when the session ends: withdrawn in slices, or kept as stale for a while
// for a neighbour that restarts gracefully (RFC 4724 §4.2).
import type { Family } from "../net/address.ts";
import type { Timer } from "../net/clock.ts";
import type { SliceTask } from "../net/slices.ts";
import { AdjRibIn } from "./adj-rib-in/adj-rib-in.ts";
import type { UpdateSink } from "./adj-rib-in/update-reader.ts";
import { AdjRibOut } from "./adj-rib-out/adj-rib-out.ts";
import { ownNextHop } from "./adj-rib-out/own-next-hop.ts";
import type { AttributeSource } from "./attribute-store.ts";
import type { LocRib } from "./loc-rib/loc-rib.ts";
import type { RouteSource, SourceSession } from "./loc-rib/source.ts";
import { PeerErrors } from "./peer-errors.ts";
import { CompiledPolicy } from "./policy/compile.ts";
import { ImportFilter } from "./policy/filter.ts";
import type { RibCore } from "./rib-core.ts";
import type { EstablishedSession, Negotiated, SessionDown } from "./session/types.ts";
import type { SpeakerPeer } from "./speaker-types.ts";
import type { WireError } from "./wire/error.ts";
import { Afi, CeaseSubcode, ErrorCode, Safi } from "./wire/registry.ts";

/** Seconds that stale routes of a neighbour that has come back wait for its End-of-RIB at most (RFC 4724 §4.2 asks for a bound). */
const STALE_PATH_TIME = 360;
/** Milliseconds of silence after which a neighbour that sends no End-of-RIB has sent its table. */
const QUIET_TIME = 5000;
/** Doomed routes per slice. */
const PURGE_BATCH = 2048;

/** One family of one peer. */
export interface PeerFamily {
  readonly family: Family;
  readonly locRib: LocRib;
  readonly source: RouteSource;
  adjRibOut: AdjRibOut | null;
  /** The session has sent its whole table. */
  converged: boolean;
}

export class PeerRib implements UpdateSink, SliceTask {
  readonly families: ReadonlyMap<Family, PeerFamily>;
  readonly #core: RibCore;
  #options: SpeakerPeer;
  #session: EstablishedSession | null = null;
  #attributeSource: AttributeSource | null = null;
  #tag = 0;
  #staleTimer: Timer | null = null;
  #quietTimer: Timer | null = null;
  #updates = 0;
  #removed = false;
  #limitReached = false;
  readonly errors: PeerErrors;
  readonly #batch = new Uint32Array(PURGE_BATCH);

  constructor(options: SpeakerPeer, core: RibCore) {
    this.#options = options;
    this.#core = core;
    this.errors = new PeerErrors(options, core.clock, core.log);
    const policy = new CompiledPolicy(options.import);
    const families = new Map<Family, PeerFamily>();
    for (const family of [4, 6] as const) {
      const locRib = core.locRib(options.table, family);
      const prefixes = core.prefixes[family];
      const source: RouteSource = {
        name: options.name,
        local: false,
        adjRibIn: new AdjRibIn(prefixes, core.store),
        filter: new ImportFilter(policy, prefixes, options.name, core.store),
        session: {
          ebgp: true,
          routerId: 0,
          address: options.address,
          nextHops: core.nextHops.view(0, []),
        },
      };
      locRib.addSource(source);
      families.set(family, { family, locRib, source, adjRibOut: null, converged: false });
    }
    this.families = families;
  }

  get options(): SpeakerPeer {
    return this.#options;
  }

  get session(): EstablishedSession | null {
    return this.#session;
  }

  /** Every negotiated family's table has arrived. */
  get converged(): boolean {
    const session = this.#session;
    if (!session) return false;
    return session.negotiated.families.every((family) => this.families.get(family)?.converged);
  }

  established(session: EstablishedSession): void {
    const { negotiated } = session;
    this.#session = session;
    const { localAsn } = negotiated;
    this.#attributeSource = { wire: negotiated, localAsn, routerId: this.#core.routerId };
    this.#tag = this.#core.store.tagOf(this.#attributeSource);
    this.#updates = 0;
    this.#limitReached = false;
    for (const part of this.families.values()) {
      part.converged = false;
      const { adjRibIn } = part.source;
      if (!negotiated.families.includes(part.family)) {
        adjRibIn.doomAll();
        continue;
      }
      part.source.session = this.#sourceSession(negotiated);
      // A neighbour that has lost its forwarding state must not be sent traffic for its old routes (RFC 4724 §4.2).
      if (!negotiated.gracefulRestart?.families.get(part.family)) adjRibIn.doomStale();
      part.adjRibOut = this.#openAdjRibOut(part, session);
    }
    this.#core.slices.schedule(this);
    this.#staleTimer?.cancel();
    this.#staleTimer = this.#stale > 0 ? this.#core.clock.after(STALE_PATH_TIME * 1000, this.#dropStale) : null;
    // End-of-RIB comes from a neighbour that was offered graceful restart and knows it; one that is restarting itself may
    // be waiting for ours (RFC 4724 §4.1).
    const { gracefulRestart } = negotiated;
    if (!gracefulRestart || gracefulRestart.restarting || !this.#options.gracefulRestart) this.#awaitQuiet(0);
  }

  down({ graceful }: SessionDown): void {
    const gracefulRestart = this.#session?.negotiated.gracefulRestart ?? null;
    this.#closeSession();
    let stale = false;
    for (const { family, locRib, source } of this.families.values()) {
      if (graceful && gracefulRestart?.families.has(family)) {
        source.adjRibIn.markStale();
        stale ||= source.adjRibIn.stale > 0;
        // Where others have the route too, theirs is better now.
        this.#core.revisit(locRib, source);
      } else {
        source.adjRibIn.doomAll();
      }
    }
    if (stale && gracefulRestart) {
      this.#core.log.info(
        { peer: this.#options.name, routes: this.#stale, seconds: gracefulRestart.time },
        "keeping routes of a restarting peer",
      );
      this.#staleTimer = this.#core.clock.after(gracefulRestart.time * 1000, this.#dropStale);
    }
    this.#core.slices.schedule(this);
  }

  /** The peer is gone for good: everything is withdrawn, then forgotten. */
  remove(): void {
    this.#removed = true;
    this.#closeSession();
    for (const { source } of this.families.values()) source.adjRibIn.doomAll();
    this.#core.slices.schedule(this);
  }

  /** Reads an UPDATE. Throws WireError when the session has to be reset. */
  update(buffer: Uint8Array, start: number, end: number): void {
    const source = this.#attributeSource;
    if (!source) return;
    this.#updates++;
    this.#core.reader.read(source, this.#tag, buffer, start, end, this);
    const { maxPrefixes } = this.#options;
    if (maxPrefixes !== null) this.#checkLimit(maxPrefixes);
  }

  routeRefresh(family: Family): void {
    this.families.get(family)?.adjRibOut?.refresh();
  }

  writable(): void {
    for (const { adjRibOut } of this.families.values()) adjRibOut?.writable();
  }

  /** Our own restart is over. */
  restarted(): void {
    for (const { adjRibOut } of this.families.values()) adjRibOut?.restarted();
  }

  /** New policies and limits on a running session. */
  setPolicies(options: SpeakerPeer): void {
    const old = this.#options;
    this.#options = options;
    if (options.import !== old.import) {
      const policy = new CompiledPolicy(options.import);
      for (const { locRib, source } of this.families.values()) {
        const filter = source.filter;
        source.filter = new ImportFilter(policy, locRib.prefixes, options.name, this.#core.store);
        filter.close();
        this.#core.revisit(locRib, source);
      }
    }
    const session = this.#session;
    if (options.export === old.export || !session) return;
    for (const part of this.families.values()) {
      if (!part.adjRibOut) continue;
      const group = part.adjRibOut.group;
      part.adjRibOut.setGroup(
        this.#core.groups.join(options, session.negotiated, part.adjRibOut.ownNextHop, part.locRib),
      );
      this.#core.groups.leave(group);
    }
  }

  // UpdateSink

  withdraw(family: Family, buffer: Uint8Array, start: number, end: number): void {
    const { locRib, source } = this.families.get(family) as PeerFamily;
    const { adjRibIn } = source;
    const { prefixes } = adjRibIn;
    for (let at = start; at < end; ) {
      const length = buffer[at++];
      const id = prefixes.find(buffer, at, length);
      at += (length + 7) >>> 3;
      if (id !== 0 && adjRibIn.withdraw(id)) locRib.update(source, id);
    }
    this.#core.touched();
  }

  announce(family: Family, buffer: Uint8Array, start: number, end: number, attributes: number): void {
    const { locRib, source } = this.families.get(family) as PeerFamily;
    const { adjRibIn } = source;
    const { prefixes } = adjRibIn;
    for (let at = start; at < end; ) {
      const length = buffer[at++];
      const id = prefixes.intern(buffer, at, length);
      at += (length + 7) >>> 3;
      if (adjRibIn.announce(id, attributes)) locRib.update(source, id);
    }
    this.#core.touched();
  }

  treatAsWithdraw(family: Family, buffer: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; at += 1 + ((buffer[at] + 7) >>> 3)) this.errors.treatedAsWithdrawn++;
    this.withdraw(family, buffer, start, end);
  }

  endOfRib(family: Family): void {
    const part = this.families.get(family) as PeerFamily;
    part.converged = true;
    part.source.adjRibIn.doomStale();
    this.#core.slices.schedule(this);
    this.#core.convergence.check();
  }

  wireErrors(errors: readonly WireError[]): void {
    this.errors.add(errors);
  }

  // SliceTask: withdraws what is doomed.

  step(): boolean {
    let more = false;
    for (const { locRib, source } of this.families.values()) {
      const { adjRibIn } = source;
      const count = adjRibIn.takeDoomed(this.#batch);
      for (let i = 0; i < count; i++) {
        adjRibIn.withdraw(this.#batch[i]);
        locRib.update(source, this.#batch[i]);
      }
      more ||= adjRibIn.doomed > 0;
      if (count > 0) this.#core.touched();
    }
    if (!more && this.#removed) {
      for (const { locRib, source } of this.families.values()) {
        locRib.removeSource(source);
        source.filter.close();
      }
      this.#removed = false;
    }
    return more;
  }

  get #stale(): number {
    let stale = 0;
    for (const { source } of this.families.values()) stale += source.adjRibIn.stale;
    return stale;
  }

  readonly #dropStale = (): void => {
    this.#staleTimer = null;
    const routes = this.#stale;
    if (routes === 0) return;
    this.#core.log.warn({ peer: this.#options.name, routes }, "graceful restart timed out: stale routes withdrawn");
    for (const { source } of this.families.values()) source.adjRibIn.doomStale();
    this.#core.slices.schedule(this);
  };

  #sourceSession(negotiated: Negotiated): SourceSession {
    const { ebgp, remoteRouterId, remoteAddress, ifindex } = negotiated;
    const { localAddress, localLinkLocal, localAddress4, localAddress6 } = negotiated;
    const local = [localAddress, localLinkLocal, localAddress4, localAddress6].filter((address) => address !== null);
    return {
      ebgp,
      routerId: remoteRouterId,
      address: remoteAddress,
      nextHops: this.#core.nextHops.view(ifindex, local),
    };
  }

  #openAdjRibOut({ family, locRib }: PeerFamily, session: EstablishedSession): AdjRibOut {
    const { negotiated } = session;
    const own = ownNextHop(family, negotiated);
    const { packer, space, slices, sets } = this.#core;
    return new AdjRibOut({
      peer: this.#options.name,
      locRib,
      group: this.#core.groups.join(this.#options, negotiated, own, locRib),
      sets,
      ownNextHop: own,
      maxMessage: negotiated.maxMessage,
      packer,
      space,
      slices,
      send: (messages) => session.send(messages),
      isRestarting: () => this.#core.restarting,
    });
  }

  #closeSession(): void {
    this.#session = null;
    this.#attributeSource = null;
    this.#staleTimer?.cancel();
    this.#quietTimer?.cancel();
    this.#staleTimer = null;
    this.#quietTimer = null;
    for (const part of this.families.values()) {
      part.converged = false;
      if (!part.adjRibOut) continue;
      part.adjRibOut.close();
      this.#core.groups.leave(part.adjRibOut.group);
      part.adjRibOut = null;
    }
  }

  #checkLimit(limit: number): void {
    let received = 0;
    let family: Family = 4;
    for (const part of this.families.values()) {
      const { size } = part.source.adjRibIn;
      received += size;
      if (size > 0) family = part.family;
    }
    if (received <= limit || this.#limitReached) return;
    this.#limitReached = true;
    const reason = `more than ${limit} prefixes received (maxPrefixes)`;
    this.#core.log.error({ peer: this.#options.name, limit }, "prefix limit exceeded: the session ends");
    // RFC 4486 §4: AFI, SAFI, upper bound.
    const data = new Uint8Array(7);
    const view = new DataView(data.buffer);
    view.setUint16(0, family === 4 ? Afi.IPV4 : Afi.IPV6);
    view.setUint8(2, Safi.UNICAST);
    view.setUint32(3, limit);
    this.#session?.reset(ErrorCode.CEASE, CeaseSubcode.MAXIMUM_NUMBER_OF_PREFIXES_REACHED, data, reason);
  }

  /** A neighbour without graceful restart may never send End-of-RIB: its table is complete when it falls silent. */
  #awaitQuiet(updatesBefore: number): void {
    this.#quietTimer = this.#core.clock.after(QUIET_TIME, () => {
      if (this.#updates !== updatesBefore) return this.#awaitQuiet(this.#updates);
      for (const part of this.families.values()) part.converged = true;
      this.#core.convergence.check();
    });
  }
}
