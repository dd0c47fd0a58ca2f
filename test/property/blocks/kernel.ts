// A model of the kernel's rules and routes behind netlink: takes the very messages that our encoders write, answers what our
// decoders read. It can refuse writes, end the process in the middle of a batch, and let other programs act.
import { constants } from "node:os";
import { formatAddress } from "../../../net/address.ts";
import { Flag, MessageType, RouteType } from "../../../routing/netlink/constants.ts";
import { type MessageFailure, NetlinkError } from "../../../routing/netlink/error.ts";
import { MessageWriter, messageView, readMessage } from "../../../routing/netlink/message.ts";
import { decodeRoute, type Route } from "../../../routing/netlink/route.ts";
import { decodeRule, type Rule } from "../../../routing/netlink/rule.ts";
import type { NetlinkSocket } from "../../../routing/netlink/socket.ts";

const OURS = 201;
const THEIRS = 4;
const { ENOMEM, EEXIST, ESRCH, ENOENT } = constants.errno;

/** The process ended between two messages. */
export class Crash extends Error {}

interface Stored<T> {
  readonly value: T;
  /** What it is for: a destination, a source. */
  readonly prefix: string;
  /** Equal for what the kernel takes for the same. */
  readonly name: string;
  /** The message's body, as a dump has it. */
  readonly bytes: Buffer;
}

export interface Taken {
  readonly kind: "route" | "rule";
  readonly prefix: string;
  /** What a notification carries. */
  readonly bytes: Buffer;
  readonly what: string;
}

export class Kernel {
  readonly routes = new Map<string, Stored<Route>>();
  readonly rules: Stored<Rule>[] = [];
  /** Told after each change that our process made. */
  changed: () => void = () => {};
  /** So many writes to come are refused. */
  refusals = 0;
  /** The process ends after so many writes; -1: it does not. */
  crashAfter = -1;
  /** What others took away and nobody has put back -> its prefix. */
  readonly taken = new Map<string, string>();
  /** Prefixes of which something was refused that nobody has brought in since. */
  readonly refused = new Set<string>();
  violation: string | null = null;

  socket(): NetlinkSocket {
    const out = new MessageWriter(4 * 1024);
    const view = messageView();
    const flush = (): MessageFailure[] => {
      const { buffer } = out;
      const failures: MessageFailure[] = [];
      let index = 0;
      for (let offset = 0; offset >= 0 && offset < buffer.length; index++) {
        offset = readMessage(buffer, offset, buffer.length, view);
        const errno = this.#write(Buffer.from(buffer.subarray(view.body, view.end)), view.type, view.flags);
        if (errno !== 0) failures.push({ index, errno, text: errnoText(errno) });
      }
      out.reset();
      return failures;
    };
    const socket = {
      out,
      flush,
      request: (encode: (out: MessageWriter) => void, what = "") => {
        out.reset();
        encode(out);
        const [failure] = flush();
        if (failure) throw new NetlinkError(what, failure.errno, failure.text);
      },
      dump: <T>(
        encode: (out: MessageWriter) => void,
        decode: (buffer: Buffer, start: number, end: number) => T | null,
      ) => {
        out.reset();
        encode(out);
        readMessage(out.buffer, 0, out.length, view);
        const family = out.buffer[view.body] === 2 ? 4 : 6;
        const all: readonly Stored<Rule | Route>[] =
          view.type === MessageType.getRule ? this.rules : [...this.routes.values()];
        out.reset();
        return all
          .filter(({ value }) => value.family === family)
          .map(({ bytes }) => decode(bytes, 0, bytes.length))
          .filter((value) => value !== null);
      },
    };
    return socket as unknown as NetlinkSocket;
  }

  /** Another program is to blame if something of the prefix is missing. */
  excuses(prefix: string): boolean {
    for (const taken of this.taken.values()) if (taken === prefix) return true;
    return false;
  }

  /** What nobody wants any more is not missed. */
  forgetTaken(wanted: ReadonlySet<string>): void {
    for (const [key, prefix] of this.taken) if (!wanted.has(prefix)) this.taken.delete(key);
  }

  hasBlackhole(prefix: string): boolean {
    const route = this.routes.get(`7000 ${prefix} 65535`)?.value;
    return route !== undefined && route.type === RouteType.blackhole && route.protocol === OURS;
  }

  /** Null: to any table. */
  hasRule(prefix: string, table: number | null): boolean {
    for (const rule of this.rules)
      if (rule.prefix === prefix && rule.value.priority === 1010 && (table === null || rule.value.table === table))
        return true;
    return false;
  }

  /** Another program deletes the n-th of our routes and rules, or only of our routes. Returns which; null: there is none. */
  takeAway(n: number, among: "route" | "any" = "any"): Taken | null {
    const ours: [string, Stored<Route>][] = [...this.routes].filter(([, { value }]) => value.protocol === OURS);
    const rules = among === "any" ? this.rules : [];
    if (ours.length + rules.length === 0) return null;
    const at = n % (ours.length + rules.length);
    if (at < ours.length) {
      const [key, { bytes, prefix }] = ours[at];
      this.routes.delete(key);
      this.taken.set(key, prefix);
      return { kind: "route", bytes, prefix, what: `route ${key}` };
    }
    const rule = rules[at - ours.length];
    this.rules.splice(this.rules.indexOf(rule), 1);
    this.taken.set(rule.name, rule.prefix);
    return { kind: "rule", bytes: rule.bytes, prefix: rule.prefix, what: `rule ${rule.name}` };
  }

  /** Another program puts a route where one of our blackholes goes, if there is room; or takes it away again. */
  obstruct(prefix: string): void {
    const key = `7000 ${prefix} 65535`;
    if (!this.routes.has(key))
      this.routes.set(key, { value: { protocol: THEIRS } as Route, prefix, name: key, bytes: Buffer.alloc(0) });
  }

  clear(): void {
    for (const [key, { value }] of this.routes) if (value.protocol === THEIRS) this.routes.delete(key);
  }

  /** How many routes there are of others. */
  get foreign(): number {
    return [...this.routes.values()].filter(({ value }) => value.protocol === THEIRS).length;
  }

  list(): string[] {
    const routes = [...this.routes].filter(([, { value }]) => value.protocol === OURS).map(([key]) => key);
    return [...routes, ...this.rules.map(({ name }) => name)].sort();
  }

  #write(bytes: Buffer, type: number, flags: number): number {
    if (this.crashAfter === 0) throw new Crash();
    if (this.crashAfter > 0) this.crashAfter--;
    if (this.refusals > 0) {
      this.refusals--;
      this.refused.add(this.#prefix(bytes, type));
      return ENOMEM;
    }
    const errno = this.#apply(bytes, type, flags);
    if (errno !== 0) this.refused.add(this.#prefix(bytes, type));
    else this.changed();
    return errno;
  }

  #prefix(bytes: Buffer, type: number): string {
    if (type === MessageType.newRoute || type === MessageType.delRoute)
      return prefixOf(decodeRoute(bytes, 0, bytes.length) as Route);
    return sourceOf(decodeRule(bytes, 0, bytes.length) as Rule);
  }

  #apply(bytes: Buffer, type: number, flags: number): number {
    if (type === MessageType.newRoute || type === MessageType.delRoute) {
      const value = decodeRoute(bytes, 0, bytes.length) as Route;
      const prefix = prefixOf(value);
      const key = `${value.table} ${prefix} ${value.priority}`;
      const there = this.routes.get(key);
      if (type === MessageType.delRoute) {
        if (there?.value.protocol !== value.protocol) return ESRCH;
        this.routes.delete(key);
        return 0;
      }
      if (there && flags & Flag.exclusive) return EEXIST;
      if (there && there.value.protocol !== OURS) this.violation = `a route of another program was replaced: ${key}`;
      this.taken.delete(key);
      this.routes.set(key, { value, prefix, name: key, bytes });
      return 0;
    }
    const value = decodeRule(bytes, 0, bytes.length) as Rule;
    const name = ruleName(value);
    if (type === MessageType.newRule) {
      const at = this.rules.findIndex((rule) => rule.value.priority > value.priority);
      this.rules.splice(at < 0 ? this.rules.length : at, 0, { value, prefix: sourceOf(value), name, bytes });
      this.taken.delete(name);
      return 0;
    }
    const at = this.rules.findIndex((rule) => rule.name === name);
    if (at < 0) return ENOENT;
    this.rules.splice(at, 1);
    return 0;
  }
}

function prefixOf(route: Route): string {
  return `${formatAddress(route.destination)}/${route.length}`;
}

function sourceOf(rule: Rule): string {
  return rule.source ? `${formatAddress(rule.source)}/${rule.sourceLength}` : "all";
}

function ruleName(rule: Rule): string {
  const { family, priority, table, action, protocol, suppressPrefixLength } = rule;
  return `IPv${family} ${priority} from ${sourceOf(rule)} ${action} ${table} ${suppressPrefixLength} proto ${protocol}`;
}

function errnoText(errno: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? String(errno);
}
