import { describe, expect, it } from "vitest";
import { resolveCollision } from "../../../../bgp/session/collision.ts";

const low = { localRouterId: 1, remoteRouterId: 2, localAsn: 65001, remoteAsn: 65002 };
const high = { localRouterId: 2, remoteRouterId: 1, localAsn: 65001, remoteAsn: 65002 };
const equal = { localRouterId: 7, remoteRouterId: 7, localAsn: 65001, remoteAsn: 65002 };

describe("connection collision", () => {
  it.each([
    ["lower id keeps the neighbour's connection", low, "OpenConfirm", "remote", false, "keep-new"],
    ["lower id drops its own", low, "OpenConfirm", "local", false, "keep-other"],
    ["higher id keeps its own", high, "OpenConfirm", "local", false, "keep-new"],
    ["higher id drops the neighbour's", high, "OpenConfirm", "remote", false, "keep-other"],
    ["equal ids: higher AS wins", equal, "OpenConfirm", "remote", false, "keep-new"],
    ["equal ids: lower AS loses", equal, "OpenConfirm", "local", false, "keep-other"],
    ["Established stays", low, "Established", "remote", false, "keep-other"],
    ["Established stays, even ours against ours", high, "Established", "local", true, "keep-other"],
    ["Established gives way to a restarted neighbour", high, "Established", "remote", true, "neighbour-restarted"],
    ["an OPEN is still missing", low, "OpenSent", "remote", false, "no-collision"],
    ["no connection yet", low, "Connect", "remote", false, "no-collision"],
  ] as const)("%s", (_, ids, otherState, initiator, gracefulRestart, verdict) => {
    expect(resolveCollision({ ...ids, otherState, initiator, gracefulRestart })).toBe(verdict);
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
        });
        return verdict === "keep-new" ? index : 1 - index;
      });
      expect(survivors[0]).toBe(survivors[1]);
    }
  });
});
