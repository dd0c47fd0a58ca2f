// What a peer inherits from its group, and a group from its own: merged as written, before anything is parsed. In: the
// plain values of `peerGroups` and `peers`. Out: the same with what they inherit put in, and for each such value where it
// stands, so that a fault in it is reported there.
//
// A key of one's own wins. Maps are merged key by key; everything else, lists too, is taken as a whole.
import type { ConfigProblem } from "./problem.ts";
import { isMap, quote, suggestion } from "./scalar.ts";
import type { Parsed } from "./schema.ts";
import type { Path, Source } from "./source.ts";

export interface Inherited {
  readonly groups: Record<string, unknown>;
  readonly peers: Record<string, unknown>;
  /** `peerGroups.x` or `peers.y` whose group is not there: what they lack may be in it. */
  readonly orphans: ReadonlySet<unknown>;
  readonly problems: readonly ConfigProblem[];
}

interface Written {
  readonly path: Path;
  readonly value: Record<string, unknown>;
}

/** In a policy, who this node's own routes come from. */
export const OWN_ROUTES = "local";
/** Values that are inherited at most, counted once for each that inherits: more than any rack has. */
const MAX_INHERITED = 1_000_000;
/** What a group has for itself. */
const notInherited: ReadonlySet<string> = new Set(["group", "listen", "listenLimit", "listenPods"]);

/** `keys`: those of a peer; others are faults of the group alone. */
export function inheritGroups(source: Source, top: Record<string, unknown>, keys: readonly string[]): Inherited {
  return new Merger(source, top, keys).run();
}

/** The peers of a group and of all groups within it: names, and `NAME/` for those that come out of listen ranges. */
export function membersOf(group: string, { peers, peerGroups }: Pick<Parsed, "peers" | "peerGroups">): string[] {
  const within = (name: string | undefined): boolean => {
    const seen = new Set<string>();
    for (let at = name; at !== undefined && !seen.has(at); at = peerGroups.get(at)?.group) {
      if (at === group) return true;
      seen.add(at);
    }
    return false;
  };
  return [
    ...[...peers].filter(([, peer]) => within(peer.group)).map(([name]) => name),
    ...[...peerGroups].filter(([name, { listen }]) => listen.length > 0 && within(name)).map(([name]) => `${name}/`),
  ];
}

class Merger {
  readonly #source: Source;
  readonly #keys: readonly string[];
  readonly #written: Readonly<Record<"peerGroups" | "peers", unknown>>;
  readonly #groups = new Map<string, Written | null>();
  readonly #orphans = new Set<unknown>();
  readonly #problems: ConfigProblem[] = [];
  readonly #sizes = new Map<object, number>();
  #inherited = 0;

  constructor(source: Source, top: Record<string, unknown>, keys: readonly string[]) {
    this.#source = source;
    this.#keys = keys.filter((key) => !notInherited.has(key));
    this.#written = { peerGroups: top["peerGroups"], peers: top["peers"] };
  }

  run(): Inherited {
    const { peerGroups, peers } = this.#written;
    const groups = this.#each(peerGroups, (name) => this.#group(name, [])?.value);
    return {
      groups,
      peers: this.#each(peers, (name, value) => {
        if (value !== undefined && !isMap(value)) return value;
        return this.#withGroup({ path: ["peers", name], value: value ?? {} }, []).value;
      }),
      orphans: this.#orphans,
      problems: this.#problems,
    };
  }

  #each(
    map: unknown,
    merge: (name: string, value: Record<string, unknown> | undefined) => unknown,
  ): Record<string, unknown> {
    const merged: Record<string, unknown> = Object.create(null);
    if (!isMap(map)) return merged;
    for (const name of Object.keys(map)) {
      const value = map[name] ?? undefined;
      merged[name] = value === undefined || isMap(value) ? merge(name, value) : value;
    }
    return merged;
  }

  /** Null: there is no such group, or it is no map. `trail`: the groups that lead here. */
  #group(name: string, trail: readonly string[]): Written | null {
    const known = this.#groups.get(name);
    if (known !== undefined) return known;
    const { peerGroups } = this.#written;
    if (!isMap(peerGroups) || !Object.hasOwn(peerGroups, name)) return null;
    const value = peerGroups[name] ?? {};
    if (!isMap(value)) return null;
    const group = this.#withGroup({ path: ["peerGroups", name], value }, [...trail, name]);
    this.#groups.set(name, group);
    return group;
  }

  #withGroup(own: Written, trail: readonly string[]): Written {
    const name = own.value["group"];
    if (name === undefined || name === null) return own;
    if (typeof name === "string" && trail.includes(name)) {
      const circle = [...trail.slice(trail.indexOf(name)), name].join(" -> ");
      this.#fault(
        [...own.path, "group"],
        `a group cannot inherit from itself: ${circle}`,
        "remove one of these group:",
      );
      return own;
    }
    const group = typeof name === "string" ? this.#group(name, trail) : null;
    if (group) return { path: own.path, value: this.#merge(own, group, this.#keys) };
    if (typeof name === "string") this.#unknown(own.path, name);
    this.#orphans.add(own.value);
    return own;
  }

  #unknown(path: Path, name: string): void {
    const { peerGroups } = this.#written;
    const names = isMap(peerGroups) ? Object.keys(peerGroups) : [];
    if (names.includes(name)) return;
    const hint = suggestion(name, names) ?? (names.length > 0 ? `there are: ${names.join(", ")}` : "there are none");
    this.#fault([...path, "group"], `there is no peer group ${quote(name)}`, hint);
  }

  #merge(own: Written, from: Written, keys: readonly string[]): Record<string, unknown> {
    const merged: Record<string, unknown> = Object.assign(Object.create(null), own.value);
    for (const key of keys) {
      const inherited = from.value[key];
      if (inherited === undefined) continue;
      const [path, fromPath] = [
        [...own.path, key],
        [...from.path, key],
      ];
      const value = own.value[key];
      if (value === undefined) {
        if (!this.#take(inherited, path)) return merged;
        merged[key] = inherited;
        this.#source.inherit(path, fromPath);
      } else if (isMap(value) && isMap(inherited)) {
        merged[key] = this.#merge({ path, value }, { path: fromPath, value: inherited }, Object.keys(inherited));
      }
    }
    return merged;
  }

  /** False: it has become too much, which is reported once. */
  #take(value: unknown, path: Path): boolean {
    if (this.#inherited > MAX_INHERITED) return false;
    this.#inherited += this.#sizeOf(value);
    if (this.#inherited <= MAX_INHERITED) return true;
    this.#fault(path, "peer groups make this too large", `${MAX_INHERITED} inherited values are the limit`);
    return false;
  }

  #sizeOf(value: unknown): number {
    if (typeof value !== "object" || value === null) return 1;
    let size = this.#sizes.get(value);
    if (size === undefined) {
      size = 1;
      for (const entry of Object.values(value)) size += this.#sizeOf(entry);
      this.#sizes.set(value, size);
    }
    return size;
  }

  #fault(path: Path, message: string, hint: string): void {
    this.#problems.push(this.#source.problem(path, message, hint));
  }
}
