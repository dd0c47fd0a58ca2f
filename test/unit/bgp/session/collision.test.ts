import { describe, expect, it } from "vitest";
import { resolveCollision } from "../../../../bgp/session/collision.ts";

const low = { localRouterId: 1, remoteRouterId: 2, localAsn: 65001, remoteAsn: 65002 };
const high = { localRouterId: 2, remoteRouterId: 1, localAsn: 65001, remoteAsn: 65002 };
const equal = { localRouterId: 7, remoteRouterId: 7, localAsn: 65001, remoteAsn: 65002 };

describe("connection collision", () => {
  it.each([
    ["lower id keeps the neighbour's connection", low, "OpenConfirm", "remote", null, "keep-new"],
    ["lower id drops its own", low, "OpenConfirm", "local", null, "keep-other"],
    ["higher id keeps its own", high, "OpenConfirm", "local", null, "keep-new"],
    ["higher id drops the neighbour's", high, "OpenConfirm", "remote", null, "keep-other"],
    ["equal ids: higher AS wins", equal, "OpenConfirm", "remote", null, "keep-new"],
    ["equal ids: lower AS loses", equal, "OpenConfirm", "local", null, "keep-other"],
    ["Established stays", low, "Established", "remote", null, "keep-other"],
    ["Established stays, even ours against ours", high, "Established", "local", 60_000, "keep-other"],
    [
      "Established stays when the other connection was made at the same time",
      low,
      "Established",
      "remote",
      999,
      "keep-other",
    ],
    ["Established gives way to a restarted neighbour", high, "Established", "remote", 1_000, "neighbour-restarted"],
    ["an OPEN is still missing", low, "OpenSent", "remote", null, "no-collision"],
    ["no connection yet", low, "Connect", "remote", null, "no-collision"],
  ] as const)("%s", (_, ids, otherState, initiator, restartable, verdict) => {
    // With graceful restart, and Established for so many milliseconds; null: without.
    const context = { ...ids, otherState, initiator, gracefulRestart: restartable !== null };
    expect(resolveCollision({ ...context, establishedFor: restartable ?? 60_000 })).toBe(verdict);
  });

  it("both ends agree on which connection survives", () => {
    for (const [a, b] of [
      [1, 2],
      [2, 1],
      [7, 7],
    ]) {
      const survivors = [
        { localRouterId: a, remoteRouterId: b, localAsn: 65001, remoteAsn: 65002 },
        { localRouterId: b, remoteRouterId: a, localAsn: 65002, remoteAsn: 65001 },
      ].map((side, index) => {
        const verdict = resolveCollision({
          ...side,
          otherState: "OpenConfirm",
          initiator: "local",
          gracefulRestart: false,
          establishedFor: 0,
        });
        return verdict === "keep-new" ? index : 1 - index;
      });
      expect(survivors[0]).toBe(survivors[1]);
    }
  });
});
