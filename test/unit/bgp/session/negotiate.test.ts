import { describe, expect, it } from "vitest";
import { noRestart } from "../../../../bgp/session/graceful-restart.ts";
import { buildOpen, negotiate } from "../../../../bgp/session/negotiate.ts";
import { isExternal } from "../../../../bgp/session/remote-asn.ts";
import type { Capability } from "../../../../bgp/wire/capability.ts";
import { WireError } from "../../../../bgp/wire/error.ts";
import { decodeOpen, encodeOpen, type OpenMessage } from "../../../../bgp/wire/open.ts";
import { AS_TRANS, Role } from "../../../../bgp/wire/registry.ts";
import { gracefulRestartOptions } from "../support.ts";
import { peerOptions } from "./support.ts";

const endpoints = {
  localAddress: Uint8Array.of(10, 0, 0, 1),
  remoteAddress: Uint8Array.of(10, 0, 0, 2),
  localLinkLocal: null,
  localAddress6: null,
  localAddress4: null,
  ifindex: 0,
};
const ipv4: Capability = { kind: "multiprotocol", afi: 1, safi: 1 };
const ipv6: Capability = { kind: "multiprotocol", afi: 2, safi: 1 };
const as4 = (asn: number): Capability => ({ kind: "as4", asn });
const open = (fields: Partial<OpenMessage> = {}): OpenMessage => ({
  version: 4,
  asn: 65002,
  holdTime: 90,
  routerId: 0x0a000002,
  capabilities: [ipv4, ipv6, as4(65002)],
  ...fields,
});

function failure(options: Parameters<typeof peerOptions>[0], remote: OpenMessage): string {
  try {
    negotiate(peerOptions(options), remote, endpoints);
  } catch (error) {
    if (error instanceof WireError) return `${error.code}/${error.subcode} ${error.message}`;
    throw error;
  }
  return "accepted";
}

describe("refused OPENs", () => {
  it.each([
    ["AS not the configured one", { remoteAsn: 65003 }, open(), /^2\/2 .*AS 65002.*65003/],
    ["external wanted, our AS", { remoteAsn: "external" }, open({ asn: 65001, capabilities: [as4(65001)] }), /^2\/2/],
    ["internal wanted, another AS", { remoteAsn: "internal" }, open(), /^2\/2 .*65002.*65001/],
    ["AS 0", { remoteAsn: "external" }, open({ asn: 0, capabilities: [] }), /^2\/2/],
    ["AS 0 in the capability", { remoteAsn: "external" }, open({ capabilities: [as4(0)] }), /^2\/2/],
    ["router id 0", {}, open({ routerId: 0 }), /^2\/3 .*0\.0\.0\.0/],
    [
      "our router id within the AS",
      { remoteAsn: 65001 },
      open({ asn: 65001, capabilities: [as4(65001)], routerId: 0x0a000001 }),
      /^2\/3 .*10\.0\.0\.1/,
    ],
    ["hold time 1", {}, open({ holdTime: 1 }), /^2\/6/],
    ["no family in common", { families: [6] }, open({ capabilities: [ipv4] }), /^2\/7 .*IPv6 unicast/],
    ["no capabilities means IPv4", { families: [6] }, open({ capabilities: [] }), /^2\/7/],
  ] as const)("%s", (_, options, remote, expected) => {
    expect(failure(options as Parameters<typeof peerOptions>[0], remote)).toMatch(expected);
  });

  it("accepts our router id from another AS (RFC 6286)", () => {
    expect(failure({}, open({ routerId: 0x0a000001 }))).toBe("accepted");
  });
});

describe("what two OPENs agree on", () => {
  it.each([
    ["lower hold time, a third for keepalives", {}, open({ holdTime: 30 }), { holdTime: 30, keepaliveTime: 10 }],
    ["hold time 0 switches both off", {}, open({ holdTime: 0 }), { holdTime: 0, keepaliveTime: 0 }],
    ["ours 0", { holdTime: 0 }, open(), { holdTime: 0, keepaliveTime: 0 }],
    ["hold time 3", {}, open({ holdTime: 3 }), { holdTime: 3, keepaliveTime: 1 }],
    ["common families", { families: [4, 6] }, open({ capabilities: [ipv6] }), { families: [6], as4: false }],
    ["a neighbour of 1995", {}, open({ capabilities: [] }), { families: [4], as4: false, routeRefresh: false }],
    ["four octets", {}, open({ asn: AS_TRANS, capabilities: [as4(4200000001)] }), { remoteAsn: 4200000001, as4: true }],
    [
      "iBGP",
      { remoteAsn: "internal" },
      open({ asn: 65001, capabilities: [as4(65001)] }),
      { ebgp: false, remoteAsn: 65001 },
    ],
    ["no extended next hop unless both", { extendedNextHop: true }, open(), { extendedNextHop: false }],
    [
      "extended next hop",
      { extendedNextHop: true },
      open({ capabilities: [ipv4, { kind: "extendedNextHop", entries: [{ afi: 1, safi: 1, nextHopAfi: 2 }] }] }),
      { extendedNextHop: true },
    ],
    [
      "graceful restart",
      {},
      open({
        capabilities: [
          {
            kind: "gracefulRestart",
            restarting: true,
            notification: false,
            time: 120,
            families: [
              { afi: 1, safi: 1, forwarding: true },
              { afi: 2, safi: 1, forwarding: false },
              { afi: 1, safi: 4, forwarding: true },
            ],
          },
        ],
      }),
      {
        gracefulRestart: {
          restarting: true,
          time: 120,
          families: new Map([
            [4, true],
            [6, false],
          ]),
        },
      },
    ],
  ] as const)("%s", (_, options, remote, expected) => {
    expect(negotiate(peerOptions(options as object), remote as OpenMessage, endpoints)).toMatchObject(expected);
  });
});

describe("our OPEN", () => {
  it("survives its encoding with everything offered", () => {
    const options = peerOptions({
      localAsn: 4200000001,
      extendedNextHop: true,
      gracefulRestart: gracefulRestartOptions,
    });
    const restart = { restarting: true, forwarding: (_: unknown, family: number) => family === 4 };
    const built = buildOpen(options, restart);
    expect(built.asn).toBe(AS_TRANS);
    const bytes = encodeOpen(built);
    const decoded = decodeOpen(bytes, 19, bytes.length);
    expect(decoded).toEqual(built);
    expect(decoded.capabilities.map(({ kind }) => kind).sort()).toEqual(
      [
        "as4",
        "enhancedRouteRefresh",
        "extendedNextHop",
        "gracefulRestart",
        "multiprotocol",
        "multiprotocol",
        "routeRefresh",
      ].sort(),
    );
    expect(decoded.capabilities.find(({ kind }) => kind === "gracefulRestart")).toMatchObject({
      restarting: true,
      families: [
        { afi: 1, forwarding: true },
        { afi: 2, forwarding: false },
      ],
    });
  });

  it("offers no more than was asked for", () => {
    const built = buildOpen(peerOptions({ families: [6], extendedNextHop: true }), noRestart);
    expect(built.capabilities.map(({ kind }) => kind)).toEqual([
      "multiprotocol",
      "routeRefresh",
      "enhancedRouteRefresh",
      "as4",
    ]);
  });

  it("both sides of two OPENs come to the same result", () => {
    const a = peerOptions({ localAsn: 65001, routerId: 1, holdTime: 9, families: [4, 6], extendedNextHop: true });
    const b = peerOptions({ localAsn: 65002, routerId: 2, holdTime: 90, families: [6, 4], extendedNextHop: true });
    const [left, right] = [
      negotiate(a, buildOpen(b, noRestart), endpoints),
      negotiate(b, buildOpen(a, noRestart), endpoints),
    ];
    for (const key of ["holdTime", "as4", "ebgp", "extendedNextHop", "routeRefresh", "maxMessage"] as const)
      expect(left[key]).toEqual(right[key]);
    expect([...left.families].sort()).toEqual([...right.families].sort());
  });

  it.each([
    ["external", true],
    ["internal", false],
    [65001, false],
    [65002, true],
  ] as const)("remote AS %s is eBGP: %s", (remoteAsn, expected) => {
    expect(isExternal({ localAsn: 65001, remoteAsn })).toBe(expected);
  });
});

describe("roles (RFC 9234)", () => {
  const { PROVIDER, CUSTOMER, PEER, ROUTE_SERVER, ROUTE_SERVER_CLIENT } = Role;
  const says = (...roles: number[]) =>
    open({ capabilities: [ipv4, as4(65002), ...roles.map((role) => ({ kind: "role" as const, role }))] });

  it("goes out with our OPEN, and comes back from the wire", () => {
    const sent = buildOpen(peerOptions({ role: CUSTOMER }), noRestart);
    const message = encodeOpen(sent);
    expect(decodeOpen(message, 19, message.length).capabilities).toContainEqual({ kind: "role", role: CUSTOMER });
    expect(buildOpen(peerOptions(), noRestart).capabilities.some(({ kind }) => kind === "role")).toBe(false);
  });

  const roles = [PROVIDER, ROUTE_SERVER, ROUTE_SERVER_CLIENT, CUSTOMER, PEER];
  const pairs = [
    [PROVIDER, CUSTOMER],
    [CUSTOMER, PROVIDER],
    [ROUTE_SERVER, ROUTE_SERVER_CLIENT],
    [ROUTE_SERVER_CLIENT, ROUTE_SERVER],
    [PEER, PEER],
  ];
  it.each(roles.flatMap((ours) => [...roles, 5, 255].map((theirs) => [ours, theirs])))(
    "ours %s, theirs %s",
    (ours, theirs) => {
      const fits = pairs.some(([a, b]) => a === ours && b === theirs);
      expect(failure({ role: ours }, says(theirs))).toMatch(
        fits ? /^accepted$/ : /^2\/11 neighbour's role is .* has to be/,
      );
    },
  );

  it.each([
    ["none", { role: CUSTOMER }, says(), /^accepted$/],
    ["none, but it has to", { role: CUSTOMER, requireRole: true }, says(), /^2\/11 .*no role.*customer.*provider/],
    ["the right one twice", { role: PEER }, says(PEER, PEER), /^accepted$/],
    ["two", { role: PEER }, says(PEER, CUSTOMER), /^2\/11 .*two roles/],
    ["one, we have none", {}, says(PEER), /^accepted$/],
    ["within our AS", { role: PEER, remoteAsn: 65002, localAsn: 65002 }, says(CUSTOMER), /^accepted$/],
  ] as const)("theirs: %s", (_, options, remote, expected) => {
    expect(failure(options, remote)).toMatch(expected);
  });
});
