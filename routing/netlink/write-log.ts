// Every request that changes the kernel, as events. In: what a NetlinkSocket has sent, with what the kernel refused of
// it. Out: single operations; and of many routes at once summaries (how many, lowest and highest prefix), with the single
// ones in columns beside them when somebody wants every one.
//
// This runs where the requests are written, a million of them within a second: routes are read in place, and what is
// posted is gathered.
import { type Family, formatAddress } from "../../net/address.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import { TokenBucket } from "../../net/token-bucket.ts";
import type { KernelOperation, KernelOperations, RouteOperations } from "../types.ts";
import { LITTLE } from "./attribute.ts";
import { AF_INET, AF_INET6, Flag, MessageType, RouteAttribute, RouteType } from "./constants.ts";
import type { MessageFailure } from "./error.ts";
import { HEADER_LENGTH } from "./message.ts";
import type { NextHop } from "./nexthop.ts";
import { type KnownNextHops, type OperationContext, type OperationFields, operationOf, remember } from "./operation.ts";
import { RouteColumns } from "./route-columns.ts";
import { hostOrder, RouteRun } from "./route-run.ts";
import { RouteSummary } from "./route-summary.ts";

/** Routes that get an event each, before they are summed up: at once, and per second after that. */
const ROUTE_BURST = 256;
const ROUTES_PER_SECOND = 20;
/** The same for everything else. */
const OBJECT_BURST = 2048;
const OBJECTS_PER_SECOND = 200;
/** Milliseconds without another operation, and at most, until a summary is complete. */
const QUIET_MS = 100;
const SUMMARY_MS = 1000;
/** Summaries under way; what else comes is summed up without its next hop. */
const SUMMARIES = 64;
/** Single operations that are posted together. */
const POST_COUNT = 512;

export interface WriteLogOutput {
  operations(operations: readonly (KernelOperation | KernelOperations)[]): void;
  /** Behind the summaries, while `detailed`. */
  routes(routes: RouteOperations): void;
}

const HEADER_WORDS = HEADER_LENGTH / 4;
/** The two halves of a word, in the order of the struct. */
const low16 = LITTLE ? (word: number) => word & 0xffff : (word: number) => word >>> 16;
const high16 = LITTLE ? (word: number) => word >>> 16 : (word: number) => word & 0xffff;

const typeNames = new Map<number, string>([
  [RouteType.throw, "throw"],
  [RouteType.blackhole, "blackhole"],
  [RouteType.unreachable, "unreachable"],
]);

export class WriteLog {
  /** Every single operation is wanted, however many there are. */
  detailed = false;
  readonly #clock: Clock;
  readonly #output: WriteLogOutput;
  readonly #routeBucket = new TokenBucket(ROUTE_BURST, ROUTES_PER_SECOND);
  readonly #objectBucket = new TokenBucket(OBJECT_BURST, OBJECTS_PER_SECOND);
  readonly #known: KnownNextHops = new Map();
  readonly #run = new RouteRun();
  readonly #columns = new RouteColumns(POST_COUNT);
  #single: KernelOperation[] = [];
  #scheduled = false;
  #summaries = new Map<string, RouteSummary>();
  /** That of the last route: most are like the one before. */
  #summary: RouteSummary | null = null;
  readonly #counts = new Map<string, { fields: Pick<KernelOperation, "operation" | "object">; count: number }>();
  #summaryBegin = 0;
  #lastSummed = 0;
  #lastAt = 0;
  #firstAt = 0;
  #timer: Timer | null = null;

  constructor(clock: Clock, output: WriteLogOutput) {
    this.#clock = clock;
    this.#output = output;
  }

  /** Objects that are there without our having written them: a former run's. */
  know(nextHops: readonly NextHop[], nameOf: (ifindex: number) => string): void {
    for (const { id, gateway, ifindex, group } of nextHops)
      if (!group && gateway) this.#known.set(id, `${formatAddress(gateway)} dev ${nameOf(ifindex)}`);
    for (const { id, group } of nextHops)
      if (group) this.#known.set(id, `[${group.map((member) => this.#known.get(member.id)).join(", ")}]`);
  }

  /** Whole messages, in the order of `failures`' indexes; those not named there succeeded. `at`: milliseconds since 1970. */
  written(bytes: Buffer, failures: readonly MessageFailure[], context: OperationContext, at = Date.now()): void {
    const now = this.#clock.now();
    this.#routeBucket.fill(now);
    this.#objectBucket.fill(now);
    let next = 0;
    let nextIndex = failures.length > 0 ? failures[0].index : -1;
    // Messages and attributes lie on multiples of four: words are read several times as fast as bytes.
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    for (let at32 = 0, index = 0; at32 + HEADER_WORDS <= words.length; index++) {
      const length = words[at32];
      if (length < HEADER_LENGTH) break;
      const type = low16(words[at32 + 1]);
      let error: string | undefined;
      if (index === nextIndex) {
        error = failures[next++].text;
        nextIndex = next < failures.length ? failures[next].index : -1;
      }
      const following = at32 + ((length + 3) >> 2);
      if (type === MessageType.newRoute || type === MessageType.delRoute) {
        const summary = this.#route(words, at32, bytes, error, context, at);
        if (summary && error === undefined && !this.detailed) {
          // Those that follow and are alike, up to the next that failed.
          const run = this.#run;
          run.scan(words, at32, following, nextIndex < 0 ? words.length : nextIndex - index - 1);
          if (run.count > 0) {
            summary.addRun(run, at);
            index += run.count;
            at32 = run.end;
            continue;
          }
        }
      } else {
        const start = at32 * 4 + HEADER_LENGTH;
        const flags = high16(words[at32 + 1]);
        const fields = operationOf(type, flags, bytes, start, at32 * 4 + length, context, this.#known);
        if (fields) this.#object(fields, error, context, at);
      }
      at32 = following;
    }
    if (this.#summaries.size + this.#counts.size > 0) this.#lastSummed = now;
    this.#schedule(now);
  }

  /** What was not written as a netlink message: a setting in /proc/sys, a removal on another thread. */
  operation(fields: OperationFields, error?: string, netns?: string, at = Date.now()): void {
    const now = this.#clock.now();
    this.#objectBucket.fill(now);
    this.#object(fields, error, netns === undefined ? null : { netns }, at);
    this.#schedule(now);
  }

  /** Posts everything that is still held. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#post();
    this.#sumUp();
  }

  #object(
    fields: OperationFields,
    error: string | undefined,
    context: { readonly netns?: string } | null,
    at: number,
  ): void {
    if (error === undefined) remember(fields, this.#known);
    const netns = context?.netns;
    if (this.detailed || this.#objectBucket.take())
      this.#single.push({
        kind: "operation",
        at,
        ...fields,
        ...(error === undefined ? {} : { error }),
        ...(netns === undefined ? {} : { netns }),
      });
    else {
      const { operation, object } = fields;
      const key = `${operation} ${object}`;
      const known = this.#counts.get(key);
      if (known) known.count++;
      else this.#counts.set(key, { fields: { operation, object }, count: 1 });
      this.#summed(at);
    }
  }

  /** struct rtmsg and its attributes, without an object for each. Returns the summary it went into, or null. */
  #route(
    words: Uint32Array,
    start: number,
    bytes: Buffer,
    error: string | undefined,
    context: OperationContext,
    at: number,
  ): RouteSummary | null {
    const head = start * 4 + HEADER_LENGTH;
    const family = bytes[head];
    const length = bytes[head + 1];
    let table = bytes[head + 4];
    let nextHop = 0;
    let oif = 0;
    let metric = 0;
    let destination = -1;
    let gateway = -1;
    let gatewayLength = 0;
    const end = start + (words[start] >> 2);
    for (let a = start + HEADER_WORDS + 3; a < end; ) {
      const size = low16(words[a]);
      if (size < 4) break;
      switch (high16(words[a])) {
        case RouteAttribute.destination:
          destination = a + 1;
          break;
        case RouteAttribute.table:
          table = words[a + 1];
          break;
        case RouteAttribute.priority:
          metric = words[a + 1];
          break;
        case RouteAttribute.nextHopId:
          nextHop = words[a + 1];
          break;
        case RouteAttribute.oif:
          oif = words[a + 1];
          break;
        case RouteAttribute.gateway:
          gateway = (a + 1) * 4;
          gatewayLength = size - 4;
          break;
      }
      a += (size + 3) >> 2;
    }
    const deletes = low16(words[start + 1]) === MessageType.delRoute;
    const operation = deletes ? 2 : high16(words[start + 1]) & Flag.replace ? 1 : 0;
    if (this.#routeBucket.take()) {
      const size = family === AF_INET ? 4 : 16;
      const address = destination < 0 ? new Uint8Array(size) : bytes.subarray(destination * 4, destination * 4 + size);
      const type = typeNames.get(bytes[head + 7]);
      this.#single.push({
        kind: "operation",
        at,
        operation: operationNames[operation],
        object: "route",
        prefix: `${formatAddress(address)}/${length}`,
        table,
        ...(type && { routeType: type }),
        ...(nextHop !== 0 && { nextHop }),
        ...(gateway >= 0 && { gateway: formatAddress(bytes.subarray(gateway, gateway + gatewayLength)) }),
        ...(oif !== 0 && { interface: context.nameOf(oif) }),
        ...(metric !== 0 && { metric }),
        ...(error !== undefined && { error }),
        ...(context.netns !== undefined && { netns: context.netns }),
      });
      return null;
    }
    let [w0, w1, w2, w3] = [0, 0, 0, 0];
    if (destination >= 0) {
      w0 = hostOrder(words[destination]);
      if (family === AF_INET6) {
        w1 = hostOrder(words[destination + 1]);
        w2 = hostOrder(words[destination + 2]);
        w3 = hostOrder(words[destination + 3]);
      }
    }
    const version = family === AF_INET ? 4 : 6;
    const summary = this.#summaryOf(operation, version, table, nextHop, error);
    summary.add(w0, w1, w2, w3, length, at);
    this.#summed(at);
    if (!this.detailed) return summary;
    this.#columns.add(operation, version, [w0, w1, w2, w3], length, table, nextHop, bytes[head + 7], oif);
    if (error !== undefined) this.#columns.fail(error);
    if (this.#columns.full) this.#output.routes(this.#columns.take(at));
    return summary;
  }

  #summaryOf(
    operationIndex: number,
    family: Family,
    table: number,
    nextHop: number,
    error: string | undefined,
  ): RouteSummary {
    const operation = operationNames[operationIndex];
    const last = this.#summary;
    if (last) {
      const { key } = last;
      const same = key.nextHop === nextHop && key.table === table && key.operation === operation;
      if (same && key.error === error && key.family === family) return last;
    }
    let named = nextHop;
    let key = `${operation} ${family} ${table} ${named} ${error}`;
    let summary = this.#summaries.get(key);
    if (!summary && this.#summaries.size >= SUMMARIES) {
      named = 0;
      error &&= "various reasons";
      key = `${operation} ${family} ${table} several ${error}`;
      summary = this.#summaries.get(key);
    }
    if (!summary) {
      summary = new RouteSummary({ operation, family, table, nextHop: named, error });
      this.#summaries.set(key, summary);
    }
    this.#summary = summary;
    return summary;
  }

  #summed(at: number): void {
    if (this.#lastAt === 0) {
      this.#firstAt = at;
      this.#summaryBegin = this.#clock.now();
    }
    this.#lastAt = at;
  }

  #schedule(now: number): void {
    if (!this.#scheduled && (this.#single.length > 0 || this.#columns.count > 0)) {
      this.#scheduled = true;
      setImmediate(() => this.#post());
    }
    if (this.#lastAt === 0) return;
    if (now - this.#summaryBegin >= SUMMARY_MS) this.#sumUp();
    else this.#timer ??= this.#clock.after(QUIET_MS, () => this.#quiet());
  }

  #quiet(): void {
    this.#timer = null;
    if (this.#lastAt === 0) return;
    const now = this.#clock.now();
    if (now - this.#lastSummed >= QUIET_MS || now - this.#summaryBegin >= SUMMARY_MS) this.#sumUp();
    else this.#timer = this.#clock.after(QUIET_MS, () => this.#quiet());
  }

  #post(): void {
    this.#scheduled = false;
    const operations = this.#single;
    this.#single = [];
    if (operations.length > 0) this.#output.operations(operations);
    if (this.#columns.count > 0) this.#output.routes(this.#columns.take(Date.now()));
  }

  #sumUp(): void {
    if (this.#lastAt === 0) return;
    // What came one by one came first.
    this.#post();
    const at = this.#lastAt;
    const milliseconds = at - this.#firstAt;
    const events: KernelOperations[] = [...this.#summaries.values()].map((summary) => summary.event(at));
    for (const { fields, count } of this.#counts.values())
      events.push({ kind: "operations", at, ...fields, count, milliseconds });
    this.#summaries = new Map();
    this.#summary = null;
    this.#counts.clear();
    this.#lastAt = 0;
    this.#output.operations(events);
  }
}

const operationNames = ["add", "replace", "delete"] as const;
