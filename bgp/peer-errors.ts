// What was wrong with a peer's UPDATEs without ending the session (RFC 7606): counted, the last one kept for the
// operator, and logged now and then: a broken neighbour must not fill the log.
import { formatScoped } from "../net/address.ts";
import type { Clock } from "../net/clock.ts";
import type { Log } from "../net/log.ts";
import type { Ineligible } from "./ingress.ts";
import { PeerHistory } from "./session/peer-history.ts";
import type { PeerEvent, PeerOptions, PeerStatus } from "./session/types.ts";
import type { WireError } from "./wire/error.ts";

/** Milliseconds between two log lines. */
const LOG_INTERVAL = 10_000;

const mistakes: { readonly [reason in Ineligible]?: string } = {
  "first AS": "the AS path does not begin with the neighbour's AS (enforceFirstAs)",
  AS_SET: "AS_SET in the AS path (RFC 9774)",
  "route leak": "route leak by its OTC attribute (RFC 9234)",
  martian: "the prefix can be nobody's destination (allowMartians)",
};

export class PeerErrors {
  /** Routes treated as withdrawn, attributes left out. */
  treatedAsWithdrawn = 0;
  attributesDiscarded = 0;
  /** Announced beyond a limit and not taken. */
  prefixesDropped = 0;
  /** One line, null: none yet. */
  #last: string | null = null;
  #lastAt = Number.NEGATIVE_INFINITY;
  readonly #peer: PeerOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  #logged = Number.NEGATIVE_INFINITY;
  #unlogged = 0;
  readonly #history: PeerHistory;

  constructor(peer: PeerOptions, clock: Clock, log: Log) {
    this.#peer = peer;
    this.#clock = clock;
    this.#log = log;
    this.#history = new PeerHistory(clock);
  }

  /** Of the session's last error and the last one in its routes the newer. */
  newest({
    lastError,
    lastErrorAt,
  }: Pick<PeerStatus, "lastError" | "lastErrorAt">): Pick<PeerStatus, "lastError" | "lastErrorAt"> {
    if (this.#last === null || (lastErrorAt ?? Number.NEGATIVE_INFINITY) >= this.#lastAt)
      return { lastError, lastErrorAt };
    return { lastError: this.#last, lastErrorAt: this.#lastAt };
  }

  /** What went wrong with the session, and in its routes; the last one first. */
  history(ofSession: readonly PeerEvent[] = []): PeerEvent[] {
    return [...ofSession, ...this.#history.events].sort((a, b) => a.age - b.age);
  }

  add(errors: readonly WireError[]): void {
    for (const error of errors) {
      if (error.action === "discard") this.attributesDiscarded++;
      const { action, attribute, subcode } = error;
      this.#note(`UPDATE: ${error.message}`, `UPDATE ${action} ${attribute} ${subcode}`);
    }
  }

  /** A prefix limit without further consequences: its log line is written elsewhere. */
  limit(words: string): void {
    this.#last = words;
    this.#lastAt = this.#clock.now();
    this.#history.add("routes", words);
  }

  /** Loops are what a fabric is made of, the rest is somebody's mistake. */
  ineligible(reason: Ineligible, prefix: string): void {
    const words = mistakes[reason];
    if (words) this.#note(`routes not used: ${words}, such as ${prefix}`, reason);
  }

  /** `key`: of the same mistake, whatever the words. */
  #note(text: string, key: string): void {
    const now = this.#clock.now();
    this.#last = text;
    this.#lastAt = now;
    this.#history.add("routes", text, key);
    this.#unlogged++;
    if (now - this.#logged < LOG_INTERVAL) return;
    this.#logged = now;
    const { name, address, interface: device } = this.#peer;
    const fields = { peer: name, address: address && formatScoped(address, device), count: this.#unlogged };
    this.#log.warn(fields, `errors in received routes, last one: ${this.#last}`);
    this.#unlogged = 0;
  }
}
