// Writing for people: aligned tables, colour only on a terminal, and never an escape sequence that came from elsewhere
// (a neighbour's shutdown text, a pod's name).
import { once } from "node:events";

export type Colour = "green" | "red" | "yellow" | "dim" | "bold";

const codes: Readonly<Record<Colour, number>> = { green: 32, red: 31, yellow: 33, dim: 2, bold: 1 };

export interface Cell {
  readonly text: string;
  readonly colour?: Colour;
}

export type Row = readonly (string | number | null | Cell)[];

export interface Column {
  readonly title: string;
  readonly align?: "right";
}

/** Rows that are looked at before the widths are settled. */
const LOOK_AHEAD = 500;

export class Output {
  readonly #stream: NodeJS.WriteStream;
  readonly #colour: boolean;

  constructor(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv) {
    this.#stream = stream;
    this.#colour = Boolean(stream.isTTY) && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  }

  /** Waits while the reader is slow. */
  async write(text: string): Promise<void> {
    if (!this.#stream.write(text)) await once(this.#stream, "drain");
  }

  async line(text = ""): Promise<void> {
    await this.write(`${text}\n`);
  }

  paint(text: string, colour?: Colour): string {
    return this.#colour && colour ? `\x1b[${codes[colour]}m${text}\x1b[0m` : text;
  }

  /** A table of any length: widths come from the first rows, later ones stay within them or stick out. */
  async table(columns: readonly Column[], rows: AsyncIterable<Row> | Iterable<Row>): Promise<number> {
    let ahead: Cell[][] = [columns.map(({ title }) => ({ text: title, colour: "dim" }))];
    const widths: number[] = columns.map(() => 0);
    let settled = false;
    let count = 0;
    const flush = async () => {
      if (!settled)
        for (const row of ahead)
          for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i], width(cell.text));
      settled = true;
      let text = "";
      for (const row of ahead) text += `${this.#rowText(row, columns, widths)}\n`;
      ahead = [];
      await this.write(text);
    };
    for await (const row of rows) {
      ahead.push(row.map(cellOf));
      count++;
      if (ahead.length >= LOOK_AHEAD) await flush();
    }
    await flush();
    return count;
  }

  #rowText(row: readonly Cell[], columns: readonly Column[], widths: readonly number[]): string {
    const parts = row.map(({ text, colour }, index) => {
      const gap = " ".repeat(Math.max(0, widths[index] - width(text)));
      const painted = this.paint(text, colour);
      return columns[index].align === "right" ? gap + painted : painted + gap;
    });
    return parts.join("  ").trimEnd();
  }
}

function cellOf(cell: Row[number]): Cell {
  if (typeof cell === "object" && cell !== null) return { ...cell, text: plain(cell.text) };
  return { text: cell === null || cell === "" ? "-" : plain(String(cell)) };
}

const width = (text: string) => [...text].length;

/** Control characters made visible. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0)!;
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** `3d04h`, `1h02m`, `5m09s`, `42s`; `-` for none. */
export function duration(seconds: number | null): string {
  if (seconds === null) return "-";
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const [d, h, m, s] = [
    Math.floor(whole / 86400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60,
    whole % 60,
  ];
  if (d > 0) return `${d}d${two(h)}h`;
  if (h > 0) return `${h}h${two(m)}m`;
  return m > 0 ? `${m}m${two(s)}s` : `${s}s`;
}

/** `88 MiB` */
export function mebibytes(bytes: number): string {
  return `${Math.round(bytes / (1 << 20))} MiB`;
}
