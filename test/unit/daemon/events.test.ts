// The event hub and what feeds it: operations on the kernel in both forms, problems as they come and go, and the rates of
// the flight recorder.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { WatchEvent } from "../../../daemon/api/events.ts";
import type { StatusView } from "../../../daemon/api/types.ts";
import { EventHub } from "../../../daemon/events.ts";
import { OperationFeed } from "../../../daemon/operation-feed.ts";
import { ProblemWatch } from "../../../daemon/problem-watch.ts";
import { Recorder } from "../../../daemon/recorder.ts";
import { readHistory } from "../../../history/reader.ts";
import { type Clock, systemClock } from "../../../net/clock.ts";
import { silentLog } from "../../../net/log.ts";
import type { KernelOperation, KernelOperations, RouteOperations } from "../../../routing/types.ts";

const single: KernelOperation = { kind: "operation", at: 0, operation: "add", object: "rule", rule: "9: from all" };
const sum: KernelOperations = {
  kind: "operations",
  at: 0,
  operation: "add",
  object: "route",
  count: 3,
  milliseconds: 1,
};

function columns(count: number): RouteOperations {
  return {
    at: 1,
    count,
    operations: new Uint8Array(count),
    families: new Uint8Array(count).fill(4),
    addresses: new Uint8Array(count * 16).map((_, i) => (i % 16 === 0 ? 10 : i % 16 === 3 ? (i >> 4) & 255 : 0)),
    lengths: new Uint8Array(count).fill(32),
    tables: new Uint32Array(count).fill(7100),
    nextHops: new Uint32Array(count).fill(5),
    types: new Uint8Array(count).fill(1),
    interfaces: new Uint32Array(count),
    errors: [[1, "EINVAL"]],
  };
}

describe("operations on the kernel", () => {
  it("come summed up, or one by one for those who want that, and to nobody twice", async () => {
    const hub = new EventHub();
    const feed = new OperationFeed(hub, String);
    const wanted: boolean[] = [];
    hub.onDetail = (on) => wanted.push(on);
    const few: WatchEvent[] = [];
    const every: WatchEvent[] = [];
    hub.subscribe({ event: (event) => few.push(event) });
    const end = hub.subscribe({ event: (event) => every.push(event), lost: () => {} });
    feed.operations([single, sum]);
    feed.routes(columns(100));
    while (every.length < 101) await new Promise((resolve) => setImmediate(resolve));
    expect(few.map(({ kind }) => kind)).toEqual(["operation", "operations"]);
    expect(every).toHaveLength(101);
    expect(every[0]).toEqual({
      time: "1970-01-01T00:00:00.000Z",
      type: "kernel",
      kind: "operation",
      operation: "add",
      object: "rule",
      rule: "9: from all",
    });
    expect(every[2]).toEqual({
      time: "1970-01-01T00:00:00.001Z",
      type: "kernel",
      kind: "operation",
      operation: "add",
      object: "route",
      prefix: "10.0.0.1/32",
      table: 7100,
      nextHop: 5,
      error: "EINVAL",
    });
    end();
    end();
    expect(wanted).toEqual([true, false]);
    feed.routes(columns(1));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(every).toHaveLength(101);
  });

  it("that cannot wait any longer are counted", async () => {
    const hub = new EventHub();
    const feed = new OperationFeed(hub, String);
    let seen = 0;
    let lost = 0;
    hub.subscribe({
      event: () => seen++,
      lost: (count) => {
        lost += count;
      },
    });
    for (let i = 0; i < 100; i++) feed.routes(columns(1000));
    expect(lost).toBe(35_000);
    while (seen < 65_000) await new Promise((resolve) => setImmediate(resolve));
    expect(seen + lost).toBe(100_000);
  });

  it("never take the place of time and type", () => {
    const hub = new EventHub();
    const events: WatchEvent[] = [];
    hub.subscribe({ event: (event) => events.push(event) });
    hub.emit("daemon", { kind: "k", message: "m", type: "x", time: "y" }, 0);
    expect(events).toEqual([{ time: "1970-01-01T00:00:00.000Z", type: "daemon", kind: "k", message: "m" }]);
  });
});

describe("problems", () => {
  it("are told when they come and go, not when they try again or count on", async () => {
    const hub = new EventHub();
    const told: string[] = [];
    hub.subscribe({
      event: ({ type, kind, problem }) => void (type === "problem" && told.push(`${kind}: ${problem}`)),
    });
    let problems: string[] = [];
    const due: (() => void)[] = [];
    const clock: Clock = {
      now: () => 0,
      after: (_delay, callback) => {
        due.push(callback);
        return { cancel: () => void due.splice(due.indexOf(callback) >>> 0, 1) };
      },
    };
    const watch = new ProblemWatch(hub, clock, async () => ({ problems }) as unknown as StatusView);
    watch.start();
    const look = async (now: string[]) => {
      problems = now;
      due.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
      return told.splice(0);
    };
    expect(await look([])).toEqual([]);
    expect(await look(["peer a is Idle: x", "3 routes refused by the kernel, first 10.0.0.0/8: EINVAL"])).toEqual([
      "appeared: peer a is Idle: x",
      "appeared: 3 routes refused by the kernel, first 10.0.0.0/8: EINVAL",
    ]);
    expect(await look(["peer a is Connect: y", "4 routes refused by the kernel, first 10.0.0.0/8: EINVAL"])).toEqual(
      [],
    );
    const fight = (times: number) =>
      `rule 7 has been changed or deleted again and again since 2026, by ip (pid ${times}), and put back ${times} times`;
    expect(
      await look(["peer a is Connect", "4 routes refused by the kernel, first 10.0.0.0/8: EINVAL", fight(5)]),
    ).toEqual([`appeared: ${fight(5)}`]);
    expect(
      await look(["peer a is Connect", "4 routes refused by the kernel, first 10.0.0.0/8: EINVAL", fight(6)]),
    ).toEqual([]);
    expect(await look(["peer a is Connect", "4 routes refused by the kernel, first 10.0.0.0/8: EINVAL"])).toEqual([
      `gone: ${fight(5)}`,
    ]);
    expect(await look(["peer a is Connect", "peer b is Idle"])).toEqual([
      "gone: 3 routes refused by the kernel, first 10.0.0.0/8: EINVAL",
      "appeared: peer b is Idle",
    ]);
    watch.stop();
    expect(due).toEqual([]);
  });
});

describe("the recorder", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "ul-recorder-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  async function record(work: (hub: EventHub) => void | Promise<void>) {
    const events = new EventHub();
    const state = () => ({
      daemon: "running",
      peers: [],
      blocks: [],
      tables: [],
      kernel: { desired: 0, installed: 0, failed: 0 },
      pods: 0,
      problems: [],
    });
    const recorder = new Recorder(
      { directory, size: 8 << 20, node: "n1" },
      { events, clock: systemClock, log: silentLog, state },
    );
    recorder.start();
    await work(events);
    await recorder.stop("stopped", "done");
    expect(recorder.view()).toMatchObject({ lost: 0, problem: null });
    return [...readHistory(directory)];
  }

  const connect = { kind: "state", type: "session", peer: "a", from: "Idle", to: "Connect", reason: "" } as const;

  it("keeps floods of one type to a rate and says how many it left out; what matters comes through", async () => {
    const records = await record(async (hub) => {
      for (let i = 0; i < 5000; i++) hub.emit("session", connect);
      hub.emit("session", { ...connect, to: "Established" });
      hub.emit("bfd", { peer: "a", from: "Up", to: "Down", reason: "r", failed: true, independent: false });
      await new Promise((resolve) => setTimeout(resolve, 1100));
    });
    const sessions = records.filter(({ type, to }) => type === "session" && to === "Connect").length;
    const leftOut = records.filter(({ kind }) => kind === "leftOut");
    expect(sessions).toBeLessThan(2100);
    expect(sessions + leftOut.reduce((all, { count }) => all + (count as number), 0)).toBe(5000);
    expect(leftOut[0]?.["of"]).toBe("session");
    expect(records.some(({ type, to }) => type === "session" && to === "Established")).toBe(true);
    expect(records.some(({ type }) => type === "bfd")).toBe(true);
  });

  it("names routes to a rate, and counts the rest", async () => {
    const changes = Array.from({ length: 64 }, (_, i) => ({ prefix: `10.0.0.${i}/32`, peer: "a", nextHops: [] }));
    const event = { type: "route", table: "fabric", family: 4, count: 1000, changes } as const;
    const records = await record(async (hub) => {
      for (let i = 0; i < 50; i++) hub.emit("route", event);
    });
    const routes = records.filter(({ type }) => type === "route");
    expect(routes.reduce((all, { count }) => all + (count as number), 0)).toBe(50_000);
    expect(routes.filter((route) => (route["changes"] as []).length > 0).length).toBeLessThan(33);
    expect(routes.at(-1)).toMatchObject({ table: "fabric", family: 4, changes: [] });
  });

  it("takes an answer to STATUS down when it is another one", async () => {
    const status = (error: string | null) => ({
      verb: "STATUS",
      containerId: "",
      ifname: "",
      exitCode: 0,
      error,
      milliseconds: 1,
    });
    const records = await record((hub) => {
      for (const error of [null, null, "down", "down", null, null]) hub.emit("cni", status(error));
      hub.emit("cni", { ...status(null), verb: "ADD" });
    });
    expect(records.filter(({ type }) => type === "cni").map(({ verb, error }) => `${verb} ${error}`)).toEqual([
      "STATUS null",
      "STATUS down",
      "STATUS null",
      "ADD null",
    ]);
  });

  it("says how the last run ended", async () => {
    await record(() => {});
    const [start] = (await record(() => {})).filter(({ kind }) => kind === "start").slice(-1);
    expect(start?.["lastRun"]).toMatchObject({ end: "stopped" });
    expect(start?.["message"]).toMatch(/starts, process \d+; the last run was stopped at /);
  });
});
