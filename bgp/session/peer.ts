// One neighbour: up to two connections, each with its FSM, of which collision resolution leaves one.
// In: connections accepted for it, its sessions' messages. Out: SessionHandler callbacks, status. Nothing that a handler
// throws gets past this file: a WireError ends the session with its NOTIFICATION, anything else with a Cease and a log line.
import { type Family, formatScoped, sameBytes } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import type { WorkQueue } from "../../net/work-queue.ts";
import { WireError } from "../wire/error.ts";
import { shutdownCommunication } from "../wire/notification.ts";
import type { OpenMessage } from "../wire/open.ts";
import { afiOf, CeaseSubcode, ErrorCode, Safi } from "../wire/registry.ts";
import { encodeRouteRefresh } from "../wire/route-refresh.ts";
import { resolveCollision } from "./collision.ts";
import type { Connection } from "./connection.ts";
import { FailureLog } from "./failure-log.ts";
import type { FoundNeighbour, NeighbourChange } from "./found-neighbour.ts";
import { PATIENT_FAILURES } from "./fsm-times.ts";
import type { Notification } from "./fsm-types.ts";
import { endsGracefully, type RestartState, restartsGracefully } from "./graceful-restart.ts";
import { HoldDown } from "./hold-down.ts";
import { findEndpoints } from "./local-addresses.ts";
import { buildOpen, negotiate } from "./negotiate.ts";
import { PeerKey } from "./peer-key.ts";
import { PeerRecord } from "./peer-record.ts";
import { describeSent, type PeerStop, stopNotification } from "./peer-stop.ts";
import type { Ended, MessageCounters, Session, SessionOwner } from "./session.ts";
import { SessionPair } from "./session-pair.ts";
import type { Transport } from "./transport.ts";
import type { Negotiated, PeerOptions, PeerStatus, SessionDown, SessionHandler, SessionState } from "./types.ts";

export interface PeerDependencies {
  readonly handler: SessionHandler;
  readonly clock: Clock;
  readonly log: Log;
  readonly work: WorkQueue;
  /** Of a peer without an address. */
  readonly neighbour: FoundNeighbour | null;
  random(): number;
  restartState(): RestartState;
  /** What is remembered from before; default: nothing. */
  readonly record?: PeerRecord;
  /** Where failures are logged; default: a log of the peer's own. */
  readonly failures?: FailureLog;
  /** The peer waits for a connection (again). */
  readonly onWaiting?: () => void;
}

const noData = new Uint8Array(0);

export class Peer implements SessionOwner {
  options: PeerOptions;
  readonly clock: Clock;
  readonly work: WorkQueue;
  readonly counters: MessageCounters;
  readonly record: PeerRecord;
  readonly #handler: SessionHandler;
  readonly #neighbour: FoundNeighbour | null;
  readonly #log: Log;
  readonly #random: () => number;
  readonly #restartState: () => RestartState;
  readonly #onWaiting: () => void;
  /** Connections whose descriptor is not closed yet. */
  readonly #connections = new Set<Connection>();
  readonly #sessions: SessionPair;
  #state: SessionState = "Idle";
  readonly #failures: FailureLog;
  readonly #key: PeerKey;
  readonly #holdDown: HoldDown;

  constructor(options: PeerOptions, dependencies: PeerDependencies) {
    this.options = options;
    this.clock = dependencies.clock;
    this.#holdDown = new HoldDown(this.clock);
    this.work = dependencies.work;
    this.record = dependencies.record ?? new PeerRecord(this.clock);
    this.counters = this.record.counters;
    this.#handler = dependencies.handler;
    this.#neighbour = dependencies.neighbour;
    this.#log = dependencies.log;
    this.#failures =
      dependencies.failures ??
      new FailureLog(this.clock, (fields) => this.#log.info({ ...this.#fields(), ...fields }, "session failed"));
    this.#onWaiting = dependencies.onWaiting ?? (() => {});
    this.#key = new PeerKey(this.clock, {
      tried: () => this.#log.info(this.#fields(), "the neighbour acknowledges nothing: trying another TCP MD5 key"),
      failed: (error) => this.#log.error({ ...this.#fields(), err: error }, "changing the TCP MD5 key failed"),
    });
    this.#random = dependencies.random;
    this.#restartState = dependencies.restartState;
    this.#sessions = new SessionPair(this);
  }

  get address(): Uint8Array | null {
    return this.#neighbour ? this.#neighbour.address : this.options.address;
  }

  /** The neighbour of a peer without an address has come, gone, or is another one now. */
  neighbourChanged({ kind, reason }: NeighbourChange): void {
    if (kind === "found") this.#sessions.first.dispatch({ kind: "ConnectRetryTimerExpires" });
    else if (kind === "lost") this.pathLost(reason);
    else if (kind !== "turned") this.reset(reason);
  }

  /** Whether a connection from this address is one of this peer's. */
  admits(address: Uint8Array): boolean {
    if (this.address && sameBytes(this.address, address)) return true;
    // With a password only whom the kernel has checked comes in, and it knows no key for a stranger.
    if (!this.#neighbour || this.options.password) return false;
    return this.#neighbour.spoke(address, !this.session.waiting);
  }

  start(): void {
    this.#holdDown.release();
    this.#sessions.first.dispatch({ kind: "ManualStart" });
  }

  /** What an operator asks for: a new session, now, whatever became of the last one. */
  clear(reason: string): void {
    if (this.#holdDown.active) this.start();
    else this.reset(reason);
  }

  /** Counts from the next attempt to connect, which is now when the session is not up. */
  setOptions(options: PeerOptions): void {
    const signed = this.options.password !== null;
    this.options = options;
    if (signed !== (options.password !== null))
      this.reset("password added or removed", CeaseSubcode.OTHER_CONFIGURATION_CHANGE);
    else this.#key.setKeys(options);
    if (this.#holdDown.active) this.start();
    if (!this.#sessions.first.fsm.enabled || this.session.state === "Established") return;
    this.#sessions.end(null, "configuration changed");
    this.start();
  }

  /** Resolves when every connection is closed. */
  async stop({ kind, reason }: PeerStop): Promise<void> {
    this.#holdDown.release();
    this.#sessions.end(stopNotification(kind, reason), reason);
    await Promise.all([...this.#connections].map((connection) => connection.closed));
  }

  /** Cease, and a new attempt at once: what an operator asks for is not damped. The text goes with subcode 4 (RFC 9003). */
  reset(reason: string, subcode: number = CeaseSubcode.ADMINISTRATIVE_RESET): void {
    if (!this.#sessions.first.fsm.enabled) return;
    const data = subcode === CeaseSubcode.ADMINISTRATIVE_RESET ? shutdownCommunication(reason) : noData;
    const notification = { code: ErrorCode.CEASE, subcode, data };
    this.#sessions.end(notification, reason);
    this.start();
  }

  /** What the connection ran over is gone. It ends as a connection that breaks, which graceful restart takes as such. */
  pathLost(reason: string): void {
    if (!this.#sessions.first.fsm.enabled) return;
    for (const session of [this.#sessions.second, this.#sessions.first])
      session?.dispatch({ kind: "TcpConnectionFails", reason });
    this.start();
  }

  requestRefresh(family: Family): boolean {
    const session = this.session;
    if (session.state !== "Established") return false;
    const { routeRefresh, families } = session.negotiated;
    if (!routeRefresh || !families.includes(family)) return false;
    session.send(encodeRouteRefresh(afiOf(family), Safi.UNICAST));
    return true;
  }

  /** False: stopped, or damped after repeated failures. */
  acceptsConnections(): boolean {
    const { enabled, state, failures } = this.#sessions.first.fsm;
    return enabled && (state !== "Idle" || failures <= PATIENT_FAILURES);
  }

  /** Neither a session nor the damping of one: what there is waits for the neighbour. */
  get waiting(): boolean {
    return this.#state === "Active";
  }

  /** An incoming connection was not taken, for a reason of the configuration. */
  refused(reason: string): void {
    this.record.failed(reason);
    this.#failures.add(reason);
  }

  /** An incoming connection from this neighbour. */
  accept(transport: Transport): void {
    this.#sessions.accept(transport);
  }

  status(): PeerStatus {
    const session = this.session;
    const { open, transport } = session;
    return this.record.status(this.options, {
      state: this.#state,
      address: this.#addressText(),
      awaited: this.address || !this.#neighbour ? null : this.#neighbour.awaited,
      unnumbered: this.#neighbour?.view() ?? null,
      negotiated: session.hasOpen ? session.negotiated : null,
      open,
      transport,
      key: transport && (this.#key.current ?? transport.key),
    });
  }

  // ---- SessionOwner ----

  attemptKey(): Uint8Array | null {
    return this.#key.forAttempt(this.options);
  }

  random(): number {
    return this.#random();
  }

  buildOpen(): OpenMessage {
    return buildOpen(this.options, this.#restartState());
  }

  receivedOpen(session: Session, open: OpenMessage): Negotiated | null {
    const { transport } = session;
    if (!transport) return null;
    const endpoints = findEndpoints(transport.local, transport.remote, this.options.interface);
    const negotiated = negotiate(this.options, open, endpoints);
    const other = this.#sessions.other(session);
    if (!other) return negotiated;
    const verdict = resolveCollision({
      localRouterId: this.options.routerId,
      remoteRouterId: negotiated.remoteRouterId,
      localAsn: negotiated.localAsn,
      remoteAsn: negotiated.remoteAsn,
      otherState: other.state,
      initiator: transport.initiator,
      gracefulRestart: other.state === "Established" && restartsGracefully(this.options, other.negotiated),
      establishedFor: other.fsm.establishedAt === null ? 0 : this.clock.now() - other.fsm.establishedAt,
    });
    switch (verdict) {
      case "keep-other":
        session.dispatch({ kind: "OpenCollisionDump" });
        return null;
      case "keep-new":
        other.dispatch({ kind: "OpenCollisionDump" });
        return negotiated;
      case "neighbour-restarted":
        other.dispatch({ kind: "TcpConnectionFails", reason: "the neighbour has restarted: it opened a new session" });
        return negotiated;
      case "no-collision":
        return negotiated;
    }
  }

  stateChanged(_session: Session, reason: string): void {
    this.#publishState(reason);
  }

  connectFailed(reason: string): void {
    this.record.failed(reason);
    this.#neighbour?.failed();
  }

  established(session: Session): void {
    this.record.established();
    const { remoteAsn, families, holdTime } = session.negotiated;
    this.#log.info({ ...this.#fields(), remoteAsn, families, holdTime }, "session established");
    this.#key.established(session.transport, this.options);
    this.#neighbour?.spoke(session.negotiated.remoteAddress, false);
    const other = this.#sessions.other(session);
    if (other && !other.waiting) other.dispatch({ kind: "OpenCollisionDump" });
    this.#guard(session, () => this.#handler.established(session.live));
  }

  update(session: Session, buffer: Uint8Array, start: number, end: number): void {
    try {
      this.#handler.update(session.live, buffer, start, end);
    } catch (error) {
      this.failed(session, error);
    }
  }

  routeRefresh(session: Session, family: Family): void {
    this.#guard(session, () => this.#handler.routeRefresh(session.live, family));
  }

  refreshMarker(session: Session, family: Family, marker: "begin" | "end"): void {
    this.#guard(session, () => this.#handler.refreshMarker(session.live, family, marker));
  }

  writable(session: Session): void {
    if (session.state === "Established") this.#guard(session, () => this.#handler.writable(session.live));
  }

  hold(notification: Notification, reason: string, seconds: number | null): void {
    const until = this.#holdDown.begin(seconds, () => this.start());
    this.#sessions.end(notification, `${reason}; ${until}`);
  }

  ended(session: Session, ended: Ended): void {
    const { notification, wasEstablished, lost, local } = ended;
    let { reason } = ended;
    if (notification) this.#notified(notification);
    if (notification?.sent) reason += ` (sent NOTIFICATION ${describeSent(notification)})`;
    if (!wasEstablished) {
      // What happens to a second connection beside a session that works is nobody's trouble.
      if (session !== this.#sessions.first && this.#sessions.first.state === "Established") {
        this.#log.debug({ ...this.#fields(), reason }, "second connection ended");
        return;
      }
      this.record.failed(reason);
      this.#failures.add(this.options.dynamic ? `${this.#addressText()}: ${reason}` : reason);
      this.#neighbour?.failed();
      return;
    }
    this.#key.ended();
    const graceful = session.hasOpen && endsGracefully(this.options, session.negotiated, { lost, notification });
    const down: SessionDown = { reason, notification, local, graceful };
    this.record.down(down);
    this.#log.warn({ ...this.#fields(), reason, graceful }, "session down");
    try {
      this.#handler.down(session.live, down);
    } catch (error) {
      this.#log.error({ ...this.#fields(), err: error }, "handling the end of a session failed");
    }
  }

  #notified(notification: Notification & { readonly sent: boolean }): void {
    const text = this.record.notification(notification);
    try {
      this.#handler.notification?.(this.options, notification, text);
    } catch (error) {
      this.#log.error({ ...this.#fields(), err: error }, "handling a NOTIFICATION failed");
    }
  }

  failed(session: Session, error: unknown): void {
    if (error instanceof WireError) {
      const { code, subcode, data } = error;
      session.dispatch({ kind: "UpdateMsgErr", notification: { code, subcode, data }, reason: error.message });
      return;
    }
    this.#log.error({ ...this.#fields(), err: error }, "internal error: session is reset");
    const notification = { code: ErrorCode.CEASE, subcode: 0, data: noData };
    const reason = `internal error: ${error instanceof Error ? error.message : String(error)}`;
    session.dispatch({ kind: "AutomaticStop", notification, reason });
  }

  settled(): void {
    if (this.#sessions.settle()) this.#publishState("");
  }

  closing(connection: Connection): void {
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
  }

  // ---- ----

  /** The session that matters: the one furthest on. */
  get session(): Session {
    return this.#sessions.foremost;
  }

  #publishState(reason: string): void {
    const from = this.#state;
    const to = this.session.state;
    if (from === to) return;
    this.#state = to;
    this.#log.debug({ ...this.#fields(), from, to, reason }, "session state");
    try {
      this.#handler.stateChanged(this.options, from, to, reason);
    } catch (error) {
      this.#log.error({ ...this.#fields(), err: error }, "handling a change of session state failed");
    }
    if (to === "Active") this.#onWaiting();
  }

  #guard(session: Session, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.failed(session, error);
    }
  }

  #fields(): { peer: string; address: string | null } {
    return { peer: this.options.name, address: this.#addressText() };
  }

  #addressText(): string | null {
    return this.address && formatScoped(this.address, this.options.interface);
  }
}
