// What is wrong with a configuration, for the person who wrote it: where, what, and what to write instead.

export interface ProblemFields {
  readonly file: string;
  /** Counted from 1; 0: the file as a whole. */
  readonly line: number;
  readonly column: number;
  /** The keys from the top, `peers.tor-a.asn`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  readonly hint: string | null;
}

export class ConfigProblem implements ProblemFields {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
  readonly hint: string | null;

  constructor(fields: ProblemFields) {
    this.file = fields.file;
    this.line = fields.line;
    this.column = fields.column;
    this.path = fields.path;
    this.message = fields.message;
    this.hint = fields.hint;
  }

  /** `underlay.yaml:12:5: peers.tor-a.asn: "abc" is not an AS number`, and the hint on a line of its own. */
  toString(): string {
    const place = this.line > 0 ? `${this.file}:${this.line}:${this.column}` : this.file;
    const what = this.path === "" ? this.message : `${this.path}: ${this.message}`;
    return this.hint === null ? `${place}: ${what}` : `${place}: ${what}\n  hint: ${this.hint}`;
  }
}

/** Everything that is wrong, in the order of the file; `message` is all of it as text. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const ordered = [...problems].sort(byPlace);
    super(ordered.join("\n"));
    this.name = "ConfigError";
    this.problems = ordered;
  }
}

export function byPlace(a: ConfigProblem, b: ConfigProblem): number {
  return a.line - b.line || a.column - b.column;
}
