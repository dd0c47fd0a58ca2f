// One peer's side of the RIB: what its session says goes into its Adjacency-RIBs-In and the Loc-RIB, what the Loc-RIB has
// goes out; and what becomes of its routes when the session ends: withdrawn in slices, or kept as stale for a while
// (stale-routes.ts).
import { isDeepStrictEqual } from "node:util";
import { type Family, sameBytes } from "../net/address.ts";
import type { Timer } from "../net/clock.ts";
import type { Prefix } from "../net/prefix.ts";
import type { SliceTask } from "../net/slices.ts";
import type { UpdateSink } from "./adj-rib-in/update-reader.ts";
import type { AdjRibOut, AdjRibOutOptions } from "./adj-rib-out/adj-rib-out.ts";
import { BestPathOut } from "./adj-rib-out/best-path-out.ts";
import { ownNextHop } from "./adj-rib-out/own-next-hop.ts";
import { PathsOut } from "./adj-rib-out/paths-out.ts";
import { sendsOtherwise } from "./adj-rib-out/update-groups.ts";
import type { AttributeSource } from "./attribute-store.ts";
import { forgetDefault, originateDefault } from "./default-origination.ts";
import { InboundRefresh } from "./inbound-refresh.ts";
import { Ingress, type IngressFacts } from "./ingress.ts";
import type { SourceSession } from "./loc-rib/source.ts";
import { PeerErrors } from "./peer-errors.ts";
import { PeerFamily } from "./peer-family.ts";
import { PeerLimits } from "./peer-limits.ts";
import { policyKey } from "./policy/key.ts";
import type { RibCore } from "./rib-core.ts";
import { rulesOf } from "./route-rules.ts";
import type { EstablishedSession, Negotiated, SessionDown } from "./session/types.ts";
import type { SpeakerPeer } from "./speaker-types.ts";
import { StaleRoutes } from "./stale-routes.ts";
import type { WireError } from "./wire/error.ts";
import { checkNlri, receivesPathIds } from "./wire/nlri.ts";

/** Milliseconds of silence after which a neighbour that sends no End-of-RIB has sent its table. */
const QUIET_TIME = 5000;
/**
 * Milliseconds for which a neighbour that has restarted waits for our End-of-RIB. It selects its routes then (RFC 4724
 * §4.1): one that has to look for the next hops first, as FRR does for up to 50 ms, would take out what it kept and put
 * it back.
 */
const RESTARTED_HOLD = 1000;
/** Doomed routes per slice. */
const PURGE_BATCH = 2048;

export class PeerRib implements UpdateSink, SliceTask {
  readonly families: ReadonlyMap<Family, PeerFamily>;
  /** Refreshes that the neighbour marks (RFC 7313), by family. */
  readonly #refreshes: ReadonlyMap<Family, InboundRefresh>;
  readonly #core: RibCore;
  #options: SpeakerPeer;
  #session: EstablishedSession | null = null;
  /** The neighbour's, in its last session. */
  #lastAddress: Uint8Array | null = null;
  /** Since when the neighbour has not been told anything, and could not be; null: there is a session. */
  #silentSince: number | null;
  #attributeSource: AttributeSource | null = null;
  #ingress: Ingress | null = null;
  /** What it was made from. */
  #ingressKey = "";
  #tag = 0;
  #quietTimer: Timer | null = null;
  /** Until it is over End-of-RIB waits; null: it need not. */
  #endOfRibHold: Timer | null = null;
  #updates = 0;
  /** Next hops of the session that is lost, while its routes are being withdrawn. */
  #avoided: ReadonlySet<number> = new Set();
  #removed = false;
  readonly errors: PeerErrors;
  readonly limits: PeerLimits;
  readonly staleRoutes: StaleRoutes;
  readonly #batch = new Uint32Array(PURGE_BATCH);

  constructor(options: SpeakerPeer, core: RibCore) {
    this.#options = options;
    this.#core = core;
    this.#silentSince = core.clock.now();
    this.errors = new PeerErrors(options, core.clock, core.log);
    this.limits = new PeerLimits(this, core.log);
    const part = (family: Family) =>
      new PeerFamily(family, options, core, (reason, prefix) => this.errors.ineligible(reason, prefix));
    this.families = new Map(([4, 6] as const).map((family) => [family, part(family)]));
    this.#refreshes = new Map(
      [...this.families].map(([family, part]) => [
        family,
        new InboundRefresh(part, core, { peer: options.name, family }, () => core.slices.schedule(this)),
      ]),
    );
    this.staleRoutes = new StaleRoutes({
      peer: options.name,
      families: this.families,
      clock: core.clock,
      log: core.log,
      staleTime: () => this.#options.gracefulRestart?.staleTime ?? 0,
      purge: () => core.slices.schedule(this),
    });
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
    // Nobody waits for a neighbour that may never come again.
    if (!session) return this.#options.dynamic;
    return session.negotiated.families.every((family) => this.families.get(family)?.converged);
  }

  established(session: EstablishedSession): void {
    const { negotiated } = session;
    this.#session = session;
    this.#silentSince = null;
    const { localAsn } = negotiated;
    const { asn: nodeAsn, routerId, clusterId } = this.#core;
    this.#attributeSource = { wire: negotiated, localAsn, nodeAsn, routerId, clusterId };
    this.#tag = this.#core.store.tagOf(this.#attributeSource);
    this.#updates = 0;
    this.limits.established();
    if (negotiated.gracefulRestart?.restarting) this.#holdEndOfRib();
    this.rulesChanged();
    for (const part of this.families.values()) {
      part.converged = false;
      if (!negotiated.families.includes(part.family)) {
        part.doomAll();
        continue;
      }
      const pathIds = receivesPathIds(negotiated, part.family);
      part.open(this.#sourceSession(negotiated), pathIds ? (this.#options.addPath?.limit ?? 1) : null);
      part.adjRibOut = this.#openAdjRibOut(part, session);
      originateDefault(part, this.#options, negotiated, this.#core);
    }
    // An unnumbered neighbour that comes back with another address: the next hops of its old routes are dead.
    const moved = this.#lastAddress !== null && !sameBytes(this.#lastAddress, negotiated.remoteAddress);
    this.#lastAddress = negotiated.remoteAddress;
    this.staleRoutes.established(moved ? { gracefulRestart: null } : negotiated);
    // End-of-RIB comes from a neighbour that was offered graceful restart and knows it; one that is restarting itself may
    // be waiting for ours (RFC 4724 §4.1).
    const { gracefulRestart } = negotiated;
    if (!gracefulRestart || gracefulRestart.restarting || !this.#options.gracefulRestart) this.#awaitQuiet(0);
  }

  down({ graceful }: SessionDown): void {
    const negotiated = this.#session?.negotiated ?? null;
    const kept = graceful ? (negotiated?.gracefulRestart ?? null) : null;
    if (negotiated && !kept) {
      const { nextHops, address } = this.#sourceSession(negotiated);
      this.#avoided = new Set([...this.#avoided, ...this.#core.lost(nextHops, address)]);
    }
    this.#closeSession();
    this.staleRoutes.lost(kept);
  }

  /** The peer is gone for good: everything is withdrawn, then forgotten. */
  remove(): void {
    this.#removed = true;
    this.#closeSession();
    this.staleRoutes.close();
    for (const part of this.families.values()) part.doomAll();
    this.#core.slices.schedule(this);
  }

  /** Reads an UPDATE. Throws WireError when the session has to be reset. */
  update(buffer: Uint8Array, start: number, end: number): void {
    const source = this.#attributeSource;
    if (!source) return;
    this.#updates++;
    this.#core.reader.read(source, this.#tag, buffer, start, end, this);
    this.limits.checkReceived();
  }

  routeRefresh(family: Family): void {
    this.families.get(family)?.adjRibOut?.refresh();
  }

  refreshMarker(family: Family, marker: "begin" | "end"): void {
    this.#refreshes.get(family)?.[marker]();
  }

  writable(): void {
    for (const { adjRibOut } of this.families.values()) adjRibOut?.writable();
  }

  /** Our own restart is over, or what the neighbour's had us wait for. */
  restarted(): void {
    for (const { adjRibOut } of this.families.values()) adjRibOut?.restarted();
  }

  /** New policies and limits on a running session. */
  setPolicies(options: SpeakerPeer): void {
    const old = this.#options;
    this.#options = options;
    if (policyKey(options.import) !== policyKey(old.import)) this.#setImport();
    else this.rulesChanged();
    this.limits.checkReceived();
    this.limits.checkAdvertised();
    const session = this.#session;
    if (!session) return;
    const otherForm = sendsOtherwise(options, old);
    if (otherForm || !isDeepStrictEqual(options.defaultOriginate, old.defaultOriginate))
      for (const part of this.families.values()) originateDefault(part, options, session.negotiated, this.#core);
    if (policyKey(options.export) === policyKey(old.export) && !otherForm) return;
    for (const part of this.families.values()) {
      if (!part.adjRibOut) continue;
      const group = part.adjRibOut.group;
      part.adjRibOut.setGroup(
        this.#core.groups.join(options, session.negotiated, part.adjRibOut.ownNextHop, part.locRib),
      );
      this.#core.groups.leave(group);
    }
  }

  /** Decides again about what was received when the rules beside the policy are others now. */
  rulesChanged(): void {
    if (this.#updateIngress()) this.#setImport();
  }

  /** There is something that the neighbour has yet to be told. */
  get untold(): boolean {
    return [...this.families.values()].some(({ adjRibOut }) => adjRibOut !== null && !adjRibOut.told);
  }

  /**
   * How far the neighbour has heard of a prefix. `told`: it was sent; `waiting`: it is yet to be sent what there is to say;
   * `withheld`: all was sent, and this was not among it. Null: it is not to be told, or cannot be.
   */
  heard({ family, bytes, length }: Prefix): "told" | "waiting" | "withheld" | null {
    const part = this.families.get(family);
    const adjRibOut = part?.adjRibOut;
    if (!part || !adjRibOut) return null;
    const id = part.locRib.prefixes.find(bytes, 0, length);
    if (id === 0 || part.locRib.bestOf(id) === 0) return null;
    if (adjRibOut.hasTold(id)) return "told";
    return adjRibOut.idle ? "withheld" : "waiting";
  }

  /**
   * Without a session the neighbour may go on believing what it was told last: for the restart time that it was offered
   * (RFC 4724 §4.2), or until its hold timer has noticed. From before our start, too.
   */
  get remembers(): boolean {
    const { gracefulRestart, holdTime } = this.#options;
    const seconds = Math.max(gracefulRestart?.time ?? 0, holdTime);
    return this.#silentSince !== null && this.#core.clock.now() - this.#silentSince < seconds * 1000;
  }

  // UpdateSink

  withdraw(family: Family, buffer: Uint8Array, start: number, end: number): void {
    (this.families.get(family) as PeerFamily).withdraw(buffer, start, end);
    this.#core.touched();
  }

  announce(family: Family, buffer: Uint8Array, start: number, end: number, attributes: number): void {
    const part = this.families.get(family) as PeerFamily;
    if (this.limits.drops) this.limits.announce(part, buffer, start, end, attributes);
    else part.announce(buffer, start, end, attributes);
    this.#core.touched();
  }

  treatAsWithdraw(family: Family, buffer: Uint8Array, start: number, end: number): void {
    const pathIds = receivesPathIds((this.#session as EstablishedSession).negotiated, family);
    this.errors.treatedAsWithdrawn += checkNlri(buffer, start, end, 128, pathIds);
    this.withdraw(family, buffer, start, end);
  }

  endOfRib(family: Family): void {
    const part = this.families.get(family) as PeerFamily;
    part.converged = true;
    this.#core.onEndOfRib(this.#options.name, "received", family, part.received);
    this.staleRoutes.endOfRib(family);
    this.#core.convergence.check();
  }

  wireErrors(errors: readonly WireError[]): void {
    this.errors.add(errors);
  }

  // SliceTask: withdraws what is doomed.

  step(): boolean {
    let more = false;
    for (const part of this.families.values()) if (part.purge(this.#batch)) more = true;
    if (!more) {
      this.#core.withdrawn(this.#avoided);
      this.#avoided = new Set();
    }
    if (!more && this.#removed) {
      for (const part of this.families.values()) part.close();
      this.#removed = false;
    }
    return more;
  }

  #setImport(): void {
    this.#updateIngress();
    for (const part of this.families.values()) part.setImport(this.#options, this.#ingress);
    this.#core.slices.schedule(this);
  }

  /** True when it is another one now. Stale routes keep that of their session. */
  #updateIngress(): boolean {
    if (!this.#session) return false;
    const { ebgp, localAsn, remoteAsn, remoteRouterId } = this.#session.negotiated;
    const { asn: nodeAsn, routerId, clusterId, reflector } = this.#core;
    const { role } = this.#options;
    const facts: IngressFacts = {
      ebgp,
      localAsn,
      nodeAsn,
      remoteAsn,
      routerId,
      remoteRouterId,
      clusterId,
      role,
      reflector,
      rules: rulesOf(this.#options),
    };
    const key = JSON.stringify(facts);
    if (key === this.#ingressKey) return false;
    this.#ingressKey = key;
    this.#ingress = new Ingress(facts);
    return true;
  }

  #sourceSession(negotiated: Negotiated): SourceSession {
    const { ebgp, remoteRouterId, remoteAddress, ifindex } = negotiated;
    const { localAddress, localLinkLocal, localAddress4, localAddress6 } = negotiated;
    const local = [localAddress, localLinkLocal, localAddress4, localAddress6].filter((address) => address !== null);
    return {
      ebgp,
      reflectorClient: !ebgp && this.#options.routeReflectorClient,
      routerId: remoteRouterId,
      address: remoteAddress,
      nextHops: this.#core.nextHops.view(ifindex, local),
    };
  }

  #openAdjRibOut({ family, locRib }: PeerFamily, session: EstablishedSession): AdjRibOut {
    const { negotiated } = session;
    const own = ownNextHop(family, negotiated);
    const { packer, space, slices, sets } = this.#core;
    const options: AdjRibOutOptions = {
      peer: this.#options.name,
      locRib,
      group: this.#core.groups.join(this.#options, negotiated, own, locRib),
      sets,
      ownNextHop: own,
      maxMessage: negotiated.maxMessage,
      packer,
      space,
      slices,
      enhancedRefresh: negotiated.enhancedRefresh,
      send: (messages) => session.send(messages),
      onProgress: () => this.#core.onProgress(),
      onEndOfRib: (prefixes) => this.#core.onEndOfRib(this.#options.name, "sent", family, prefixes),
      isRestarting: () => this.#core.restarting,
      holdsEndOfRib: () => this.#endOfRibHold !== null,
      isWithinLimit: () => this.limits.checkAdvertised(),
    };
    const several = negotiated.addPath?.send.includes(family) ? this.#options.addPath?.send : null;
    return several ? new PathsOut(options, this.#core.pathSpace, several) : new BestPathOut(options);
  }

  #closeSession(): void {
    this.#session = null;
    this.#silentSince ??= this.#core.clock.now();
    this.#attributeSource = null;
    this.#quietTimer?.cancel();
    this.#quietTimer = null;
    this.#endOfRibHold?.cancel();
    this.#endOfRibHold = null;
    for (const refresh of this.#refreshes.values()) refresh.abandon();
    for (const part of this.families.values()) {
      part.converged = false;
      if (!part.adjRibOut) continue;
      forgetDefault(part, this.#core);
      part.adjRibOut.close();
      this.#core.groups.leave(part.adjRibOut.group);
      part.adjRibOut = null;
    }
  }

  #holdEndOfRib(): void {
    this.#endOfRibHold?.cancel();
    this.#endOfRibHold = this.#core.clock.after(RESTARTED_HOLD, () => {
      this.#endOfRibHold = null;
      this.restarted();
    });
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
