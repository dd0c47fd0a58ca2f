// etcd over its JSON gateway: several endpoints with failover, time limits, a token that is renewed when it is refused.
//
// A transaction is sent again to another member when the first one has not answered. So it may be executed twice, the
// second time without effect on a store that its compares do not fit any more: whoever writes it reads in its `failure`
// what has become of it.
import { type Clock, systemClock } from "../../../net/clock.ts";
import { type Log, silentLog } from "../../../net/log.ts";
import { Backoff } from "./backoff.ts";
import { EtcdError, isStaleToken } from "./error.ts";
import { decodeRange, decodeTxn, encodeRangeRequest, encodeTxn, integer, type Json, object } from "./gateway.ts";
import type { Etcd, KeyRange, RangeResult, Txn, TxnResult, Watch, WatchHandlers } from "./kv.ts";
import { Member, type StreamHandlers, type TlsMaterial } from "./members.ts";
import { WatchStream } from "./watch.ts";

export interface EtcdOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly endpoints: readonly string[];
  /** Asked whenever connections are made anew. */
  readonly tls: () => TlsMaterial;
  /** Null: etcd runs without authentication. The gateway knows no users by certificate. Asked at each login. */
  readonly user: () => { readonly name: string; readonly password: string } | null;
  /** Milliseconds that one member has for an answer. */
  readonly attemptTimeout: number;
  /** Milliseconds for a request in all. */
  readonly requestTimeout: number;
}

export interface EtcdSeams {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** Milliseconds; with less it is not tried again. */
const SHORTEST_ATTEMPT = 50;

export class EtcdClient implements Etcd {
  readonly #options: EtcdOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #log: Log;
  readonly #members: readonly Member[];
  readonly #watches = new Set<WatchStream>();
  #current = 0;
  #token: string | null = null;
  #login: Promise<void> | null = null;
  #closed = false;

  constructor(options: EtcdOptions, seams: Partial<EtcdSeams> = {}) {
    this.#options = options;
    this.#clock = seams.clock ?? systemClock;
    this.#random = seams.random ?? Math.random;
    this.#log = seams.log ?? silentLog;
    this.#members = options.endpoints.map((url) => new Member(url, options.tls, this.#clock));
    // Not all nodes on the same member.
    this.#current = Math.floor(this.#random() * this.#members.length);
  }

  async txn(txn: Txn): Promise<TxnResult> {
    return this.#decoded(decodeTxn, await this.#call("/v3/kv/txn", encodeTxn(txn)));
  }

  async range(range: KeyRange, limit: number, revision: number): Promise<RangeResult> {
    return this.#decoded(decodeRange, await this.#call("/v3/kv/range", encodeRangeRequest(range, limit, revision)));
  }

  async grantLease(ttl: number): Promise<string> {
    const answer = await this.#call("/v3/lease/grant", { TTL: String(ttl) });
    if (typeof answer.ID !== "string") throw new EtcdError("protocol", "etcd grants a lease without an id");
    return answer.ID;
  }

  async keepLease(id: string): Promise<boolean> {
    const answer = await this.#call("/v3/lease/keepalive", { ID: id });
    return integer(object(answer.result ?? {}).TTL) > 0;
  }

  watch(ranges: readonly KeyRange[], fromRevision: number, handlers: WatchHandlers): Watch {
    const backoff = new Backoff({ first: 100, most: 5000 }, this.#random);
    const watch: WatchStream = new WatchStream(ranges, fromRevision, handlers, {
      open: (body, stream) => this.#stream(body, stream),
      clock: this.#clock,
      patience: this.#options.attemptTimeout,
      backoff,
      onStopped: () => this.#watches.delete(watch),
    });
    this.#watches.add(watch);
    return watch;
  }

  close(): void {
    this.#closed = true;
    for (const watch of this.#watches) watch.stop();
    for (const member of this.#members) member.close();
  }

  /** A call that any member can answer; tried with all of them, and again, until the time is up. */
  async #call(path: string, request: Json): Promise<Json> {
    const body = JSON.stringify(request);
    const deadline = this.#clock.now() + this.#options.requestTimeout;
    const backoff = new Backoff({ first: 50, most: 1000 }, this.#random);
    let uncertain = false;
    let renewed = false;
    for (let attempt = 1; ; attempt++) {
      if (this.#closed) throw new EtcdError("closed", "the etcd client has been closed", uncertain);
      const member = this.#members[this.#current];
      const left = deadline - this.#clock.now();
      let error: EtcdError;
      try {
        await this.#authenticated(member, left);
        return await member.post(path, body, this.#token, Math.min(left, this.#options.attemptTimeout));
      } catch (caught) {
        error = asEtcdError(member, caught);
      }
      uncertain ||= error.uncertain;
      if (error.kind === "authentication" && this.#options.user() && !renewed && isStaleToken(error.message)) {
        renewed = true;
        this.#token = null;
        continue;
      }
      if (error.kind === "permission" && !this.#options.user())
        error = new EtcdError(
          "authentication",
          `${error.message}: it has users, and none is configured here`,
          uncertain,
        );
      if (error.kind !== "unavailable") throw new EtcdError(error.kind, error.message, uncertain);
      this.#next(member, error);
      const pause = attempt % this.#members.length === 0 ? backoff.next() : 0;
      if (this.#clock.now() + pause + SHORTEST_ATTEMPT >= deadline)
        throw new EtcdError("unavailable", error.message, uncertain);
      if (pause > 0) await new Promise<void>((resolve) => this.#clock.after(pause, resolve));
    }
  }

  #stream(body: string, handlers: StreamHandlers): () => void {
    let stop: (() => void) | null = null;
    let stopped = false;
    const member = this.#members[this.#current];
    const onEnd = (caught: unknown) => {
      if (stopped) return;
      stopped = true;
      const error = asEtcdError(member, caught);
      if (isStaleToken(error.message)) this.#token = null;
      if (error.kind === "unavailable") this.#next(member, error);
      handlers.onEnd(error);
    };
    this.#authenticated(member, this.#options.attemptTimeout).then(() => {
      if (!stopped) stop = member.stream("/v3/watch", body, this.#token, { onLine: handlers.onLine, onEnd });
    }, onEnd);
    return () => {
      stopped = true;
      stop?.();
    };
  }

  /** Another member is asked from now on, unless that has happened already. */
  #next(failed: Member, error: EtcdError): void {
    if (this.#members[this.#current] !== failed) return;
    this.#current = (this.#current + 1) % this.#members.length;
    this.#log.debug({ endpoint: failed.name, error: error.message }, "another etcd endpoint is asked");
  }

  async #authenticated(member: Member, timeout: number): Promise<void> {
    const user = this.#options.user();
    if (!user || this.#token !== null) return;
    this.#login ??= member
      .post("/v3/auth/authenticate", JSON.stringify(user), null, Math.min(timeout, this.#options.attemptTimeout))
      .then((answer) => {
        if (typeof answer.token !== "string") throw new EtcdError("protocol", "etcd authenticates without a token");
        this.#token = answer.token;
      })
      .finally(() => {
        this.#login = null;
      });
    await this.#login;
  }

  /** An answer that cannot be understood may be one to a write that was executed. */
  #decoded<T>(decode: (answer: Json) => T, answer: Json): T {
    try {
      return decode(answer);
    } catch (error) {
      throw new EtcdError("protocol", (error as Error).message, true);
    }
  }
}

/** Certificates that cannot be read, or are none, are thrown by Node and by whoever reads them. */
function asEtcdError(member: Member, caught: unknown): EtcdError {
  if (caught instanceof EtcdError) return caught;
  return new EtcdError("unavailable", `etcd at ${member.name} cannot be asked: ${(caught as Error).message}`);
}
