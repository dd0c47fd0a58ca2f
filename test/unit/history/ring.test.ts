// The flight recorder on disk: what is appended comes back, in order and within its size, whatever cut it short.
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HistoryRecord, ownTypes } from "../../../history/format.ts";
import { lastRun } from "../../../history/last-run.ts";
import { readHistory } from "../../../history/reader.ts";
import { Ring } from "../../../history/ring.ts";
import { systemClock } from "../../../net/clock.ts";

let directory: string;
const rings: Ring[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ul-history-"));
});
afterEach(async () => {
  for (const ring of rings.splice(0)) await ring.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Setup {
  readonly size?: number;
  readonly path?: string;
  readonly bootId?: string;
}

const problems: (string | null)[] = [];
let wallTime = Date.parse("2026-11-26T03:12:00Z");

function ringOf({ size = 1 << 20, path = directory, bootId = "boot-1" }: Setup = {}): Ring {
  const ring = new Ring(
    { directory: path, size, header: { pid: 42, bootId, version: "1.2.3" } },
    {
      clock: systemClock,
      wallTime: () => wallTime,
      state: () => ({ daemon: "running" }),
      onProblem: (problem) => problems.push(problem),
    },
  );
  rings.push(ring);
  return ring;
}

async function opened(setup: Setup = {}): Promise<Ring> {
  const ring = ringOf(setup);
  await ring.open();
  return ring;
}

const own: readonly string[] = ownTypes;
const read = (path = directory) => [...readHistory(path)];
const events = (records: readonly HistoryRecord[]) => records.filter(({ type }) => !own.includes(type));
const bytesOnDisk = () => readdirSync(directory).reduce((sum, file) => sum + statSync(join(directory, file)).size, 0);
const segments = () => readdirSync(directory).sort();

describe("a ring", () => {
  it("gives back what was appended, with numbers, times and how everything was", async () => {
    const ring = await opened();
    ring.append("session", { type: "session", peer: "tor-a", to: "Established" });
    ring.append("kernel", { message: "Umlaute: äöü, 🎉" }, true, Date.parse("2026-11-26T03:11:59.5Z"));
    await ring.close();
    const records = read();
    expect(records).toMatchObject([
      { seq: 1, type: "segment", format: 1, pid: 42, bootId: "boot-1" },
      { seq: 2, type: "state", daemon: "running" },
      { seq: 3, type: "session", time: "2026-11-26T03:12:00.000Z", peer: "tor-a", to: "Established" },
      { seq: 4, type: "kernel", time: "2026-11-26T03:11:59.500Z", message: "Umlaute: äöü, 🎉" },
    ]);
    expect(records.every(({ up }) => Number.isInteger(up))).toBe(true);
    expect(statSync(join(directory, segments()[0])).mode & 0o777).toBe(0o600);
  });

  it("goes on counting over a restart, in a segment of its own", async () => {
    const first = await opened();
    first.append("daemon", { kind: "start" });
    await first.close();
    const second = await opened();
    second.append("daemon", { kind: "start" });
    await second.close();
    expect(read().map(({ seq, type }) => `${seq} ${type}`)).toEqual(
      ["segment", "state", "daemon", "segment", "state", "daemon"].map((type, i) => `${i + 1} ${type}`),
    );
    expect(segments()).toHaveLength(2);
  });

  it("tells of a clock that was set", async () => {
    const ring = await opened();
    ring.append("pod", { n: 1 });
    wallTime += 3_600_000;
    ring.append("pod", { n: 2 });
    wallTime -= 3_600_000;
    ring.append("pod", { n: 3 });
    await ring.close();
    const told = read().filter(({ kind }) => kind === "clock");
    expect(told.map(({ message }) => message)).toEqual([
      "the clock was set forward by 3600.0 s",
      "the clock was set back by 3600.0 s",
    ]);
    expect(events(read()).map(({ n }) => n)).toEqual([1, 2, 3]);
  });

  it("whatever is appended, restarted and rotated, a suffix comes back in order, within the size", async () => {
    const step = fc.oneof(
      {
        weight: 20,
        arbitrary: fc.record({
          kind: fc.constant("append" as const),
          length: fc.nat(9000),
          count: fc.integer({ min: 1, max: 60 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("wait" as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        rmSync(directory, { recursive: true });
        let ring = await opened();
        let n = 0;
        for (const step of steps) {
          if (step.kind === "append")
            for (let i = 0; i < step.count; i++) ring.append("pod", { n: n++, text: "ä".repeat(step.length / 2) });
          else if (step.kind === "restart") {
            await ring.close();
            ring = await opened();
          } else await new Promise((resolve) => setTimeout(resolve, 110));
          expect(bytesOnDisk()).toBeLessThanOrEqual(1 << 20);
        }
        await ring.close();
        expect(bytesOnDisk()).toBeLessThanOrEqual(1 << 20);
        expect(ring.bytes).toBe(bytesOnDisk());
        const records = read();
        const numbers = events(records).map((record) => record["n"] as number);
        expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => n - numbers.length + i));
        // Half of the room is in use at least, when there was as much.
        if (numbers.length < n) expect(bytesOnDisk()).toBeGreaterThan(1 << 19);
        expect(records.map(({ seq }) => seq)).toEqual(records.map((_, i) => records[0]?.seq + i));
        expect(records[0]?.type).toBe("segment");
      }),
      { numRuns: 12 },
    );
  });

  it("takes a tail cut anywhere for what it is", async () => {
    const ring = await opened();
    for (let n = 0; n < 5; n++) ring.append("pod", { n });
    await ring.close();
    const [file] = segments();
    const path = join(directory, file);
    const whole = readFileSync(path);
    const ends = [...whole.keys()].filter((i) => whole[i] === 10);
    for (let size = whole.length; size >= 0; size--) {
      truncateSync(path, size);
      const complete = ends.filter((end) => end <= size).length;
      expect(read()).toHaveLength(complete);
      writeFileSync(path, whole);
    }
    // And goes on after it: in a new segment, with the number after the last whole record.
    truncateSync(path, whole.length - 3);
    const next = await opened();
    next.append("pod", { n: 5 });
    await next.close();
    expect(events(read()).map(({ n }) => n)).toEqual([0, 1, 2, 3, 5]);
  });

  it("passes over lines that are no records, and counts them", async () => {
    const ring = await opened();
    ring.append("pod", { n: 1 });
    await ring.close();
    appendFileSync(
      join(directory, segments()[0]),
      '{"seq":1e99}\n\0\0\0\n[]\nnull\n"x"\n{"seq":99,"time":"t","type":"pod","n":2}\n',
    );
    const result = { damaged: 0 };
    expect(events([...readHistory(directory, result)]).map(({ n }) => n)).toEqual([1, 2]);
    expect(result.damaged).toBe(5);
  });

  it("writes last words in the very call", async () => {
    const ring = await opened();
    for (let n = 0; n < 100; n++) ring.append("pod", { n, text: "x".repeat(1000) });
    ring.flushNow();
    expect(events(read()).map(({ n }) => n)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it("notices that its files were removed, and begins anew", async () => {
    let now = 0;
    const ring = new Ring(
      { directory, size: 1 << 20, header: {} },
      {
        clock: { now: () => now, after: (_delay, callback) => systemClock.after(1, callback) },
        wallTime: () => now,
        state: () => null,
        onProblem: () => {},
      },
    );
    rings.push(ring);
    await ring.open();
    rmSync(directory, { recursive: true });
    now = 20_000;
    ring.append("pod", { n: 1 });
    await ring.close();
    expect(events(read()).map(({ n }) => n)).toEqual([1]);
  });

  it("takes stock before it writes what came earlier, however long that takes", async () => {
    for (let run = 0; run < 20; run++) {
      const ring = new Ring(
        { directory, size: 1 << 20, header: {} },
        {
          clock: { now: () => 0, after: (_delay, callback) => systemClock.after(0, callback) },
          wallTime: () => 0,
          state: () => null,
          onProblem: () => {},
        },
      );
      for (let n = 0; n < 5; n++) ring.append("pod", { n: run * 5 + n });
      await ring.open();
      await ring.close();
    }
    expect(events(read()).map(({ n }) => n)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it("drops what a disk cannot take in time, and says how much", async () => {
    const ring = ringOf({ size: 64 << 20 });
    const text = "x".repeat(100_000);
    for (let n = 0; n < 50; n++) ring.append("pod", { n, text });
    await ring.open();
    await ring.close();
    const records = read();
    const lost = records.find(({ kind }) => kind === "lost");
    expect(events(records).length + (lost?.["count"] as number)).toBe(50);
    expect(ring.lost).toBe(lost?.["count"]);
  });

  it("pauses where it cannot write, and goes on when it can", async () => {
    problems.length = 0;
    // A file is in the directory's place: the same code path as a full disk, without one.
    const path = join(directory, "history");
    writeFileSync(path, "");
    const ring = await opened({ path });
    ring.append("pod", { n: 1 });
    expect(ring.problem).toMatch(/the flight recorder pauses, .*history: /);
    rmSync(path);
    for (let i = 0; ring.problem !== null && i < 400; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    await ring.close();
    expect(problems.map((problem) => problem === null)).toEqual([false, true]);
    const records = read(path);
    expect(records.find(({ kind }) => kind === "paused")?.["message"]).toContain("the flight recorder pauses");
    expect(events(records).map(({ n }) => n)).toEqual([1]);
  });
});

describe("the last run", () => {
  it.each([
    ["daemon", { kind: "stopped" }, "stopped", null],
    ["daemon", { kind: "failed", message: "no" }, "stopped", null],
    ["daemon", { kind: "crash", message: "boom" }, "crash", "boom"],
    ["daemon", { kind: "running" }, "lost", null],
    ["pod", { kind: "stopped" }, "lost", null],
  ])("that ended with %s %j was %s", async (type, fields, end, message) => {
    const ring = await opened();
    ring.append(type, fields);
    await ring.close();
    expect(lastRun(directory)).toEqual({ end, message, time: expect.any(String), bootId: "boot-1", pid: 42 });
  });

  it("is unknown where there is none", () => {
    expect(lastRun(directory)).toBeNull();
    expect(lastRun(join(directory, "none"))).toBeNull();
  });
});
