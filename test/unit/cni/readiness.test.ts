// What an ADD waits for, against neighbours that are told when the test says so and a clock that it moves.
import { beforeEach, describe, expect, it } from "vitest";
import { parseConfig } from "../../../cni/protocol/config.ts";
import { readyOf } from "../../../cni/protocol/ready.ts";
import { Readiness, type ReadyOptions, type ReadyOutcome, readyDefaults } from "../../../cni/readiness.ts";
import type { Announcement } from "../../../cni/types.ts";
import { ManualClock } from "../bgp/session/support.ts";

const A = "10.244.1.0/26";
const B = "2001:db8:244:1::/122";
const nobody: Announcement = { heldBack: null, told: [], waiting: [], withheld: [] };

let clock: ManualClock;
let state: Record<string, Announcement>;
let refusal: string | null;
let listeners: Set<() => void>;
let readiness: Readiness;

beforeEach(() => {
  clock = new ManualClock();
  state = { [A]: nobody, [B]: nobody };
  refusal = null;
  listeners = new Set();
  readiness = new Readiness({
    clock,
    refusal: () => refusal,
    announcements: {
      look: (block) => state[block] ?? null,
      onChange: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  });
});

function set(block: string, change: Partial<Announcement>): void {
  state[block] = { ...nobody, ...change };
  for (const listener of [...listeners]) listener();
}

const established: ReadyOptions = { level: "established", timeout: 5000, fallback: "fail" };

/** The outcome once there is one. */
function begin(options: ReadyOptions, caller?: Parameters<Readiness["wait"]>[3]): { outcome: ReadyOutcome | null } {
  const result: { outcome: ReadyOutcome | null } = { outcome: null };
  void Promise.resolve(readiness.wait("c/eth0", options, [A, B], caller)).then((outcome) => {
    result.outcome = outcome;
  });
  return result;
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Nothing is left that would call back later. */
function expectOver(): void {
  expect(clock.pending).toBe(0);
  expect(listeners.size).toBe(0);
}

describe("what is missing", () => {
  it("at level none: nothing, whatever neighbours have heard", () => {
    state[A] = { ...nobody, heldBack: "it is failed" };
    expect(readiness.missing("none", [A, B])).toBeNull();
  });

  it("at level advertised: nobody to wait for is nothing, somebody who is yet to hear is", () => {
    expect(readiness.missing("advertised", [A, B])).toBeNull();
    state[B] = { ...nobody, waiting: ["tor1", "tor2"] };
    expect(readiness.missing("advertised", [A, B])).toBe(`block ${B} has not been sent to tor1, tor2 yet`);
    state[B] = { ...nobody, waiting: ["tor1"], told: ["tor2"] };
    expect(readiness.missing("advertised", [A, B])).toBeNull();
    state[B] = { ...nobody, withheld: ["tor1"] };
    expect(readiness.missing("advertised", [A, B])).toBeNull();
    state[A] = { ...nobody, heldBack: "it is pending" };
    expect(readiness.missing("advertised", [A, B])).toBe(`block ${A} is not announced: it is pending`);
  });

  it("nothing of addresses that others announce", () => {
    expect(readiness.missing("established", ["192.0.2.7/32"])).toBeNull();
  });

  it("at level established: each block has to have been sent to somebody", () => {
    state[A] = { ...nobody, told: ["tor1"] };
    expect(readiness.missing("established", [A, B])).toBe(
      `no BGP session that block ${B} is announced to is Established`,
    );
    state[B] = { ...nobody, withheld: ["tor1"] };
    expect(readiness.missing("established", [A, B])).toBe(`no export policy lets block ${B} out (tor1)`);
    state[B] = { ...nobody, told: ["tor2"] };
    expect(readiness.missing("established", [A, B])).toBeNull();
  });
});

describe("waiting", () => {
  it("is not needed when all is as it should be: no timer, no promise", () => {
    expect(readiness.wait("c/eth0", readyDefaults, [A, B], undefined)).toEqual({ kind: "ready" });
    expectOver();
  });

  it("ends with the last block that a neighbour is sent", async () => {
    const add = begin(established);
    set(A, { told: ["tor1"] });
    await settled();
    expect(add.outcome).toBeNull();
    set(B, { told: ["tor1"] });
    await settled();
    expect(add.outcome).toEqual({ kind: "ready" });
    expectOver();
  });

  it("ends when the time has passed, with the reason of then", async () => {
    const add = begin(established);
    clock.advance(4999);
    await settled();
    expect(add.outcome).toBeNull();
    set(A, { told: ["tor1"] });
    clock.advance(1);
    await settled();
    expect(add.outcome).toEqual({
      kind: "late",
      reason: `no BGP session that block ${B} is announced to is Established`,
    });
    expectOver();
  });

  it("with no time to wait is late at once", () => {
    expect(readiness.wait("c/eth0", { ...established, timeout: 0 }, [A], undefined)).toMatchObject({ kind: "late" });
  });

  it("is called off by a DEL, also by one that came first and waits behind the ADD", async () => {
    const add = begin(established);
    const left = readiness.leaving("c/eth0");
    await settled();
    expect(add.outcome).toEqual({ kind: "called off", reason: "its DEL has come" });
    expect(await readiness.wait("c/eth0", established, [A], undefined)).toMatchObject({ kind: "called off" });
    const another = readiness.leaving("c/eth0");
    left();
    expect(await readiness.wait("c/eth0", established, [A], undefined)).toMatchObject({ kind: "called off" });
    another();
    const again = begin(established);
    await settled();
    expect(again.outcome).toBeNull();
    readiness.leaving("other/eth0");
    await settled();
    expect(again.outcome).toBeNull();
    set(A, { told: ["tor1"] });
    set(B, { told: ["tor1"] });
    await settled();
    expect(again.outcome).toEqual({ kind: "ready" });
    expectOver();
  });

  it("is called off when the caller goes, when the node is drained, when the daemon stops", async () => {
    let gone = () => {};
    const caller = { gone: false, onGone: (listener: () => void) => (gone = listener) };
    const first = begin(established, caller);
    caller.gone = true;
    gone();
    await settled();
    expect(first.outcome).toMatchObject({ kind: "called off", reason: expect.stringContaining("gone without") });
    const second = begin(established);
    refusal = "this node is drained";
    set(A, {});
    await settled();
    expect(second.outcome).toEqual({ kind: "called off", reason: "this node is drained" });
    refusal = null;
    const third = begin(established);
    readiness.stop();
    await settled();
    expect(third.outcome).toEqual({ kind: "called off", reason: "underlayd is stopping" });
    expectOver();
  });
});

describe("the network configuration", () => {
  const of = (keys: object) =>
    readyOf(
      parseConfig(Buffer.from(JSON.stringify({ cniVersion: "1.0.0", name: "n", type: "underlay", ...keys }))).raw,
      readyDefaults,
    );

  it("stands before the daemon's", () => {
    expect(of({})).toEqual(readyDefaults);
    expect(of({ ready: "established", readyTimeout: "1m30s", readyFallback: "fail" })).toEqual({
      level: "established",
      timeout: 90_000,
      fallback: "fail",
    });
    expect(of({ readyTimeout: 2 }).timeout).toBe(2000);
    expect(of({ readyTimeout: "250ms" }).timeout).toBe(250);
  });

  it.each([
    [{ ready: "soon" }, `"ready": "soon" must be one of "advertised", "established", "none"`],
    [{ ready: true }, `"ready": true must be one of`],
    [{ readyFallback: "wait" }, `"readyFallback": "wait" must be one of "attach", "fail"`],
    [{ readyTimeout: "a while" }, `"readyTimeout": "a while" must be a duration up to 100s`],
    [{ readyTimeout: -1 }, `"readyTimeout": -1 must be`],
    [{ readyTimeout: "2h" }, `"readyTimeout": "2h" must be`],
  ])("%j is refused with code 7", (keys, message) => {
    expect(() => of(keys)).toThrow(expect.objectContaining({ code: 7, message: expect.stringContaining(message) }));
  });
});
