// What the configuration has the kernel keep, and its order: blackholes, then rules, and what is not wanted any more
// leaves the other way round, so that no packet to a block ever passes its blackhole for the fabric, and none from it
// misses its rule. A rule is not added while its blackhole is refused. In: the owned state. Out: which blocks the
// kernel does not have, and why.
import type { Family } from "../../net/address.ts";
import { formatAddress } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";
import type { RuleSpec } from "../netlink/rule.ts";
import { LAST_RESORT_METRIC, type Ownership } from "../ownership.ts";
import type { FormerBlock, OwnedState, RefusedBlock } from "../types.ts";
import type { Rules } from "./rules.ts";
import type { StaticRoutes } from "./static-routes.ts";

type OwnedBlock = OwnedState["blocks"][number];

export interface OwnedEvents {
  /** Another list than before; only after a repair, what set() finds it returns. */
  refusedBlocks(refused: readonly RefusedBlock[]): void;
}

export class Owned {
  readonly #staticRoutes: StaticRoutes;
  readonly #rules: Rules;
  readonly #ownership: Ownership;
  readonly #events: OwnedEvents;
  #blocks: OwnedState["blocks"] = [];
  #told = "[]";

  constructor(staticRoutes: StaticRoutes, rules: Rules, ownership: Ownership, events: OwnedEvents) {
    this.#staticRoutes = staticRoutes;
    this.#rules = rules;
    this.#ownership = ownership;
    this.#events = events;
    rules.withheld = (rule) =>
      rule.source !== null &&
      this.#blocks.some((block) => this.#blackholeRefusal(block) !== null && this.#isOf(rule, block));
  }

  /**
   * Has the kernel keep exactly this; `networks` are the host's connected ones. `missing`: families of which not all
   * was there before. Throws what the kernel said of anything but a block, or of what should have left; what was wanted
   * before is wanted again then.
   */
  set(
    owned: OwnedState,
    networks: () => readonly Prefix[],
  ): { missing: ReadonlySet<Family>; refused: readonly RefusedBlock[] } {
    const routes = this.#ownership.routes(owned);
    const missing = new Set(this.#staticRoutes.missing(routes).map(({ family }) => family));
    const blocks = this.#blocks;
    this.#blocks = owned.blocks;
    const changed = this.#staticRoutes.setOwned(routes);
    const before = this.#rules.want(() => this.#ownership.rules(owned, networks));
    try {
      const reconciled = this.#rules.reconcile();
      for (const { family } of reconciled.added) missing.add(family);
      for (const { rule } of this.#rules.refused) missing.add(rule.family);
      this.#requireCommonRules();
      reconciled.remove();
      changed.removeOld();
    } catch (error) {
      // Whoever asked goes on with what was before: no repair may finish what has been refused.
      this.#rules.want(before);
      this.#blocks = blocks;
      throw error;
    }
    const refused = this.refused();
    this.#told = JSON.stringify(refused);
    return { missing, refused };
  }

  /** What a former run left, before set(). */
  found(): FormerBlock[] {
    const blocks = new Map<string, FormerBlock>();
    for (const rule of this.#rules.dump()) {
      if (!this.#ownership.ownsRule(rule) || rule.source === null || !this.#ownership.isBlockRule(rule)) continue;
      const prefix = `${formatAddress(rule.source)}/${rule.sourceLength}`;
      blocks.set(`${prefix} ${rule.table}`, { prefix, table: rule.table });
    }
    const withRule = new Set([...blocks.values()].map(({ prefix }) => prefix));
    const alone = this.#staticRoutes.blackholes().filter((prefix) => !withRule.has(prefix));
    return [...blocks.values(), ...alone.map((prefix) => ({ prefix, table: null }))];
  }

  /** Puts back rules that are missing and removes those that are too many; returns how many. Throws as set() does. */
  repairRules(): number {
    const { added, remove } = this.#rules.reconcile();
    const count = added.length + remove();
    this.#report();
    this.#requireCommonRules();
    return count;
  }

  /** Blocks that the kernel, when it was last asked, did not take. */
  refused(): RefusedBlock[] {
    return this.#blocks.flatMap((block) => {
      const error =
        this.#blackholeRefusal(block) ??
        this.#rules.refused.find(({ rule }) => this.#isOf(rule, block))?.error.message ??
        (this.#rules.waiting.some((rule) => this.#isOf(rule, block)) ? "its rules are not there yet" : null);
      return error === null ? [] : [{ prefix: block.prefix, table: block.table, error }];
    });
  }

  /** To be called after a repair of routes: rules that wait for a blackhole wait no longer. Throws as set() does. */
  routesRepaired(): void {
    const waits = this.#rules.waiting.some((rule) => !this.#rules.withheld(rule));
    if (waits) this.repairRules();
    else this.#report();
  }

  #report(): void {
    const refused = this.refused();
    const text = JSON.stringify(refused);
    if (text === this.#told) return;
    this.#told = text;
    this.#events.refusedBlocks(refused);
  }

  #blackholeRefusal({ prefix }: OwnedBlock): string | null {
    const text = this.#staticRoutes.refusals > 0 ? this.#staticRoutes.refusal(this.#ownership.blackhole(prefix)) : null;
    if (text === null) return null;
    return `blackhole in table ${this.#ownership.localTable}, metric ${LAST_RESORT_METRIC}: ${text}`;
  }

  /** All rules from a block are its own, apart from those to the other table of a block that moves. */
  #isOf(rule: RuleSpec, { prefix, table }: OwnedBlock): boolean {
    if (rule.source === null) return false;
    const { destination, length, family } = this.#ownership.blackhole(prefix);
    if (family !== rule.family || length !== rule.sourceLength || !destination) return false;
    const others = this.#blocks.some((block) => block.table === rule.table && block.table !== table);
    return !others && destination.every((byte, i) => byte === rule.source?.[i]);
  }

  /** Without the rule to the local table nothing can be relied on. */
  #requireCommonRules(): void {
    const refused = this.#rules.refused.find(({ rule }) => rule.source === null && !rule.iif);
    if (refused) throw refused.error;
  }
}
