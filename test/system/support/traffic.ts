// Packets both ways, counted exactly (traffic.c). A Traffic has one end per namespace; `during` sends while something
// happens and says what became of each direction and family.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { terminate } from "../../interop/support/namespace.ts";
import { sleep, waitFor } from "../../interop/support/wait.ts";

/** Milliseconds that the last packets may take. */
const ARRIVAL = 400;

export interface EndOptions {
  /** Path of its network namespace. */
  readonly netns: string;
  readonly addresses: readonly [ipv4: string, ipv6: string];
  /** Does not send: another place for the packets to arrive at. */
  readonly silent?: boolean;
}

/** One direction and family. */
export interface Flow {
  readonly sent: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly reordered: number;
  /** Longest time between two arrivals of one flow, milliseconds; each sends a packet in 16. */
  readonly longestGap: number;
  /** What is missing, as `flow:from-to`. */
  readonly missing: readonly string[];
}

/** By `from a 4`, ... Packets for which a receiving socket had no room are counted apart. */
export interface Outcome {
  readonly flows: Readonly<Record<string, Flow>>;
  readonly overflows: number;
}

interface Stream {
  readonly sender: number;
  readonly family: 4 | 6;
  readonly flow: number;
  readonly duplicates: number;
  readonly reordered: number;
  readonly gap: number;
  readonly ranges: readonly (readonly [from: number, to: number])[];
}

interface Report {
  readonly overflows: number;
  readonly streams: readonly Stream[];
}

const FLOWS = 16;

class End {
  readonly id: number;
  readonly silent: boolean;
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  #ended = false;
  readonly ready: Promise<unknown>;

  constructor(program: string, id: number, { netns, addresses, silent = false }: EndOptions, peer: EndOptions) {
    this.id = id;
    this.silent = silent;
    this.#child = spawn("nsenter", [`--net=${netns}`, "--", program, String(id), ...addresses, ...peer.addresses], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = createInterface({ input: this.#child.stdout! });
    this.#lines.on("line", (line) => this.#waiting.shift()?.resolve(line));
    this.#child.once("exit", () => {
      this.#ended = true;
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("traffic has ended"));
    });
    this.ready = this.#answer();
  }

  ask<T>(command: string): Promise<T> {
    const answer = this.#answer<T>();
    this.#child.stdin!.write(`${command}\n`);
    return answer;
  }

  close(): Promise<void> {
    return terminate(this.#child, "SIGKILL");
  }

  #answer<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(new Error("traffic has ended"));
      this.#waiting.push({ resolve: (line) => resolve(JSON.parse(line) as T), reject });
    });
  }
}

export class Traffic {
  readonly #a: End[];
  readonly #b: End[];
  #epoch = 0;

  private constructor(a: End[], b: End[]) {
    this.#a = a;
    this.#b = b;
  }

  /** Builds traffic.c into `directory`. */
  static compile(directory: string): string {
    const program = join(directory, "traffic");
    execFileSync("cc", ["-O2", "-Wall", "-Wextra", "-o", program, join(import.meta.dirname, "traffic.c")]);
    return program;
  }

  /** Between any of `a` and any of `b`; those of one side have the same addresses. */
  static async start(program: string, a: readonly EndOptions[], b: readonly EndOptions[]): Promise<Traffic> {
    const first = a.map((end, i) => new End(program, i, end, b[0]));
    const second = b.map((end, i) => new End(program, a.length + i, end, a[0]));
    await Promise.all([...first, ...second].map((end) => end.ready));
    return new Traffic(first, second);
  }

  /** Sends both ways from before `work` until `after` milliseconds behind its end. */
  async during(work: () => Promise<unknown>, { before = 200, after = 300 } = {}): Promise<Outcome> {
    const ends = [...this.#a, ...this.#b];
    const epoch = ++this.#epoch;
    // Receivers first: the first packet of an end that has started finds the others in the new epoch.
    await Promise.all(ends.map((end) => end.ask(`listen ${epoch}`)));
    await Promise.all(ends.filter((end) => !end.silent).map((end) => end.ask(`begin`)));
    try {
      await sleep(before);
      await work();
      await sleep(after);
    } finally {
      await Promise.all(ends.map((end) => end.ask("stop")));
    }
    return this.#outcome();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#a, ...this.#b].map((end) => end.close()));
  }

  async #outcome(): Promise<Outcome> {
    const sent = new Map<number, Record<4 | 6, number>>();
    for (const end of [...this.#a, ...this.#b]) sent.set(end.id, await end.ask("stop"));
    let reports: Report[] = [];
    const read = async (from: readonly End[], to: readonly End[], name: string) => {
      const flows: Record<string, Flow> = {};
      reports = await Promise.all(to.map((end) => end.ask<Report>("report")));
      for (const family of [4, 6] as const)
        for (const end of from.filter(({ silent }) => !silent))
          flows[`from ${name} IPv${family}`] = flow(
            sent.get(end.id)![family],
            reports.flatMap(({ streams }) => streams.filter((s) => s.sender === end.id && s.family === family)),
          );
      return { flows, overflows: reports.reduce((sum, { overflows }) => sum + overflows, 0) };
    };
    const all = async (): Promise<Outcome> => {
      const [there, back] = [await read(this.#a, this.#b, "a"), await read(this.#b, this.#a, "b")];
      return { flows: { ...there.flows, ...back.flows }, overflows: there.overflows + back.overflows };
    };
    let outcome = await all();
    await waitFor(
      async () => {
        outcome = await all();
        return Object.values(outcome.flows).every(({ lost }) => lost === 0);
      },
      "the last packets",
      { timeout: ARRIVAL, interval: 20 },
    ).catch(() => undefined);
    return outcome;
  }
}

function flow(sent: number, streams: readonly Stream[]): Flow {
  const missing: string[] = [];
  let lost = 0;
  for (let number = 0; number < FLOWS; number++) {
    const count = Math.floor((sent - number + FLOWS - 1) / FLOWS);
    const seen = new Uint8Array(count);
    for (const { ranges } of streams.filter((stream) => stream.flow === number))
      for (const [from, to] of ranges) seen.fill(1, from, to + 1);
    for (let i = 0; i < count; i++) {
      if (seen[i] === 1) continue;
      const from = i;
      while (i + 1 < count && seen[i + 1] === 0) i++;
      lost += i + 1 - from;
      missing.push(`${number}:${from}-${i}`);
    }
  }
  const sum = (of: (stream: Stream) => number) => streams.reduce((total, stream) => total + of(stream), 0);
  return {
    sent,
    lost,
    duplicates: sum(({ duplicates }) => duplicates),
    reordered: sum(({ reordered }) => reordered),
    longestGap: Math.max(0, ...streams.map(({ gap }) => gap)) / 1000,
    missing,
  };
}
