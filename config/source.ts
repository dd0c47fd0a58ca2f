// YAML text -> plain values, and where each of them was written.
//
// One document, YAML 1.2 core schema, plus `<<` merge keys, so that two neighbours can share settings. Values are built
// here and not by the YAML library, so that duplicate keys and aliases are reported and bounded in our own words.
// A key without a value is undefined, as if not given. Maps come out without a prototype.
import { type Alias, isAlias, isMap, isNode, isScalar, isSeq, type Node, visit, type YAMLMap } from "yaml";
import { ConfigProblem } from "./problem.ts";
import { quote } from "./scalar.ts";
import { MAX_DEPTH, readYaml, type YamlText } from "./yaml-text.ts";

/** Keys and list indexes from the top. */
export type Path = readonly PropertyKey[];

/** Values after aliases are followed: far more than any configuration has, far fewer than a bomb. */
const MAX_VALUES = 100_000;
const MAX_ANCHORS = 1000;

/** Offsets of a value, and of its key when it has one. */
interface Place {
  readonly key: number | null;
  readonly value: number;
}

interface Spot extends Place {
  readonly path: Path;
  /** Anchored nodes whose aliases lead here: one of them again would be a loop. */
  readonly open: readonly Node[];
}

class TooMuch extends Error {}

export class Source {
  readonly file: string;
  /** What was wrong with the text itself; read() returns undefined when that leaves nothing to work with. */
  readonly problems: ConfigProblem[] = [];
  readonly #places = new Map<string, Place>();
  /** Values that stand elsewhere: their path -> the path that they were written at. */
  readonly #inherited = new Map<string, Path>();
  readonly #anchors: { readonly name: string; readonly offset: number; readonly node: Node }[] = [];
  #text: YamlText | null = null;
  #values = 0;

  constructor(file: string) {
    this.file = file;
  }

  read(text: string): unknown {
    this.#text = readYaml(text);
    const { document, faults } = this.#text;
    for (const { offset, message, hint } of faults) this.#note(offset, [], message, hint);
    if (!document || faults.length > 0) return undefined;
    visit(document, {
      Node: (_, node) => {
        const { anchor } = node as { anchor?: string };
        if (anchor) this.#anchors.push({ name: anchor, offset: offsetOf(node, 0), node });
      },
    });
    if (this.#anchors.length > MAX_ANCHORS) {
      this.#note(this.#anchors[MAX_ANCHORS].offset, [], `there are more than ${MAX_ANCHORS} anchors (&name)`);
      return undefined;
    }
    try {
      const offset = offsetOf(document.contents, 0);
      return this.#value(document.contents, { path: [], key: null, value: offset, open: [] });
    } catch (error) {
      if (error instanceof TooMuch) return undefined;
      throw error;
    }
  }

  /** A problem at `path`, or at the nearest thing above it that is written. */
  problem(path: Path, message: string, hint: string | null = null, at: "key" | "value" = "value"): ConfigProblem {
    // A single value that stands for a list of one has no index.
    const single = typeof path.at(-1) === "number" && !this.#places.has(placeKey(this.#origin(path)));
    const written = single ? path.slice(0, -1) : path;
    return new ConfigProblem({ file: this.file, ...this.locate(written, at), path: pathText(written), message, hint });
  }

  /** Whether something is written at the very path. */
  isWritten(path: Path): boolean {
    return this.#places.has(placeKey(this.#origin(path)));
  }

  /** The value at `path`, with all that is below it, stands at `from`. */
  inherit(path: Path, from: Path): void {
    this.#inherited.set(placeKey(path), from);
  }

  locate(asked: Path, at: "key" | "value" = "value"): { line: number; column: number } {
    const path = this.#origin(asked);
    for (let depth = path.length; depth >= 0; depth--) {
      const place = this.#places.get(placeKey(path.slice(0, depth)));
      if (!place) continue;
      // What is missing is reported at the key of the map that lacks it.
      const offset = at === "key" || depth < path.length ? (place.key ?? place.value) : place.value;
      return this.#lineColumn(offset);
    }
    return { line: 1, column: 1 };
  }

  /** Where what is asked about was written. */
  #origin(path: Path): Path {
    if (this.#inherited.size === 0) return path;
    for (let depth = 1; depth <= path.length; depth++) {
      const from = this.#inherited.get(placeKey(path.slice(0, depth)));
      if (from) return this.#origin([...from, ...path.slice(depth)]);
    }
    return path;
  }

  #lineColumn(offset: number): { line: number; column: number } {
    const { line, col } = this.#text?.lines.linePos(offset) ?? { line: 0, col: 0 };
    return line === 0 ? { line: 1, column: 1 } : { line, column: col };
  }

  #note(offset: number | null, path: Path, message: string, hint: string | null = null): void {
    const place = offset === null ? { line: 0, column: 0 } : this.#lineColumn(offset);
    this.problems.push(new ConfigProblem({ file: this.file, ...place, path: pathText(path), message, hint }));
  }

  #value(node: unknown, spot: Spot): unknown {
    this.#count(spot);
    this.#places.set(placeKey(spot.path), { key: spot.key, value: spot.value });
    if (isAlias(node)) {
      const target = this.#target(node, spot);
      return target && this.#value(target, { ...spot, open: [...spot.open, target] });
    }
    if (isMap(node)) return this.#map(node, spot);
    if (isSeq(node)) {
      return node.items.map((item, index) => {
        const value = offsetOf(item, spot.value);
        return this.#value(item, { path: [...spot.path, index], key: null, value, open: spot.open });
      });
    }
    if (!isScalar(node)) return null;
    // A relative change in other programs: the sign would get lost.
    if (node.type === "PLAIN" && /^\+\d/.test(node.source ?? ""))
      this.#note(
        spot.value,
        spot.path,
        `${node.source} has a plus sign`,
        `write ${node.source?.slice(1)}, or { add: ${node.source?.slice(1)} } in a policy`,
      );
    return typeof node.value === "bigint" ? Number(node.value) : node.value;
  }

  /** What an alias stands for: the last anchor of that name before it. */
  #target(alias: Alias, spot: Spot): Node | null {
    const offset = offsetOf(alias, spot.value);
    const target = this.#anchors.findLast((anchor) => anchor.name === alias.source && anchor.offset < offset)?.node;
    if (!target) this.#note(offset, spot.path, `there is no anchor &${alias.source} before this alias`);
    else if (spot.open.includes(target) || offset < (target.range?.[1] ?? 0))
      this.#note(offset, spot.path, `the alias *${alias.source} stands for something that contains it`);
    else return target;
    return null;
  }

  #map(node: YAMLMap, spot: Spot): Record<string, unknown> {
    const map: Record<string, unknown> = Object.create(null);
    this.#entries(node, spot, map, new Set(), false);
    return map;
  }

  /** Adds the map's entries that are not `taken`, first its own, then those that it merges. */
  #entries(node: YAMLMap, spot: Spot, map: Record<string, unknown>, taken: Set<string>, inherited: boolean): void {
    this.#count(spot);
    const own = new Map<string, number>();
    const merges: unknown[] = [];
    for (const { key: keyNode, value: valueNode } of node.items) {
      const at = offsetOf(keyNode, spot.value);
      if (!isScalar(keyNode) || keyNode.value === null) {
        this.#note(at, spot.path, "a key must be a single word");
        continue;
      }
      const key = String(keyNode.source ?? keyNode.value);
      if (key === "<<" && keyNode.type === "PLAIN") {
        merges.push(...(isSeq(valueNode) ? valueNode.items : [valueNode]));
        continue;
      }
      const first = own.get(key);
      if (first !== undefined) {
        const hint = `the first one is in line ${this.#lineColumn(first).line}; remove one of them`;
        if (!inherited) this.#note(at, [...spot.path, key], "is written twice", hint);
        continue;
      }
      own.set(key, at);
      if (inherited && taken.has(key)) continue;
      const inner = { path: [...spot.path, key], key: at, value: offsetOf(valueNode, at), open: spot.open };
      map[key] = this.#value(valueNode, inner) ?? undefined;
    }
    for (const key of own.keys()) taken.add(key);
    for (const item of merges) this.#merge(item, spot, map, taken);
  }

  /** `<<: *other` or `<<: [*one, *two]`: keys that the map does not have itself, the first one wins. */
  #merge(node: unknown, spot: Spot, map: Record<string, unknown>, taken: Set<string>): void {
    const target = isAlias(node) ? this.#target(node, spot) : node;
    if (target === null) return;
    if (isMap(target)) this.#entries(target, { ...spot, open: [...spot.open, target] }, map, taken, true);
    else this.#note(offsetOf(node, spot.value), [...spot.path, "<<"], "only a map can be merged", "write <<: *anchor");
  }

  #count(spot: Spot): void {
    if (++this.#values <= MAX_VALUES && spot.open.length <= MAX_DEPTH) return;
    this.#note(spot.key ?? spot.value, spot.path, "aliases (*name) make this too large or too deep");
    throw new TooMuch();
  }
}

function offsetOf(node: unknown, otherwise: number): number {
  return isNode(node) ? (node.range?.[0] ?? otherwise) : otherwise;
}

/** `peers.tor-a.families[0]`; keys that no name could be are quoted. */
function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else {
      const key = String(part);
      text += `${text === "" ? "" : "."}${/^[\w<][\w<.\- ]{0,99}$/.test(key) ? key : quote(key)}`;
    }
  }
  return text;
}

const placeKey = (path: Path): string => path.map(String).join("\0");
