// The only place that says what may be touched in the kernel. Ours is what carries our protocol number, and for nexthop
// objects also an id of our range; everything that deletes or replaces asks here first, and every delete names the
// protocol, so that the kernel checks it once more.
//
// In: the routing options and the owned state of the configuration. Out: predicates, and the rules and routes that the
// configuration stands for. Metrics keep our routes apart from others in the same table and from each other.
import { isLinkLocal } from "../net/address.ts";
import { type Prefix, parsePrefix } from "../net/prefix.ts";
import { RouteType, RT_TABLE_DEFAULT, RT_TABLE_LOCAL, RT_TABLE_MAIN, RuleAction, Scope } from "./netlink/constants.ts";
import type { NextHop } from "./netlink/nexthop.ts";
import type { RouteSpec } from "./netlink/route.ts";
import type { Rule, RuleSpec } from "./netlink/rule.ts";
import type { HostRoutes, OwnedState, PodRoute, RoutingOptions } from "./types.ts";

/** Metric of learned routes and of pods' host routes: not one that anybody gets by default. */
export const METRIC = 201;
/** Metric of what applies when nothing else in the table does: blackholes of blocks. */
export const LAST_RESORT_METRIC = 65535;

/**
 * Routes of the host that are not longer than this are default routes: 0/0 itself, and the parts in which VPN programs
 * write it so that it wins over the real one (0.0.0.0/1 and 128.0.0.0/1; 2000::/3, ::/3, 2000::/4 and so on).
 */
export const LIKE_DEFAULT = { 4: 1, 6: 4 } as const;

const FAMILIES = [4, 6] as const;
const REMEMBERED_BLOCKS = 1000;

/** Whether the rules depend on the host's connected networks. */
export function needsNetworks(owned: OwnedState): boolean {
  return owned.tables.some((table) => table.hostRoutes === "last");
}

export class Ownership {
  readonly protocol: number;
  readonly localTable: number;
  readonly #options: RoutingOptions;
  readonly #blocks = new Map<string, Prefix>();

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

  /** `from <block>` to its table, not one of those beside it. */
  isBlockRule({ priority, action }: Rule): boolean {
    return priority === this.#options.rulePriority.block && action === RuleAction.toTable;
  }

  /** Of the last rule that pods depend on. */
  get lastPodPriority(): number {
    const { local, block } = this.#options.rulePriority;
    return Math.max(local, block);
  }

  /**
   * Rules in the order of their priorities; blocks share theirs, because blocks do not overlap. Learned routes are never
   * asked before what the host itself knows better than by a default route; see `hostRoutes` of a table. `networks` are
   * the host's connected ones, see connectedNetworks().
   */
  rules(owned: OwnedState, networks: () => readonly Prefix[]): RuleSpec[] {
    const { local, hostRoutes, block, host } = this.#options.rulePriority;
    const plain = {
      action: RuleAction.toTable,
      source: null,
      sourceLength: 0,
      destination: null,
      destinationLength: 0,
      protocol: this.protocol,
      suppressPrefixLength: -1,
    };
    const tables = new Map(owned.tables.map((table) => [table.id, table]));
    const connected = needsNetworks(owned) ? networks() : [];
    const rules: RuleSpec[] = [];
    const before = (rule: Pick<RuleSpec, "family" | "priority" | "source" | "sourceLength">, mode: HostRoutes) => {
      const main = { ...plain, ...rule, table: RT_TABLE_MAIN, suppressPrefixLength: LIKE_DEFAULT[rule.family] };
      if (mode === "first") rules.push(main);
      // A packet to a link-local address is not forwarded.
      else
        for (const { family, bytes, length } of connected)
          if (family === rule.family && (rule.source === null || family === 4 || !isLinkLocal(bytes)))
            rules.push({ ...main, destination: bytes, destinationLength: length });
    };

    for (const family of FAMILIES) rules.push({ ...plain, family, priority: local, table: this.localTable });
    // Just after the local table, whose own routes come first: a packet that the fabric sends here because it has heard of no
    // other place for the address would be sent back.
    for (const text of owned.elsewhere ?? []) {
      const { family, bytes, length } = this.#block(text);
      const to = { destination: bytes, destinationLength: length };
      for (const iif of owned.uplinks ?? [])
        rules.push({ ...plain, ...to, family, iif, priority: local + 1, action: RuleAction.blackhole, table: 0 });
    }
    for (const { prefix: text, table } of owned.blocks) {
      const { family, bytes, length } = this.#block(text);
      const from = { family, source: bytes, sourceLength: length };
      before({ ...from, priority: hostRoutes }, tables.get(table)?.hostRoutes ?? "first");
      rules.push({ ...plain, ...from, priority: block, table });
      if (tables.get(table)?.fallback === "unreachable")
        rules.push({ ...plain, ...from, priority: block + 1, action: RuleAction.unreachable, table: 0 });
    }
    const hostTables = owned.tables.filter((table) => table.host);
    hostTables.forEach((table, i) => {
      const earlier = hostTables.slice(0, i).map((other) => other.hostRoutes);
      for (const family of FAMILIES) {
        const priority = host + 2 * i;
        if (!earlier.includes("first") && !earlier.includes(table.hostRoutes))
          before({ family, source: null, sourceLength: 0, priority: priority - 1 }, table.hostRoutes);
        rules.push({ ...plain, family, priority, table: table.id });
      }
    });
    // A block that moves is there with two tables for a while; what both want is wanted once.
    return [...new Map(rules.map((rule) => [ruleKey(rule), rule])).values()];
  }

  /** Blackholes of the blocks, and holes in them for what pods of other nodes have. */
  routes(owned: OwnedState): RouteSpec[] {
    for (const table of owned.tables) this.requireTable(table.id);
    const routes = new Map((owned.elsewhere ?? []).map((prefix) => [prefix, this.hole(prefix)]));
    // What is a block of ours as well is here.
    for (const { prefix } of owned.blocks) routes.set(prefix, this.blackhole(prefix));
    return [...routes.values()];
  }

  /** The lookup goes on with the next rule, as if the local table had no block here; a pod's own route comes first. */
  hole(prefix: string): RouteSpec {
    return { ...this.blackhole(prefix), type: RouteType.throw };
  }

  blackhole(block: string): RouteSpec {
    const { family, bytes, length } = this.#block(block);
    return {
      family,
      table: this.localTable,
      destination: bytes,
      length,
      type: RouteType.blackhole,
      protocol: this.protocol,
      priority: LAST_RESORT_METRIC,
    };
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

  #block(text: string): Prefix {
    const known = this.#blocks.get(text);
    if (known) return known;
    const parsed = parsePrefix(text);
    if (typeof parsed === "string") throw new RangeError(`block ${text} is not a prefix (${parsed})`);
    if (this.#blocks.size >= REMEMBERED_BLOCKS) this.#blocks.clear();
    this.#blocks.set(text, parsed);
    return parsed;
  }
}

/** Equal for rules that the kernel takes for the same one. */
export function ruleKey(rule: RuleSpec): string {
  const source = `${rule.source?.join(".") ?? ""}/${rule.sourceLength}`;
  const destination = `${rule.destination?.join(".") ?? ""}/${rule.destinationLength}`;
  const { family, priority, action, table, suppressPrefixLength, iif } = rule;
  return `${family} ${priority} ${source} ${destination} ${iif ?? ""} ${action} ${table} ${suppressPrefixLength}`;
}
