// The only place that says what may be touched in the kernel. Ours is what carries our protocol number, and for nexthop
// objects also an id of our range; everything that deletes or replaces asks here first, and every delete names the
// protocol, so that the kernel checks it once more.
//
// In: the routing options and the owned state of the configuration. Out: predicates, and the rules and routes that the
// configuration stands for. Metrics keep our routes apart from others in the same table and from each other.
import { parsePrefix } from "../net/prefix.ts";
import { RouteType, RT_TABLE_DEFAULT, RT_TABLE_LOCAL, RT_TABLE_MAIN, Scope } from "./netlink/constants.ts";
import type { NextHop } from "./netlink/nexthop.ts";
import type { RouteSpec } from "./netlink/route.ts";
import type { Rule, RuleSpec } from "./netlink/rule.ts";
import type { OwnedState, PodRoute, RoutingOptions } from "./types.ts";

/** Metric of learned routes and of pods' host routes: not one that anybody gets by default. */
export const METRIC = 201;
/** Metric of what applies when nothing else in the table does: blackholes of blocks, the unreachable fallback. */
export const LAST_RESORT_METRIC = 65535;

const FAMILIES = [4, 6] as const;

export class Ownership {
  readonly protocol: number;
  readonly localTable: number;
  readonly #options: RoutingOptions;

  constructor(options: RoutingOptions) {
    this.#options = options;
    this.protocol = options.protocol;
    this.localTable = options.localTable;
  }

  ownsProtocol(protocol: number): boolean {
    return protocol === this.protocol;
  }

  ownsRule(rule: Rule): boolean {
    return rule.protocol === this.protocol;
  }

  ownsNextHop(nextHop: NextHop): boolean {
    return nextHop.protocol === this.protocol && this.ownsNextHopId(nextHop.id);
  }

  ownsNextHopId(id: number): boolean {
    const { base, count } = this.#options.nextHopIds;
    return id >= base && id < base + count;
  }

  /** Of the last rule that pods depend on. */
  get lastPodPriority(): number {
    const { local, block } = this.#options.rulePriority;
    return Math.max(local, block);
  }

  /** Rules in the order of their priorities; blocks share one priority, because blocks do not overlap. */
  rules(owned: OwnedState): RuleSpec[] {
    const { local, block, host } = this.#options.rulePriority;
    const rules: RuleSpec[] = [];
    const all = (priority: number, table: number) => {
      for (const family of FAMILIES)
        rules.push({ family, priority, source: null, sourceLength: 0, table, protocol: this.protocol });
    };
    all(local, this.localTable);
    for (const { prefix: text, table } of owned.blocks) {
      const { family, bytes, length } = this.#block(text);
      rules.push({ family, priority: block, source: bytes, sourceLength: length, table, protocol: this.protocol });
    }
    owned.tables
      .filter((table) => table.host)
      .forEach((table, i) => {
        all(host + i, table.id);
      });
    return rules;
  }

  /** Blackholes of the blocks, and the last resort of tables that must not fall through. */
  routes(owned: OwnedState): RouteSpec[] {
    const last = { protocol: this.protocol, priority: LAST_RESORT_METRIC };
    const routes: RouteSpec[] = owned.blocks.map((block) => {
      const { family, bytes, length } = this.#block(block.prefix);
      return { ...last, family, table: this.localTable, destination: bytes, length, type: RouteType.blackhole };
    });
    for (const table of owned.tables) {
      this.requireTable(table.id);
      if (table.fallback !== "unreachable") continue;
      for (const family of FAMILIES)
        routes.push({ ...last, family, table: table.id, destination: null, length: 0, type: RouteType.unreachable });
    }
    return routes;
  }

  /** /32 or /128 to the host end of the pod's veth. */
  podRoute(pod: PodRoute): RouteSpec {
    return {
      family: pod.address.length === 4 ? 4 : 6,
      table: this.localTable,
      destination: pod.address,
      length: pod.address.length * 8,
      scope: Scope.link,
      protocol: this.protocol,
      priority: METRIC,
      oif: pod.ifindex,
    };
  }

  /** Throws for the tables that belong to the kernel and the host. */
  requireTable(table: number): void {
    if (table > 0 && table <= 0xffffffff && ![RT_TABLE_DEFAULT, RT_TABLE_MAIN, RT_TABLE_LOCAL].includes(table)) return;
    throw new RangeError(`table ${table} is not ours to use: choose an id other than 0 and 253 to 255`);
  }

  #block(text: string) {
    const parsed = parsePrefix(text);
    if (typeof parsed === "string") throw new RangeError(`block ${text} is not a prefix (${parsed})`);
    return parsed;
  }
}
