// One FSM with what it acts on: its timers, its connection attempt, its connection. Messages in become FSM events and
// calls to the owner (the peer); FSM actions out become messages, timers and socket operations. UPDATEs in Established
// take a short cut past the FSM, whose only answer would be to restart the hold timer.

import type { Family } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import type { WorkQueue } from "../../net/work-queue.ts";
import { WireError } from "../wire/error.ts";
import { HEADER_LENGTH, KEEPALIVE, MAX_EXTENDED_MESSAGE } from "../wire/message.ts";
import { decodeNotification, encodeNotification } from "../wire/notification.ts";
import { decodeOpen, encodeOpen, type OpenMessage } from "../wire/open.ts";
import {
  Afi,
  CeaseSubcode,
  describeNotification,
  ErrorCode,
  MessageType,
  RefreshSubtype,
  Safi,
} from "../wire/registry.ts";
import { decodeRouteRefresh } from "../wire/route-refresh.ts";
import { Connection } from "./connection.ts";
import { step } from "./fsm.ts";
import { sendHoldTime } from "./fsm-times.ts";
import type { Fsm, FsmAction, FsmEvent, Notification, TimerName } from "./fsm-types.ts";
import { hardReset, restartsGracefully } from "./graceful-restart.ts";
import { LiveSession } from "./live-session.ts";
import { Timers } from "./timers.ts";
import { type ConnectAttempt, connect, type Transport } from "./transport.ts";
import type { Handshake, Negotiated, PeerOptions, SessionState } from "./types.ts";

export type Ended = Extract<FsmAction, { kind: "ended" }>;

export interface MessageCounters {
  sent: number;
  received: number;
  updatesSent: number;
  updatesReceived: number;
}

/** The peer, as its sessions see it. None of these may throw, except receivedOpen. */
export interface SessionOwner {
  readonly options: PeerOptions;
  /** The neighbour's, null: not known yet. */
  readonly address: Uint8Array | null;
  readonly clock: Clock;
  readonly work: WorkQueue;
  readonly counters: MessageCounters;
  random(): number;
  /** For the next attempt to connect. */
  attemptKey(): Uint8Array | null;
  buildOpen(): OpenMessage;
  /** Checks the neighbour's OPEN and resolves collisions. Null: this session has lost one and is ended already. */
  receivedOpen(session: Session, open: OpenMessage): Negotiated | null;
  stateChanged(session: Session, reason: string): void;
  connectFailed(reason: string): void;
  established(session: Session): void;
  update(session: Session, buffer: Uint8Array, start: number, end: number): void;
  routeRefresh(session: Session, family: Family): void;
  refreshMarker(session: Session, family: Family, marker: "begin" | "end"): void;
  writable(session: Session): void;
  /** Every connection ends, and no new one is made or taken for so long. */
  hold(notification: Notification, reason: string, seconds: number | null): void;
  ended(session: Session, ended: Ended): void;
  /** A fault of our own while a message was being handled. */
  failed(session: Session, error: unknown): void;
  /** Actions of a change of state are done. */
  settled(): void;
  closing(connection: Connection): void;
}

const noData = new Uint8Array(0);

export class Session {
  readonly #owner: SessionOwner;
  readonly #timers: Timers;
  readonly #events: FsmEvent[] = [];
  #dispatching = false;
  #attempt: ConnectAttempt | null = null;
  #connection: Connection | null = null;
  #negotiated: Negotiated | null = null;
  #live: LiveSession | null = null;
  #sentOpen: Uint8Array = noData;
  #receivedOpen: Uint8Array = noData;
  fsm: Fsm;
  /** The neighbour's. */
  open: OpenMessage | null = null;

  constructor(owner: SessionOwner, fsm: Fsm) {
    this.#owner = owner;
    this.fsm = fsm;
    this.#timers = new Timers(owner.clock, (timer) => this.#expired(timer));
  }

  get state(): SessionState {
    return this.fsm.state;
  }

  /** Known from OpenConfirm on. */
  get negotiated(): Negotiated {
    if (!this.#negotiated) throw new Error("no OPEN received yet");
    return this.#negotiated;
  }

  /** What the handler knows this session by, while it is Established. */
  get live(): LiveSession {
    if (!this.#live) throw new Error("the session is not Established");
    return this.#live;
  }

  /** All that was sent has arrived, as far as there is a session. */
  get delivered(): boolean {
    return this.fsm.state !== "Established" || (this.#connection?.delivered ?? true);
  }

  get hasOpen(): boolean {
    return this.#negotiated !== null;
  }

  get transport(): Transport | null {
    return this.#connection?.transport ?? null;
  }

  send(messages: Uint8Array): boolean {
    if (this.fsm.state !== "Established" || !this.#connection) return false;
    this.#count(messages);
    return this.#connection.write(messages);
  }

  reset(code: number, subcode: number, data: Uint8Array, reason: string): void {
    if (this.fsm.state !== "Established") return;
    this.dispatch({ kind: "AutomaticStop", notification: { code, subcode, data }, reason });
  }

  hold(code: number, subcode: number, data: Uint8Array, reason: string, seconds: number | null): void {
    if (this.fsm.state === "Established") this.#owner.hold({ code, subcode, data }, reason, seconds);
  }

  /** Takes over an incoming connection. */
  accept(transport: Transport): void {
    this.#attach(transport);
    this.dispatch({ kind: "TcpConnectionConfirmed" });
  }

  /** Events that arise while another is being handled wait for it. */
  dispatch(event: FsmEvent): void {
    this.#events.push(this.#meant(event));
    if (this.#dispatching) return;
    this.#dispatching = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) this.#apply(next);
    } finally {
      this.#dispatching = false;
    }
  }

  /** With graceful restart agreed on for NOTIFICATIONs too, an end that is meant for good has to say so (RFC 8538). */
  #meant(event: FsmEvent): FsmEvent {
    if (event.kind !== "ManualStop" && event.kind !== "AutomaticStop") return event;
    if (!event.notification || !this.#negotiated?.gracefulRestart?.notification) return event;
    return { ...event, notification: hardReset(event.notification) };
  }

  /** Lets go of everything without a word: the other session has taken this one's place. */
  dispose(): void {
    this.#timers.stopAll();
    this.#close();
  }

  /** No connection yet. */
  get waiting(): boolean {
    return this.fsm.state === "Idle" || this.fsm.state === "Connect" || this.fsm.state === "Active";
  }

  #apply(event: FsmEvent): void {
    const owner = this.#owner;
    const before = this.fsm.state;
    const { fsm, actions, reason } = step(this.fsm, event, {
      now: owner.clock.now(),
      jitter: 0.75 + 0.25 * owner.random(),
      // Without an address there is nowhere to connect to.
      config: owner.address ? owner.options : { ...owner.options, passive: true },
      gracefulRestart: this.#negotiated !== null && restartsGracefully(owner.options, this.#negotiated),
    });
    this.fsm = fsm;
    if (before === "Connect" && reason && (fsm.state === "Connect" || fsm.state === "Active"))
      owner.connectFailed(reason);
    if (before !== fsm.state) owner.stateChanged(this, reason);
    for (const action of actions) this.#execute(action);
    if (before !== fsm.state) owner.settled();
  }

  #execute(action: FsmAction): void {
    switch (action.kind) {
      case "startTimer":
        this.#timers.start(action.timer, action.ms);
        break;
      case "stopTimer":
        this.#timers.stop(action.timer);
        break;
      case "connect":
        this.#connect();
        break;
      case "sendOpen":
        this.#sentOpen = encodeOpen(this.#owner.buildOpen());
        this.#write(this.#sentOpen);
        break;
      case "sendKeepalive":
        this.#write(KEEPALIVE);
        break;
      case "sendNotification": {
        const { code, subcode, data } = action.notification;
        this.#write(encodeNotification(code, subcode, data));
        break;
      }
      case "close":
        this.#close();
        break;
      case "established":
        this.#live = new LiveSession(this.#owner.options, this.negotiated, this.#handshake(), this);
        this.#owner.established(this);
        break;
      case "ended":
        this.#owner.ended(this, action);
        this.#live?.end();
        this.#live = null;
        this.#negotiated = null;
        this.open = null;
        break;
    }
  }

  #connect(): void {
    this.#close();
    const { options, address } = this.#owner;
    if (!address) return;
    this.#attempt = connect(
      options,
      address,
      this.#owner.attemptKey(),
      (transport) => {
        this.#attempt = null;
        this.#attach(transport);
        this.dispatch({ kind: "TcpCrAcked" });
      },
      (reason) => {
        this.#attempt = null;
        this.dispatch({ kind: "TcpConnectionFails", reason });
      },
    );
  }

  #attach(transport: Transport): void {
    this.#close();
    this.#connection = new Connection(transport, this.#owner.clock, this.#owner.work, {
      message: (type, buffer, start, end) => this.#message(type, buffer, start, end),
      malformed: (error) => this.#fail("BgpHeaderErr", error),
      lost: (reason) => {
        this.#connection = null;
        this.dispatch({ kind: "TcpConnectionFails", reason });
      },
      writable: () => this.#owner.writable(this),
      overflow: () =>
        this.reset(
          ErrorCode.CEASE,
          CeaseSubcode.OUT_OF_RESOURCES,
          noData,
          "output queue overflow: the neighbour does not read",
        ),
    });
    this.#owner.closing(this.#connection);
  }

  #close(): void {
    this.#attempt?.abort();
    this.#attempt = null;
    this.#connection?.close();
    this.#connection = null;
  }

  #write(message: Uint8Array): void {
    this.#count(message);
    this.#connection?.write(message);
  }

  /** Walks whole messages: length in octets 16-17, type in octet 18 (RFC 4271 §4.1). */
  #count(messages: Uint8Array): void {
    const { counters } = this.#owner;
    for (let at = 0; at + 19 <= messages.length; ) {
      counters.sent++;
      if (messages[at + 18] === MessageType.UPDATE) counters.updatesSent++;
      at += Math.max(19, (messages[at + 16] << 8) | messages[at + 17]);
    }
  }

  #expired(timer: TimerName): void {
    switch (timer) {
      case "connectRetry":
        this.dispatch({ kind: "ConnectRetryTimerExpires" });
        break;
      case "keepalive":
        this.dispatch({ kind: "KeepaliveTimerExpires" });
        break;
      case "idleHold":
        this.dispatch({ kind: "IdleHoldTimerExpires" });
        break;
      case "hold":
        // Data waits to be read: the neighbour is not silent, this process was busy.
        if (this.#connection?.pendingInput) this.#timers.start("hold", (this.fsm.holdTime || 3) * 1000);
        else this.dispatch({ kind: "HoldTimerExpires" });
        break;
      case "sendHold": {
        const left = sendHoldTime(this.fsm.holdTime) - (this.#connection?.stalledFor ?? 0);
        if (left > 0) this.#timers.start("sendHold", left);
        else this.dispatch({ kind: "SendHoldTimerExpires" });
        break;
      }
    }
  }

  #message(type: number, buffer: Uint8Array, start: number, end: number): void {
    this.#owner.counters.received++;
    try {
      this.#handle(type, buffer, start, end);
    } catch (error) {
      if (error instanceof WireError) this.#fail(type === MessageType.OPEN ? "BgpOpenMsgErr" : "BgpHeaderErr", error);
      else this.#owner.failed(this, error);
    }
  }

  #handle(type: number, buffer: Uint8Array, start: number, end: number): void {
    switch (type) {
      case MessageType.UPDATE:
        this.#owner.counters.updatesReceived++;
        if (this.fsm.state !== "Established") {
          this.dispatch({ kind: "UpdateMsg" });
          break;
        }
        if (this.fsm.holdTime > 0) this.#timers.start("hold", this.fsm.holdTime * 1000);
        this.#owner.update(this, buffer, start, end);
        break;
      case MessageType.KEEPALIVE:
        this.dispatch({ kind: "KeepAliveMsg" });
        break;
      case MessageType.OPEN:
        if (this.fsm.state === "OpenSent") this.#open(buffer, start, end);
        else this.dispatch({ kind: "BgpOpen", holdTime: 0, keepaliveTime: 0 });
        break;
      case MessageType.NOTIFICATION:
        this.#notification(buffer, start, end);
        break;
      case MessageType.ROUTE_REFRESH:
        this.#routeRefresh(buffer, start, end);
        break;
    }
  }

  #open(buffer: Uint8Array, start: number, end: number): void {
    const open = decodeOpen(buffer, start, end);
    const negotiated = this.#owner.receivedOpen(this, open);
    if (!negotiated || !this.#connection) return;
    this.#negotiated = negotiated;
    this.#receivedOpen = buffer.slice(start - HEADER_LENGTH, end);
    this.open = open;
    // A neighbour that got our capability may send long messages, whether it takes them itself or not (RFC 8654 §4).
    if (this.#owner.options.extendedMessages) this.#connection.maxMessage = MAX_EXTENDED_MESSAGE;
    this.dispatch({ kind: "BgpOpen", holdTime: negotiated.holdTime, keepaliveTime: negotiated.keepaliveTime });
  }

  #handshake(): Handshake {
    const { local, remote } = this.#connection?.transport ?? {};
    return {
      sentOpen: this.#sentOpen,
      receivedOpen: this.#receivedOpen,
      localPort: local?.port ?? 0,
      remotePort: remote?.port ?? 0,
    };
  }

  #notification(buffer: Uint8Array, start: number, end: number): void {
    const { code, subcode, data } = decodeNotification(buffer, start, end);
    const reason = `received NOTIFICATION ${describeNotification(code, subcode, data)}`;
    const version = code === ErrorCode.OPEN_MESSAGE_ERROR && subcode === 1;
    this.dispatch({ kind: version ? "NotifMsgVerErr" : "NotifMsg", code, subcode, data, reason });
  }

  /** RFC 2918, RFC 7313; families that were not negotiated, and subtypes that nobody has defined, are ignored. */
  #routeRefresh(buffer: Uint8Array, start: number, end: number): void {
    this.dispatch({ kind: "RouteRefreshMsg" });
    if (this.fsm.state !== "Established") return;
    const { afi, safi, subtype } = decodeRouteRefresh(buffer, start, end);
    if (safi !== Safi.UNICAST) return;
    const family = afi === Afi.IPV4 ? 4 : afi === Afi.IPV6 ? 6 : null;
    if (!family || !this.negotiated.families.includes(family)) return;
    if (subtype === RefreshSubtype.NORMAL) this.#owner.routeRefresh(this, family);
    else if (!this.negotiated.enhancedRefresh) return;
    else if (subtype === RefreshSubtype.BEGIN) this.#owner.refreshMarker(this, family, "begin");
    else if (subtype === RefreshSubtype.END) this.#owner.refreshMarker(this, family, "end");
  }

  #fail(kind: "BgpHeaderErr" | "BgpOpenMsgErr", error: WireError): void {
    const { code, subcode, data } = error;
    this.dispatch({ kind, notification: { code, subcode, data }, reason: error.message });
  }
}
