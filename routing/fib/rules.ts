// Policy rules: what the configuration wants against what the kernel has, compared by a dump each time, because rules
// are few and order matters. Rules of others are looked at, and reported when they come before ours, never touched.
import { formatAddress } from "../../net/address.ts";
import { RuleAction } from "../netlink/constants.ts";
import { NetlinkError } from "../netlink/error.ts";
import { decodeRule, encodeDelRule, encodeNewRule, encodeRuleDump, type Rule, type RuleSpec } from "../netlink/rule.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { type Ownership, ruleKey } from "../ownership.ts";
import { ruleText } from "./views.ts";

export interface RefusedRule {
  readonly rule: RuleSpec;
  readonly error: NetlinkError;
}

export class Rules {
  readonly #socket: NetlinkSocket;
  readonly #ownership: Ownership;
  /** Null until the configuration has said what it wants; until then nothing is removed. */
  #wanted: (() => readonly RuleSpec[]) | null = null;
  #latest: readonly Rule[] = [];
  #refused: readonly RefusedRule[] = [];
  #waiting: readonly RuleSpec[] = [];
  #stale = 0;

  constructor(socket: NetlinkSocket, ownership: Ownership) {
    this.#socket = socket;
    this.#ownership = ownership;
  }

  /** Rules of ours found at start, before the configuration said what it wants. */
  get stale(): number {
    return this.#stale;
  }

  /** What is wanted may depend on the host's networks: it is asked for at each comparison. Returns what was wanted before. */
  want(rules: (() => readonly RuleSpec[]) | null): (() => readonly RuleSpec[]) | null {
    const before = this.#wanted;
    this.#wanted = rules;
    if (rules) this.#stale = 0;
    return before;
  }

  /** All rules in the kernel's order, IPv4 first. */
  dump(): Rule[] {
    const rules = [4, 6].flatMap((family) =>
      this.#socket.dump((out) => encodeRuleDump(out, family as 4 | 6), decodeRule),
    );
    this.#latest = rules;
    return rules;
  }

  /** The latest dump; what we wrote after it is not in it. */
  get latest(): readonly Rule[] {
    return this.#latest;
  }

  /** Counts what a former run left. */
  adopt(): number {
    this.#stale = this.dump().filter((rule) => this.#ownership.ownsRule(rule)).length;
    return this.#stale;
  }

  /** Tells which rules are not to be added for now, if they are not there. */
  withheld: (rule: RuleSpec) => boolean = () => false;

  /** Wanted, and refused by the kernel at the latest comparison. */
  get refused(): readonly RefusedRule[] {
    return this.#refused;
  }

  /** Wanted, and not there because they were withheld at the latest comparison. */
  get waiting(): readonly RuleSpec[] {
    return this.#waiting;
  }

  /** Adds what is missing, all that the kernel takes; `remove()` then takes away what is not wanted any more. */
  reconcile(attempts?: number): { added: readonly RuleSpec[]; remove(): number } {
    if (!this.#wanted) return { added: [], remove: () => 0 };
    const { missing, surplus } = this.compare(this.dump());
    const added: RuleSpec[] = [];
    const refused: RefusedRule[] = [];
    const waiting: RuleSpec[] = [];
    for (const rule of missing) {
      if (this.withheld(rule)) {
        waiting.push(rule);
        continue;
      }
      try {
        this.#socket.request((out) => encodeNewRule(out, rule), `rule ${describeRule(rule)}`);
        added.push(rule);
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error;
        refused.push({ rule, error });
      }
    }
    this.#refused = refused;
    this.#waiting = waiting;
    return { added, remove: () => this.#removeSurplus(surplus, attempts) };
  }

  /** What is wanted and not among these; and those with our number that are not wanted, or there a second time. */
  compare(rules: readonly Rule[]): { missing: RuleSpec[]; surplus: Rule[] } {
    const present = new Map<string, Rule[]>();
    for (const rule of rules) {
      if (!this.#ownership.ownsRule(rule)) continue;
      const key = plain(rule) ? ruleKey(rule) : `other ${ruleText(rule)}`;
      const equal = present.get(key);
      if (equal) equal.push(rule);
      else present.set(key, [rule]);
    }
    const missing = (this.#wanted?.() ?? []).filter((rule) => present.get(ruleKey(rule))?.shift() === undefined);
    return { missing, surplus: [...present.values()].flat() };
  }

  /** The kernel deletes the first rule that has all that is named, which may be another one of ours: looks again. */
  #removeSurplus(surplus: readonly Rule[], attempts = 4): number {
    if (surplus.length === 0) return 0;
    for (const rule of surplus) this.#delete(rule);
    if (attempts > 1) this.reconcile(attempts - 1).remove();
    return surplus.length;
  }

  /** Removes every rule of ours. */
  removeAll(): number {
    this.#wanted = null;
    this.#stale = 0;
    const ours = this.dump().filter((rule) => this.#ownership.ownsRule(rule));
    for (const rule of ours) this.#delete(rule);
    return ours.length;
  }

  #delete(rule: RuleSpec): void {
    try {
      this.#socket.request((out) => encodeDelRule(out, rule), `rule ${describeRule(rule)}`);
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.code !== "ENOENT") throw error;
    }
  }
}

/** Nothing beside what a RuleSpec says: what ours look like. */
function plain(rule: Rule): boolean {
  return !rule.invert && !rule.oif && rule.fwmark === 0 && rule.goto === 0 && !rule.more;
}

/** How a rule is called in events and in the status. */
export function ruleSubject(rule: Rule): string {
  return `IPv${rule.family} rule ${ruleText(rule)}`;
}

/** `1010: from 10.244.1.0/26 lookup 7100 (IPv4)` */
export function describeRule(rule: RuleSpec): string {
  const source = rule.source ? `${formatAddress(rule.source)}/${rule.sourceLength}` : "all";
  const to = rule.destination ? ` to ${formatAddress(rule.destination)}/${rule.destinationLength}` : "";
  const iif = rule.iif ? ` iif ${rule.iif}` : "";
  const what =
    rule.action === RuleAction.toTable
      ? `lookup ${rule.table}`
      : rule.action === RuleAction.blackhole
        ? "blackhole"
        : "unreachable";
  return `${rule.priority}: from ${source}${to}${iif} ${what} (IPv${rule.family})`;
}
