import { describe, expect, it } from "vitest";
import { formatCommunities, formatCommunity } from "../../../bgp/community-text.ts";
import { emptyAttributes } from "../../../bgp/wire/path-attributes.ts";
import { community } from "../../../config/community-scalars.ts";

describe("communities in words", () => {
  it.each([
    [0xfde90064, "65001:100"],
    [0xffff0000, "graceful-shutdown"],
    [0xffff0006, "llgr-stale"],
    [0xffff0007, "no-llgr"],
    [0xffff029a, "blackhole"],
    [0xffffff01, "no-export"],
    [0xffffff02, "no-advertise"],
    [0xffffff03, "no-export-subconfed"],
    [0xffffff04, "no-peer"],
    [0xffffff05, "65535:65285"],
  ])("%i is %s, which the configuration takes", (value, text) => {
    expect(formatCommunity(value)).toBe(text);
    expect(community.parse(text)).toBe(value);
  });

  it.each([
    [0x0002fde9, 100, "rt:65001:100"],
    [0x0102c000, 0x02010007, "rt:192.0.2.1:7"],
    [0x0203fa56, 0xea020007, "ro:4200000002:7"],
    [0x4004fde9, 0x4cee6b28, "bandwidth:65001:125000000"],
    [0x0004fde9, 0x3fc00000, "bandwidth:65001:1.5"],
    [0x4004fde9, 0x7fc00000, "0x4004fde97fc00000"],
    [0x4004fde9, 0xbfc00000, "0x4004fde9bfc00000"],
    [0x030c0000, 8, "0x030c000000000008"],
  ])("extended %s %s: %s", (high, low, text) => {
    expect(formatCommunities({ ...emptyAttributes, extendedCommunities: [[high, low]] })).toEqual([text]);
  });
});
