// A model of the speaker and its neighbours: what each has yet to be sent, what is on the wire, what it believes. A neighbour
// that loses the session gracefully goes on believing for the restart time (RFC 4724), until it is told anew.
import type { OriginatedAttributes } from "../../../bgp/speaker-types.ts";
import type { BlocksDependencies } from "../../../daemon/blocks/blocks.ts";
import type { InstalledBlock } from "../../../net/installed-block.ts";
import { formatPrefix, type Prefix } from "../../../net/prefix.ts";
import type { VirtualClock } from "./scheduler.ts";

const RESTART_TIME = 120_000;
/** No message is on its way for longer. */
const LONGEST_WAY = 1000;

type Update = { readonly prefix: string; readonly attributes: string | null } | "End-of-RIB";

export class Neighbour {
  readonly name: string;
  readonly table: number;
  up = false;
  /** Prefix -> attributes. */
  readonly believes = new Map<string, string>();
  /** Of `believes`: from an earlier session. */
  readonly stale = new Set<string>();
  unsent: Update[] = [];
  wire: { readonly update: Update; readonly since: number }[] = [];
  lostAt = Number.NEGATIVE_INFINITY;

  constructor(name: string, table: number) {
    this.name = name;
    this.table = table;
  }

  get told(): boolean {
    return this.unsent.length === 0;
  }

  send(now: number): boolean {
    const update = this.unsent.shift();
    if (update) this.wire.push({ update, since: now });
    return update !== undefined;
  }

  receive(): boolean {
    const update = this.wire.shift()?.update;
    if (!update) return false;
    if (update === "End-of-RIB") {
      for (const prefix of this.stale) this.believes.delete(prefix);
      this.stale.clear();
    } else {
      this.stale.delete(update.prefix);
      if (update.attributes === null) this.believes.delete(update.prefix);
      else this.believes.set(update.prefix, update.attributes);
    }
    return true;
  }

  lose(gracefully: boolean, now: number): void {
    if (!this.up) return;
    this.up = false;
    this.lostAt = now;
    this.unsent = [];
    this.wire = [];
    if (!gracefully) this.believes.clear();
    for (const prefix of this.believes.keys()) this.stale.add(prefix);
  }

  /** What time does to it. */
  passed(now: number): void {
    while (this.wire.length > 0 && now - this.wire[0].since >= LONGEST_WAY) this.receive();
    if (this.up || now - this.lostAt < RESTART_TIME) return;
    this.believes.clear();
    this.stale.clear();
  }
}

/** One run of the speaker. */
export class SpeakerModel {
  readonly #neighbours: readonly Neighbour[];
  readonly #clock: VirtualClock;
  readonly #startedAt: number;
  /** By table and prefix. */
  readonly local = new Map<string, { readonly prefix: string; readonly table: number; readonly attributes: string }>();

  constructor(neighbours: readonly Neighbour[], clock: VirtualClock) {
    this.#neighbours = neighbours;
    this.#clock = clock;
    this.#startedAt = clock.now();
  }

  /** What the blocks see of it. */
  readonly face: BlocksDependencies["speaker"] = {
    announceLocal: (block: InstalledBlock, attributes: Partial<OriginatedAttributes> = {}) => {
      block.require();
      const prefix = formatPrefix(block.prefix);
      const route = { prefix, table: block.table, attributes: JSON.stringify(attributes.communities) };
      this.local.set(`${block.table} ${prefix}`, route);
      this.#tell(block.table, { prefix, attributes: route.attributes });
    },
    withdrawLocal: (table: number, prefix: Prefix) => {
      const text = formatPrefix(prefix);
      if (this.local.delete(`${table} ${text}`)) this.#tell(table, { prefix: text, attributes: null });
    },
    untold: () => this.#neighbours.filter(({ up, told }) => up && !told).map(({ name }) => name),
    rememberers: () =>
      this.#neighbours
        .filter(({ up, lostAt }) => !up && this.#clock.now() - Math.max(lostAt, this.#startedAt) < RESTART_TIME)
        .map(({ name }) => name),
  };

  connect(neighbour: Neighbour): void {
    neighbour.up = true;
    for (const { prefix, table, attributes } of this.local.values())
      if (table === neighbour.table) neighbour.unsent.push({ prefix, attributes });
    neighbour.unsent.push("End-of-RIB");
  }

  #tell(table: number, update: Update): void {
    for (const neighbour of this.#neighbours)
      if (neighbour.up && neighbour.table === table) neighbour.unsent.push(update);
  }
}
