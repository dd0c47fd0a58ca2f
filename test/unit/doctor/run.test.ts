import { describe, expect, it } from "vitest";
import { registry } from "../../../doctor/registry.ts";
import { diagnose, examine, isWell } from "../../../doctor/run.ts";
import type { DaemonFacts, Facts, Gathered } from "../../../doctor/types.ts";
import { peer } from "../api/backend.ts";

const healthy: DaemonFacts = {
  version: "1.0.0",
  memory: { rss: 100 << 20, limit: 1 << 30 },
  eventLoopDelay: { p99: 1, max: 5 },
  clockDrift: 0,
  monitoring: [],
  historyProblem: null,
  silent: [],
};
const gathered = (facts: Partial<Facts>, missing: Gathered["missing"] = {}): Gathered => ({ facts, missing });
const withDaemon = (daemon: Partial<DaemonFacts>) => examine(gathered({ daemon: { ...healthy, ...daemon } }));
const fib = {
  failed: [],
  fights: [],
  overruns: 0,
  isolation: { state: "active", reason: null },
} as unknown as Facts["fib"];

describe("the registry", () => {
  it("has every check once, under a name that fits into a label, with what it means and what to do", () => {
    expect(new Set(registry.map(({ id }) => id)).size).toBe(registry.length);
    expect(registry.length).toBeGreaterThan(80);
    for (const { id, title, cure, needs } of registry) {
      expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
      expect(title).toMatch(/^\S.*\.$/);
      expect(cure).not.toBe("");
      expect(needs.length).toBeGreaterThan(0);
    }
  });
});

describe("examining", () => {
  it("finds nothing where all is well", async () => {
    expect(await withDaemon({})).toEqual([]);
    expect(isWell([])).toBe(true);
  });

  it.each<[string, Partial<DaemonFacts>, string, RegExp]>([
    ["event-loop-late", { eventLoopDelay: { p99: 150, max: 300 } }, "warning", /late by 150 ms/],
    ["event-loop-late", { eventLoopDelay: { p99: 1500, max: 3000 } }, "fault", /late by 1500 ms/],
    ["memory-short", { memory: { rss: 900 << 20, limit: 1 << 30 } }, "warning", /uses 900 MiB of 1024 MiB/],
    ["clock-jumped", { clockDrift: -3_600_000 }, "warning", /was set back by 3600 s/],
    ["monitoring-away", { monitoring: ["BMP collector noc is not connected: ECONNREFUSED"] }, "warning", /noc/],
    ["history-paused", { historyProblem: "the disk is full" }, "warning", /disk is full/],
    ["worker-silent", { silent: [{ part: "fib worker", reason: "no answer within 20 s" }] }, "fault", /no answer/],
  ])("%s", async (check, facts, severity, said) => {
    const [finding, ...more] = await withDaemon(facts);
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ check, severity });
    expect(finding.text).toMatch(said);
    expect(finding.cure).not.toBe("");
  });

  it("a session that is down: the last error, and why there is no session any more where that is another reason", async () => {
    const reset = {
      time: 1_700_000_000,
      age: 90,
      lasted: 5,
      by: "local",
      reason: "malformed AS_PATH",
      graceful: false,
    } as const;
    const found = async (lastError: string) => {
      const down = { ...peer("tor-a", "Active"), lastError, lastReset: { ...reset, notification: null } };
      const facts = { peers: [down], config: { peers: [] }, outOfService: { peers: [] } } as unknown as Partial<Facts>;
      const only = registry.filter(({ id }) => /^peer-(down|refused|timeout)$/.test(id));
      return (await examine(gathered(facts), only)).map(({ check, text }) => `${check}: ${text}`);
    };
    expect(await found("connection refused")).toEqual([
      "peer-refused: is Active with 192.0.2.1: connection refused; its last session ended at 2023-11-14T22:13:20Z: malformed AS_PATH",
    ]);
    expect(await found("malformed AS_PATH")).toEqual(["peer-down: is Active with 192.0.2.1: malformed AS_PATH"]);
  });

  it.each([
    ["compat-mode", "net/ipv4/nexthop_compat_mode", "1"],
    ["hash-policy", "net/ipv4/fib_multipath_hash_policy", "0"],
    ["hash-policy", "net/ipv6/fib_multipath_hash_policy", "0"],
  ])("%s: %s is %s", async (check, path, value) => {
    const state = { rules: [], links: [], addresses: [], neighbours: [], nextHops: [], local: [] };
    const kernel = { state, comparison: null, hazards: [], settings: { [path]: value } } as unknown as Facts["kernel"];
    const config = { routing: { install: true, localTable: 7000, nextHopIds: {} }, tables: [], pools: [], peers: [] };
    const only = registry.filter(({ id }) => id === check);
    const findings = await examine(gathered({ kernel, config: config as unknown as Facts["config"] }), only);
    expect(findings).toMatchObject([{ check, severity: "warning", subject: path.replaceAll("/", ".") }]);
  });

  it("says that it could not look, and why; of what nobody promised it says nothing", async () => {
    const skipped = await examine(gathered({}, { firewall: "the program nft is not installed" }));
    expect(skipped.map(({ check }) => check)).toEqual(["firewall-drops-pods", "firewall-unread"]);
    expect(skipped[0]).toMatchObject({
      severity: "skipped",
      text: "not looked at: the program nft is not installed",
    });
    expect(isWell(skipped)).toBe(true);
  });

  it("tells the worst first, and of very many the first", async () => {
    const failed = Array.from({ length: 25 }, (_, i) => ({ prefix: `10.0.${i}.0/24`, table: 7100, error: "ENOSPC" }));
    const routing = { install: true, localTable: 7000 };
    const config = { routing, tables: [], pools: [], peers: [], peerGroups: [], file: "f" };
    const findings = await examine(
      gathered({
        config: config as unknown as Facts["config"],
        fib: { ...fib, failed, overruns: 3 } as Facts["fib"],
      }),
    );
    const refused = findings.filter(({ check }) => check === "route-refused");
    expect(refused).toHaveLength(21);
    expect(refused.at(-1)?.text).toBe("5 more of these");
    const severities = findings.map(({ severity }) => severity);
    expect(severities).toEqual([...severities].sort((a, b) => "fwis".indexOf(a[0]) - "fwis".indexOf(b[0])));
    expect(isWell(findings)).toBe(false);
  });
});

describe("diagnosing", () => {
  const silentPeer = (name: string) =>
    ({ name, state: "Established", import: "all", received: 0, errors: {}, prefixes: {}, stale: 0 }) as never;

  it("looks a second time at what may be settling, and keeps what is there both times", async () => {
    const looks = [
      [silentPeer("a"), silentPeer("b")],
      [silentPeer("b"), silentPeer("c")],
    ];
    const pauses: number[] = [];
    const findings = await diagnose(
      async () => gathered({ peers: looks.shift() ?? [] }),
      async (milliseconds) => void pauses.push(milliseconds),
    );
    expect(findings.filter(({ check }) => check === "peer-silent").map(({ subject }) => subject)).toEqual(["b"]);
    expect(pauses).toHaveLength(1);
  });

  it("does not, where nothing does", async () => {
    let looks = 0;
    const findings = await diagnose(
      async () => {
        looks++;
        return gathered({ daemon: { ...healthy, clockDrift: 60_000 } });
      },
      () => Promise.reject(new Error("no reason to wait")),
    );
    expect(findings).toHaveLength(1);
    expect(looks).toBe(1);
  });
});
