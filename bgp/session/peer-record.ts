// What is remembered of a neighbour from one session to the next, for the operator: errors, NOTIFICATIONs, counts, times;
// and how that and the present session read as status.
import { formatAddress, formatIpv4 } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import { describeCapability } from "../wire/capability.ts";
import type { OpenMessage } from "../wire/open.ts";
import { describeNotification } from "../wire/registry.ts";
import { sendHoldTime } from "./fsm-times.ts";
import type { Notification } from "./fsm-types.ts";
import { resetOf } from "./last-reset.ts";
import { PeerHistory } from "./peer-history.ts";
import type { Transport } from "./transport.ts";
import type {
  LastReset,
  Negotiated,
  NotificationStatus,
  PeerOptions,
  PeerStatus,
  SessionDown,
  SessionState,
} from "./types.ts";

/** The session that the status is about. */
export interface SessionFacts {
  readonly state: SessionState;
  /** Text; null: not known yet. */
  readonly address: string | null;
  /** Of a peer without an address: what is awaited, while it is. */
  readonly awaited: string | null;
  readonly unnumbered: PeerStatus["unnumbered"];
  /** From OpenConfirm on. */
  readonly negotiated: Negotiated | null;
  readonly open: OpenMessage | null;
  readonly transport: Transport | null;
  /** The connection is signed with this key. */
  readonly key: Uint8Array | null;
}

type Noted = Omit<NotificationStatus, "age"> & { readonly at: number };

export class PeerRecord {
  readonly counters = { sent: 0, received: 0, updatesSent: 0, updatesReceived: 0 };
  readonly #clock: Clock;
  #lastError: string | null = null;
  #lastErrorAt: number | null = null;
  #establishedAt: number | null = null;
  #establishedCount = 0;
  #sent: Noted | null = null;
  #received: Noted | null = null;
  #lastReset: (Omit<LastReset, "age"> & { readonly at: number }) | null = null;
  readonly #history: PeerHistory;
  readonly #wallTime: () => number;

  /** `wallTime`: milliseconds since 1970. */
  constructor(clock: Clock, wallTime: () => number = Date.now) {
    this.#clock = clock;
    this.#wallTime = wallTime;
    this.#history = new PeerHistory(clock, wallTime);
  }

  /** An attempt to get a session has come to nothing. */
  failed(reason: string): void {
    this.#error(reason);
    this.#history.add("attempt", reason);
  }

  established(): void {
    this.#establishedAt = this.#clock.now();
    this.#establishedCount++;
  }

  /** The Established session has ended. */
  down(down: SessionDown): void {
    const at = this.#clock.now();
    const lasted = this.#establishedAt === null ? 0 : Math.floor((at - this.#establishedAt) / 1000);
    this.#lastReset = { ...resetOf(down, lasted), time: Math.floor(this.#wallTime() / 1000), at };
    this.#establishedAt = null;
    this.#error(down.reason);
    this.#history.add("reset", down.reason);
  }

  /** Returns its name, and what the neighbour's operator says. */
  notification({ sent, code, subcode, data }: Notification & { readonly sent: boolean }): string {
    const noted = { code, subcode, text: describeNotification(code, subcode, data), at: this.#clock.now() };
    if (sent) this.#sent = noted;
    else this.#received = noted;
    return noted.text;
  }

  status(options: PeerOptions, facts: SessionFacts): PeerStatus {
    const { state, address, awaited, unnumbered, negotiated, open, transport, key } = facts;
    const established = state === "Established";
    const hostname = open?.capabilities.find((capability) => capability.kind === "hostname");
    const holdTime = negotiated?.holdTime ?? null;
    return {
      name: options.name,
      group: options.group,
      dynamic: options.dynamic,
      address,
      asn: negotiated?.remoteAsn ?? (typeof options.remoteAsn === "number" ? options.remoteAsn : null),
      state,
      remoteRouterId: negotiated ? formatIpv4(negotiated.remoteRouterId) : null,
      hostname: hostname ? [hostname.host, hostname.domain].filter(Boolean).join(".") : null,
      localAddress: transport ? formatAddress(transport.local.address) : null,
      localPort: transport?.local.port ?? null,
      remotePort: transport?.remote.port ?? null,
      establishedAt: this.#establishedAt,
      uptime: this.#establishedAt === null ? null : Math.floor((this.#clock.now() - this.#establishedAt) / 1000),
      holdTime: established ? holdTime : null,
      timers: {
        holdTime: { local: options.holdTime, remote: open?.holdTime ?? null, negotiated: holdTime },
        keepalive: negotiated?.keepaliveTime ?? null,
        sendHold: holdTime === null || holdTime === 0 ? null : sendHoldTime(holdTime) / 1000,
        connectRetry: options.connectRetry,
      },
      md5:
        key === null ? null : options.password && Buffer.compare(key, options.password) === 0 ? "password" : "accepted",
      lastError: awaited ?? this.#lastError,
      lastErrorAt: this.#lastErrorAt,
      lastReset: this.#aged(this.#lastReset),
      history: this.#history.events,
      notifications: { sent: this.#aged(this.#sent), received: this.#aged(this.#received) },
      establishedCount: this.#establishedCount,
      messages: { ...this.counters },
      families: negotiated?.families ?? options.families,
      capabilities: open?.capabilities.map(describeCapability) ?? [],
      unnumbered,
      maxMessage: negotiated?.maxMessage ?? null,
    };
  }

  #error(reason: string): void {
    this.#lastError = reason;
    this.#lastErrorAt = this.#clock.now();
  }

  #aged<T extends { readonly at: number }>(noted: T | null): (Omit<T, "at"> & { readonly age: number }) | null {
    if (noted === null) return null;
    const { at, ...rest } = noted;
    return { ...rest, age: Math.floor((this.#clock.now() - at) / 1000) };
  }
}
