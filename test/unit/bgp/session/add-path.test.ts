import { describe, expect, it } from "vitest";
import { noRestart } from "../../../../bgp/session/graceful-restart.ts";
import { buildOpen, negotiate } from "../../../../bgp/session/negotiate.ts";
import type { Capability } from "../../../../bgp/wire/capability.ts";
import type { OpenMessage } from "../../../../bgp/wire/open.ts";
import { peerOptions } from "./support.ts";

const endpoints = {
  localAddress: Uint8Array.of(10, 0, 0, 1),
  remoteAddress: Uint8Array.of(10, 0, 0, 2),
  localLinkLocal: null,
  localAddress6: null,
  localAddress4: null,
  ifindex: 0,
};
const capabilities: Capability[] = [
  { kind: "multiprotocol", afi: 1, safi: 1 },
  { kind: "multiprotocol", afi: 2, safi: 1 },
  { kind: "as4", asn: 65002 },
];
const open = (...more: Capability[]): OpenMessage => ({
  version: 4,
  asn: 65002,
  holdTime: 90,
  routerId: 0x0a000002,
  capabilities: [...capabilities, ...more],
});

describe("ADD-PATH (RFC 7911)", () => {
  const both = { receive: true, send: "all" as const, limit: 16 };
  const offer = (entries: Extract<Capability, { kind: "addPath" }>["entries"]) => open({ kind: "addPath", entries });
  const entry = (afi: number, receive: boolean, send: boolean) => ({ afi, safi: 1, receive, send });
  const agreed = (options: Parameters<typeof peerOptions>[0], remote: OpenMessage) =>
    negotiate(peerOptions(options), remote, endpoints).addPath;

  it("is offered for each family, in the directions that are configured", () => {
    const entriesOf = (options: Parameters<typeof peerOptions>[0]) =>
      buildOpen(peerOptions(options), noRestart).capabilities.find(({ kind }) => kind === "addPath");
    expect(entriesOf({ addPath: both })).toEqual({
      kind: "addPath",
      entries: [entry(1, true, true), entry(2, true, true)],
    });
    expect(entriesOf({ families: [6], addPath: { ...both, send: null } })).toEqual({
      kind: "addPath",
      entries: [entry(2, true, false)],
    });
    expect(entriesOf({ addPath: null })).toBeUndefined();
    expect(entriesOf({})).toBeUndefined();
  });

  it.each<[string, OpenMessage, { receive: number[]; send: number[] } | undefined]>([
    ["both both ways", offer([entry(1, true, true), entry(2, true, true)]), { receive: [4, 6], send: [4, 6] }],
    ["a neighbour that sends only", offer([entry(1, false, true)]), { receive: [4], send: [] }],
    ["a neighbour that receives only", offer([entry(2, true, false)]), { receive: [], send: [6] }],
    ["another SAFI", offer([{ afi: 1, safi: 4, receive: true, send: true }]), undefined],
    ["no capability", open(), undefined],
  ])("%s", (_, remote, expected) => {
    expect(agreed({ addPath: both }, remote)).toEqual(expected);
  });

  it("a direction that one side did not offer is off", () => {
    const all = offer([entry(1, true, true), entry(2, true, true)]);
    expect(agreed({ addPath: { ...both, send: null } }, all)).toEqual({ receive: [4, 6], send: [] });
    expect(agreed({ addPath: { ...both, receive: false } }, all)).toEqual({ receive: [], send: [4, 6] });
    expect(agreed({ addPath: null }, all)).toBeUndefined();
    expect(agreed({ addPath: both, families: [4] }, all)).toEqual({ receive: [4], send: [4] });
    expect(agreed({ addPath: both }, offer([entry(1, false, false)]))).toBeUndefined();
  });
});
