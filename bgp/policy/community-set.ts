// Community patterns, compiled: values without wildcards are looked up by hash, so that a list of thousands costs one look
// per community of a route; the others are tried in turn, by their first part where that is given.
import { extendedParts, RAW } from "./extended-community.ts";
import type { CommunityPart, Elements, ExtendedCommunity, LargeCommunity, NamedSet } from "./types.ts";

type Pattern = readonly CommunityPart[];
type Tuple = readonly number[];

class PatternSet {
  readonly #exact = new Set<string>();
  readonly #byFirst = new Map<number, Pattern[]>();
  readonly #others: Pattern[] = [];

  constructor(patterns: readonly Pattern[]) {
    for (const pattern of patterns) {
      const [first] = pattern;
      if (pattern.every((part) => typeof part === "number")) this.#exact.add(pattern.join());
      else if (typeof first !== "number") this.#others.push(pattern);
      else if (this.#byFirst.has(first)) this.#byFirst.get(first)?.push(pattern);
      else this.#byFirst.set(first, [pattern]);
    }
  }

  has(tuple: Tuple): boolean {
    if (this.#exact.size > 0 && this.#exact.has(tuple.join())) return true;
    return (
      this.#byFirst.get(tuple[0])?.some((pattern) => fits(tuple, pattern)) || this.#others.some((p) => fits(tuple, p))
    );
  }
}

function fits(tuple: Tuple, pattern: Pattern): boolean {
  for (let i = 0; i < pattern.length; i++) {
    const part = pattern[i];
    if (part === null) continue;
    if (typeof part === "number" ? part !== tuple[i] : tuple[i] < part.ge || tuple[i] > part.le) return false;
  }
  return true;
}

/** Named sets are compiled once for all statements and peers. */
const compiled = new WeakMap<NamedSet<Pattern>, PatternSet>();

function compileNamed(set: NamedSet<Pattern>): PatternSet {
  let known = compiled.get(set);
  if (!known) {
    known = new PatternSet(set.values);
    compiled.set(set, known);
  }
  return known;
}

/** How a community of one kind looks to patterns: in one or two ways. */
export type Parts<T> = (community: T) => readonly Tuple[];
export const standardParts: Parts<number> = (value) => [[value >>> 16, value & 0xffff]];
export const largeParts: Parts<LargeCommunity> = (value) => [value];
export const extendedPatternParts: Parts<ExtendedCommunity> = (value) => {
  const raw = [RAW, 0, value[0], value[1]];
  const parts = extendedParts(value);
  return parts ? [parts, raw] : [raw];
};

/** Whether a community is one of the elements. */
export type CommunityTest<T> = (community: T) => boolean;

export function anyOf<T, P extends Pattern>(elements: Elements<P>, parts: Parts<T>): CommunityTest<T> {
  const sets = elements.flatMap((element) => (isNamedSet(element) ? [compileNamed(element as NamedSet<P>)] : []));
  const inPlace = elements.filter((element): element is P => !isNamedSet(element));
  if (inPlace.length > 0) sets.push(new PatternSet(inPlace));
  return (community) => parts(community).some((tuple) => sets.some((set) => set.has(tuple)));
}

/** One test per element: a named set as a whole is one. */
export function each<T, P extends Pattern>(elements: Elements<P>, parts: Parts<T>): CommunityTest<T>[] {
  return elements.map((element) => anyOf<T, P>([element], parts));
}

export function isNamedSet(element: unknown): element is NamedSet<unknown> {
  return typeof element === "object" && element !== null && "values" in element && !Array.isArray(element);
}
