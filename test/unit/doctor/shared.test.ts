// What the doctor says of shared pools.
import { describe, expect, it } from "vitest";
import { sharedChecks } from "../../../doctor/checks/shared.ts";
import type { Facts, SharedFacts } from "../../../doctor/types.ts";

const well: SharedFacts = {
  state: { kind: "connected", reason: null, seconds: 5 },
  warnings: [],
  failures: [],
  nodes: [],
  exceptions: [{ pool: "default", used: 3, budget: 32 }],
};

function findings(shared: Partial<SharedFacts>): string[] {
  const facts = { shared: { ...well, ...shared }, config: { node: { name: "node1" } } } as unknown as Facts;
  return sharedChecks.flatMap((check) =>
    [...check.run(facts)].map(({ subject, text }) => `${check.id} ${subject} ${text}`),
  );
}

const node = (name: string, alive: boolean, blocks: string[]) => ({
  node: name,
  rack: null,
  since: "",
  alive,
  blocks: blocks.map((prefix) => ({ prefix, pool: "default", state: "confirmed" })),
  lent: 0,
  borrowed: 0,
  identities: 0,
});

describe("shared pools", () => {
  it("are nothing to speak of when all is well, or none is there", () => {
    expect(findings({})).toEqual([]);
    expect(findings({ state: null, nodes: null, exceptions: [{ pool: "default", used: 0, budget: 0 }] })).toEqual([]);
  });

  it.each<[Partial<SharedFacts>, string]>([
    [
      { state: { kind: "degraded", reason: "no endpoint answers", seconds: 42 } },
      "etcd-unreachable etcd cannot be asked for 42 s now: no endpoint answers",
    ],
    [
      { state: { kind: "conflict", reason: "machine b has this name", seconds: 1 } },
      "node-name-taken node1 machine b has this name",
    ],
    [
      { failures: [{ pool: "default", family: 6, code: "limit", message: "16 blocks are the most" }] },
      "claim-failed default no further IPv6 block: 16 blocks are the most",
    ],
    [{ warnings: ['pool "a" is defined otherwise'] }, 'pool-defined-otherwise etcd pool "a" is defined otherwise'],
    [
      {
        nodes: [node("node2", false, ["10.0.0.0/26"]), node("node3", true, ["10.0.1.0/26"]), node("node4", false, [])],
      },
      "node-not-seen node2 is not seen, and has 10.0.0.0/26",
    ],
    [
      { exceptions: [{ pool: "default", used: 2, budget: 2 }] },
      "exceptions-used-up default 2 of 2 exceptions are in use",
    ],
  ])("%j", (shared, finding) => expect(findings(shared)).toEqual([finding]));
});
