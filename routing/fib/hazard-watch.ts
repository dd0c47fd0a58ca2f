// Looks for hazards (hazards.ts) from inside the worker: rules after each change of them, settings and files every few
// seconds. Out: the list as it is, and an event for each problem that begins or ends.
import { type Prefix, prefix } from "../../net/prefix.ts";
import { linkTarget } from "../../net/proc.ts";
import { type DeadDefault, readDeadDefaults } from "../dead-defaults.ts";
import { type ForeignRouteCount, findHazards, type Hazard, hazardText } from "../hazards.ts";
import type { Rule } from "../netlink/rule.ts";
import { hostFiles, type NetworkdSettings, readNetworkd } from "../networkd.ts";
import type { OwnedState } from "../types.ts";
import { NeighbourTables } from "./neighbour-tables.ts";
import type { FibState } from "./state.ts";
import { readOrNull } from "./sysctls.ts";

/** Programs can make rules without end: so many hazards are told. */
const LISTED = 100;
const NETWORKD_INTERVAL_MS = 30_000;
/** Nobody tells us of changes in main, and with a full table there a look takes its time. */
const DEFAULTS_INTERVAL_MS = 300_000;

export class HazardWatch {
  readonly #state: FibState;
  readonly #foreignRoutes: () => readonly ForeignRouteCount[];
  #tables: readonly number[] = [];
  #blocks: readonly Prefix[] = [];
  #owned = false;
  #current: readonly Hazard[] = [];
  #networkd: NetworkdSettings | null = null;
  #networkdRead = Number.NEGATIVE_INFINITY;
  /** A table lets main go first. */
  #mainFirst = false;
  #deadDefaults: readonly DeadDefault[] = [];
  #defaultsRead = Number.NEGATIVE_INFINITY;
  readonly #neighbourTables: NeighbourTables;

  constructor(state: FibState, foreignRoutes: () => readonly ForeignRouteCount[]) {
    this.#state = state;
    this.#neighbourTables = new NeighbourTables(state.deps.clock, () => Date.now());
    this.#foreignRoutes = foreignRoutes;
  }

  get hazards(): readonly Hazard[] {
    return this.#current;
  }

  /** What there is to be endangered. */
  setOwned(owned: OwnedState): void {
    this.#owned = true;
    this.#tables = owned.tables.map(({ id }) => id);
    this.#blocks = owned.blocks.map((block) => prefix(block.prefix));
    this.#mainFirst = owned.tables.some(({ hostRoutes }) => hostRoutes === "first");
    this.#defaultsRead = Number.NEGATIVE_INFINITY;
  }

  /** As it is now; `rules`: all of them, fresh from the kernel. */
  look(
    rules: readonly Rule[],
    foreignRoutes: readonly ForeignRouteCount[],
    deadDefaults = this.#readDefaults(0),
  ): Hazard[] {
    const { ownership, nextHops, links, routes, gateways } = this.#state;
    if (!this.#owned) return [];
    return findHazards({
      protocol: ownership.protocol,
      localTable: ownership.localTable,
      tables: this.#tables,
      blocks: this.#blocks,
      lastPriority: ownership.lastPodPriority,
      rules,
      foreignRoutes,
      deadDefaults,
      overflows: this.#neighbourTables
        .look()
        .map((overflow) => ({ ...overflow, gateways: gateways.withoutPlace(overflow.family) })),
      uplinks: nextHops
        .uplinks()
        .filter((ifindex) => links.has(ifindex))
        .map((ifindex) => links.nameOf(ifindex)),
      ipv6Routes: routes.tables().reduce((sum, table) => sum + (table.family === 6 ? table.desiredCount : 0), 0),
      sysctl: readOrNull,
      networkd: this.#readNetworkd(),
    }).slice(0, LISTED);
  }

  /** Compares with the last look; `rules`: all of them, fresh from the kernel. */
  update(rules: readonly Rule[]): void {
    const { deps } = this.#state;
    if (!this.#owned) return;
    for (const { family } of this.#neighbourTables.look()) this.#state.gateways.ask(family);
    const hazards = this.look(rules, this.#foreignRoutes(), this.#readDefaults(DEFAULTS_INTERVAL_MS));
    // Notes may be meant so: they are in the status, and not in the log.
    const problems = (list: readonly Hazard[]) => list.filter(({ severity }) => severity === "problem");
    const before = new Map(problems(this.#current).map((hazard) => [keyOf(hazard), hazard]));
    const now = new Set(problems(hazards).map(keyOf));
    this.#current = hazards;
    for (const hazard of problems(hazards))
      if (!before.has(keyOf(hazard))) deps.event({ kind: eventKind(hazard), message: hazardText(hazard) });
    for (const [key, hazard] of before)
      if (!now.has(key)) deps.event({ kind: "cleared", message: `no longer so: ${hazard.text}` });
  }

  #readDefaults(maxAge: number): readonly DeadDefault[] {
    const { deps, socket } = this.#state;
    if (!this.#mainFirst) return [];
    const now = deps.clock.now();
    if (now - this.#defaultsRead < maxAge) return this.#deadDefaults;
    this.#defaultsRead = now;
    this.#deadDefaults = readDeadDefaults(socket);
    return this.#deadDefaults;
  }

  #readNetworkd(): NetworkdSettings | null {
    const now = this.#state.deps.clock.now();
    if (now - this.#networkdRead < NETWORKD_INTERVAL_MS) return this.#networkd;
    this.#networkdRead = now;
    // It works in the namespace that the host was started in.
    const namespaces = ["/proc/1/ns/net", "/proc/thread-self/ns/net"].map(linkTarget);
    this.#networkd = namespaces[0] === null || namespaces[0] === namespaces[1] ? readNetworkd(hostFiles) : null;
    return this.#networkd;
  }
}

function eventKind({ kind }: Hazard): "foreign" | "hazard" {
  return kind === "rulePrecedes" || kind === "ruleIntoTable" || kind === "foreignRoutes" ? "foreign" : "hazard";
}

function keyOf({ kind, subject }: Hazard): string {
  return `${kind} ${subject}`;
}
