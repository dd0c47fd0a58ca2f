// What the demonstration writes to the terminal: headings, tables, results, and the summary with timings.
const colour = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code: number, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);

interface Result {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly milliseconds: number;
}

export class Report {
  readonly #started = performance.now();
  readonly #results: Result[] = [];
  #last = performance.now();

  heading(text: string): void {
    this.write(`\n${paint(1, `== ${text}`)}`);
  }

  /** A step that may take a while. */
  progress(text: string): void {
    this.write(paint(2, `   ${this.seconds().padStart(5)} s  ${text}`));
  }

  /** Output of a program, with the command that shows it. */
  output(where: string, command: string, text: string): void {
    this.write(paint(36, `   ${where}# ${command}`));
    for (const line of text.trimEnd().split("\n")) this.write(`   ${line.trimEnd()}`);
  }

  /** The time counted is the one since the previous result. */
  result(name: string, ok: boolean, detail: string): void {
    const now = performance.now();
    this.#results.push({ name, ok, detail, milliseconds: now - this.#last });
    this.#last = now;
    this.write(`   ${ok ? paint(32, "ok  ") : paint(31, "FAIL")}  ${name}${detail ? `: ${detail}` : ""}`);
  }

  table(header: readonly string[], rows: readonly (readonly string[])[]): void {
    for (const line of formatTable(header, rows)) this.write(`   ${line}`);
  }

  get ok(): boolean {
    return this.#results.length > 0 && this.#results.every((result) => result.ok);
  }

  summary(): void {
    this.heading("Summary");
    this.table(
      ["", "check", "seconds", "result"],
      this.#results.map(({ name, ok, detail, milliseconds }) => [
        ok ? "ok" : "FAIL",
        name,
        (milliseconds / 1000).toFixed(2),
        detail,
      ]),
    );
    const failed = this.#results.filter((result) => !result.ok).length;
    const words = failed === 0 ? paint(32, "all passed") : paint(31, `${failed} FAILED`);
    this.write(`\n   ${this.#results.length} checks, ${words}, ${this.seconds()} s`);
  }

  seconds(): string {
    return ((performance.now() - this.#started) / 1000).toFixed(1);
  }

  write(line: string): void {
    process.stdout.write(`${line}\n`);
  }
}

/** Columns as wide as their widest cell, two spaces apart. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("  ")
      .trimEnd(),
  );
}
