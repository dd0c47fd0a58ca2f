// What the checks share: the parsed sections, the names in the file, and where problems and warnings go.
import type { ParseResult } from "./parse.ts";
import type { ConfigProblem } from "./problem.ts";
import { quote, suggestion } from "./scalar.ts";
import type { Parsed } from "./schema.ts";
import type { Path, Source } from "./source.ts";

type At = "key" | "value";

export class Check {
  readonly source: Source;
  readonly parsed: Parsed;
  readonly names: ParseResult["names"];
  readonly problems: ConfigProblem[];
  readonly warnings: ConfigProblem[] = [];
  readonly #used = new Set<string>();

  constructor(source: Source, result: ParseResult) {
    this.source = source;
    this.parsed = result.parsed;
    this.names = result.names;
    this.problems = result.problems;
  }

  problem(path: Path, message: string, hint: string | null = null, at: At = "value"): void {
    this.problems.push(this.source.problem(path, message, hint, at));
  }

  warning(path: Path, message: string, hint: string | null = null, at: At = "value"): void {
    this.warnings.push(this.source.problem(path, message, hint, at));
  }

  line(path: Path, at: At = "value"): number {
    return this.source.locate(path, at).line;
  }

  /** Whether something is written at the very path. */
  isWritten(path: Path): boolean {
    return this.source.isWritten(path);
  }

  /** Whether somebody has referred to it. */
  isUsed(kind: string, name: string): boolean {
    return this.#used.has(`${kind} ${name}`);
  }

  /** A reference to something that has to be there under that name; `others` may have been meant instead. */
  reference(path: Path, name: string, kind: string, names: readonly string[], others: readonly string[] = []): void {
    this.#used.add(`${kind} ${name}`);
    if (names.includes(name)) return;
    const listed = names.length > 0 ? `there are: ${names.join(", ")}` : "there are none";
    const hint = suggestion(name, [...names, ...others]) ?? listed;
    this.problem(path, `there is no ${kind} ${quote(name)}`, hint);
  }

  /** The name of the table that a pool or a peer uses; null when that is not decidable. */
  tableName(path: Path, given: string | undefined): string | null {
    const { tables } = this.names;
    if (given !== undefined) {
      this.reference([...path, "table"], given, "table", tables);
      return tables.includes(given) ? given : null;
    }
    if (tables.includes("fabric")) return "fabric";
    if (tables.length === 1) return tables[0];
    const hint = tables.length > 0 ? `there are: ${tables.join(", ")}` : "add a table under tables";
    this.problem([...path, "table"], "is missing: there is no table called fabric to take", hint);
    return null;
  }
}
