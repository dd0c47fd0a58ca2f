// Faults of a topology file, each with its line, so that all are told at once.
import { isMap, isPair, isScalar, isSeq, type LineCounter, type Node, type Pair, type Scalar } from "yaml";

export class TopologyError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.name = "TopologyError";
    this.problems = problems;
  }
}

/** Collects problems; positions come from the YAML nodes. */
export class Problems {
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #found: string[] = [];

  constructor(file: string, lines: LineCounter) {
    this.#file = file;
    this.#lines = lines;
  }

  add(at: unknown, message: string): void {
    const offset = offsetOf(at);
    const where = offset === null ? this.#file : `${this.#file}:${this.#lines.linePos(offset).line}`;
    this.#found.push(`${where}: ${message}`);
  }

  throwIfAny(): void {
    if (this.#found.length > 0) throw new TopologyError(this.#found);
  }
}

function offsetOf(at: unknown): number | null {
  if (isPair(at)) return offsetOf((at as Pair<Scalar>).key);
  return (at as Node | null)?.range?.[0] ?? null;
}

/** Nothing, or a key without a value (`node1:`). */
function isAbsent(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

/** The pairs of a map as [key, value node, pair]; adds a problem and gives none when it is not a map. */
export function entries(problems: Problems, node: unknown, what: string): [string, Node | null, Pair][] {
  if (isAbsent(node)) return [];
  if (!isMap(node)) {
    problems.add(node, `${what} must be a map of names to values`);
    return [];
  }
  return node.items.map((pair) => [String((pair.key as Scalar).value), (pair.value as Node | null) ?? null, pair]);
}

/** The items of a list; adds a problem and gives none when it is not a list. */
export function items(problems: Problems, node: unknown, what: string): Node[] {
  if (isAbsent(node)) return [];
  if (!isSeq(node)) {
    problems.add(node, `${what} must be a list`);
    return [];
  }
  return node.items as Node[];
}
