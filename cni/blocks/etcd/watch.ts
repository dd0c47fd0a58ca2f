// One watch over several ranges that outlives its connection: each range goes on after the last revision that was told.
// What was compacted meanwhile, or a store that has gone back (wiped, or restored from a backup), is told as lost.
//
// The gateway's stream has no sign of life that could be asked for: a connection that is half open is noticed by TCP
// keepalive or not at all. Whoever relies on events reads anew now and then (and calls resumeFrom when something was
// missing).
import type { Clock, Timer } from "../../../net/clock.ts";
import type { Backoff } from "./backoff.ts";
import { EtcdError, fromAnswer } from "./error.ts";
import { decodeWatch, encodeWatch, type Json, object } from "./gateway.ts";
import type { KeyRange, Watch, WatchEvent, WatchHandlers } from "./kv.ts";
import type { StreamHandlers } from "./members.ts";

export interface WatchSeams {
  /** Opens a stream; returns what ends it. */
  open(body: string, handlers: StreamHandlers): () => void;
  readonly clock: Clock;
  /** Milliseconds until the watch has to be established. */
  readonly patience: number;
  readonly backoff: Backoff;
  onStopped(): void;
}

export class WatchStream implements Watch {
  readonly #ranges: readonly KeyRange[];
  readonly #handlers: WatchHandlers;
  readonly #seams: WatchSeams;
  /** The next revision to be told, for each range. */
  #next: number[];
  #created = new Set<number>();
  #end: (() => void) | null = null;
  #timer: Timer | null = null;
  #stopped = false;

  constructor(ranges: readonly KeyRange[], from: number, handlers: WatchHandlers, seams: WatchSeams) {
    this.#ranges = ranges;
    this.#handlers = handlers;
    this.#seams = seams;
    this.#next = ranges.map(() => from);
    this.#open();
  }

  resumeFrom(revision: number): void {
    if (this.#stopped) return;
    this.#shut();
    this.#next = this.#ranges.map(() => revision);
    this.#open();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#shut();
    this.#seams.onStopped();
  }

  #open(): void {
    this.#created = new Set();
    const body = encodeWatch(this.#ranges.map((range, i) => ({ range, from: this.#next[i] })));
    this.#timer = this.#seams.clock.after(this.#seams.patience, () =>
      this.#interrupted("etcd does not begin the watch"),
    );
    // A stream that is over has nothing to say to the one that follows.
    let live = true;
    const end = this.#seams.open(body, {
      onLine: (line) => {
        if (live) this.#line(line);
      },
      onEnd: (error) => {
        if (live) this.#interrupted(error.message);
      },
    });
    this.#end = () => {
      live = false;
      end();
    };
  }

  #shut(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#end?.();
    this.#end = null;
  }

  #interrupted(reason: string): void {
    this.#shut();
    this.#timer = this.#seams.clock.after(this.#seams.backoff.next(), () => this.#open());
    this.#handlers.onInterrupted(reason);
  }

  #lost(reason: string): void {
    this.#shut();
    this.#handlers.onLost(reason);
  }

  #line(line: string): void {
    let answer: ReturnType<typeof decodeWatch>;
    try {
      const json = object(JSON.parse(line));
      if (json.error !== undefined) {
        this.#interrupted(streamError(json).message);
        return;
      }
      answer = decodeWatch(object(json.result));
    } catch (error) {
      this.#interrupted(error instanceof EtcdError ? error.message : "etcd's watch is no JSON");
      return;
    }
    const which = answer.watchId - 1;
    if (answer.compactRevision > 0) {
      this.#lost(`etcd has compacted its history up to revision ${answer.compactRevision}`);
      return;
    }
    if (answer.canceled) {
      this.#interrupted(`etcd has ended the watch: ${answer.reason || "without a reason"}`);
      return;
    }
    if (answer.created) {
      this.#begun(which, answer.revision);
      return;
    }
    const events: WatchEvent[] = answer.events.filter(({ modRevision }) => modRevision >= (this.#next[which] ?? 0));
    if (events.length === 0) return;
    const last = events[events.length - 1].modRevision;
    this.#next[which] = last + 1;
    this.#handlers.onEvents(events, last);
  }

  #begun(which: number, revision: number): void {
    if (revision + 1 < (this.#next[which] ?? 0)) {
      this.#lost(`etcd's store has gone back to revision ${revision}: wiped, or restored from a backup`);
      return;
    }
    this.#created.add(which);
    if (this.#created.size < this.#ranges.length) return;
    this.#timer?.cancel();
    this.#timer = null;
    this.#seams.backoff.reset();
    this.#handlers.onEstablished();
  }
}

function streamError(json: Json): EtcdError {
  const error = typeof json.error === "object" && json.error !== null ? object(json.error) : json;
  return fromAnswer("the watch", Number(error.grpc_code ?? error.code ?? 2), String(error.message ?? json.error));
}
