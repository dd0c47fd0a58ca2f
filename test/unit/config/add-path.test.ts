import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../config/load.ts";
import { NODE } from "./bad/case.ts";

describe("ADD-PATH", () => {
  it.each([
    ["false", null],
    ["receive", { receive: true, send: null, limit: 16 }],
    ["send", { receive: false, send: "all", limit: 16 }],
    ["both", { receive: true, send: "all", limit: 16 }],
    ["{}", { receive: true, send: null, limit: 16 }],
    ["{ send: multipath }", { receive: true, send: "multipath", limit: 16 }],
    ["{ receive: false, send: 2 }", { receive: false, send: 2, limit: 16 }],
    ["{ send: all, limit: 64 }", { receive: true, send: "all", limit: 64 }],
  ])("addPath: %s", (text, addPath) => {
    const peers = `peers:\n  t: { address: 192.0.2.1, asn: internal, addPath: ${text} }\n`;
    expect(parseConfig(NODE + peers, "f").config.peers[0].addPath).toEqual(addPath);
  });
});
