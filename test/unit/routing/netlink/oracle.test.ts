// Our codecs against those of the npm package `netlink`, an independent implementation, both ways: it parses what we
// encode, and we decode what it formats.
import * as oracle from "netlink/dist/rt/structs.js";
import { AttrStream } from "netlink/dist/structs.js";
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../../net/address.ts";
import { decodeAddress, encodeNewAddress } from "../../../../routing/netlink/address.ts";
import { decodeLink, encodeNewVeth, encodeSetLink } from "../../../../routing/netlink/link.ts";
import { HEADER_LENGTH, MessageWriter, messageView, readMessage } from "../../../../routing/netlink/message.ts";
import { decodeNeighbour, encodeNewNeighbour } from "../../../../routing/netlink/neighbour.ts";
import { decodeNextHop, encodeNewGroup, encodeNewNextHop } from "../../../../routing/netlink/nexthop.ts";
import { decodeRoute, encodeNewRoute, encodeRouteById, encodeRouteRequest } from "../../../../routing/netlink/route.ts";
import { decodeRule, encodeNewRule } from "../../../../routing/netlink/rule.ts";

const address = (text: string) => parseAddress(text)!;
const mac = Uint8Array.of(2, 0, 0, 0, 0, 7);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const u16be = (value: number) => Buffer.of(value >>> 8, value & 255);

interface Message {
  data: Record<string, unknown>;
  attrs: Record<string, unknown>;
}

interface Case {
  name: string;
  encode: (out: MessageWriter) => void;
  parse: (body: Buffer) => unknown;
  format: (message: never, out: AttrStream) => void;
  decode: (buffer: Buffer, start: number, end: number) => unknown;
  data: Record<string, unknown>;
  attrs: Record<string, unknown>;
  /** What we read back of it. */
  value: Record<string, unknown>;
}

const cases: Case[] = [
  {
    name: "IPv4 route by nexthop id, from columns",
    encode: (out) =>
      encodeRouteById(
        out,
        0x600,
        4,
        7100,
        201,
        201,
        new Uint32Array(Uint8Array.of(0, 0, 0, 0, 10, 9, 0, 0).buffer),
        1,
        16,
        1_000_000,
      ),
    parse: oracle.parseRouteMessage,
    format: oracle.formatRouteMessage,
    decode: decodeRoute,
    data: { family: 2, dstLen: 16, srcLen: 0, tos: 0, table: 0, protocol: 201, scope: "UNIVERSE", type: "UNICAST" },
    attrs: { dst: Buffer.of(10, 9, 0, 0), table: 7100, priority: 201, nhId: u32(1_000_000) },
    value: {
      family: 4,
      length: 16,
      table: 7100,
      protocol: 201,
      type: 1,
      scope: 0,
      priority: 201,
      nextHopId: 1_000_000,
    },
  },
  {
    name: "IPv6 blackhole",
    encode: (out) =>
      encodeNewRoute(out, 0x600, {
        family: 6,
        table: 100,
        destination: address("2001:db8::"),
        length: 48,
        type: 6,
        protocol: 201,
        priority: 65535,
      }),
    parse: oracle.parseRouteMessage,
    format: oracle.formatRouteMessage,
    decode: decodeRoute,
    data: { family: 10, dstLen: 48, table: 100, protocol: 201, type: "BLACKHOLE" },
    attrs: { dst: Buffer.from(address("2001:db8::")), table: 100, priority: 65535 },
    value: { family: 6, destination: address("2001:db8::"), length: 48, type: 6, nextHopId: 0, hops: [] },
  },
  {
    name: "pod route",
    encode: (out) =>
      encodeNewRoute(out, 0x600, {
        family: 4,
        table: 7000,
        destination: address("10.0.0.5"),
        length: 32,
        scope: 253,
        protocol: 201,
        oif: 7,
      }),
    parse: oracle.parseRouteMessage,
    format: oracle.formatRouteMessage,
    decode: decodeRoute,
    data: { dstLen: 32, scope: "LINK", type: "UNICAST" },
    attrs: { dst: Buffer.of(10, 0, 0, 5), oif: 7, table: 7000 },
    value: { scope: 253, hops: [{ ifindex: 7, gateway: null, weight: 1 }] },
  },
  {
    name: "rule",
    encode: (out) =>
      encodeNewRule(out, {
        family: 4,
        priority: 1010,
        source: address("10.244.1.0"),
        sourceLength: 26,
        destination: address("192.0.2.0"),
        destinationLength: 24,
        action: 1,
        table: 7100,
        protocol: 201,
        suppressPrefixLength: 4,
      }),
    parse: oracle.parseRuleMessage,
    format: oracle.formatRuleMessage,
    decode: decodeRule,
    data: { family: 2, srcLen: 26, dstLen: 24, table: 0, action: "toTbl" },
    attrs: { priority: 1010, table: 7100, src: Buffer.of(10, 244, 1, 0), dst: Buffer.of(192, 0, 2, 0) },
    value: {
      family: 4,
      priority: 1010,
      source: address("10.244.1.0"),
      sourceLength: 26,
      destination: address("192.0.2.0"),
      destinationLength: 24,
      table: 7100,
      protocol: 201,
      suppressPrefixLength: 4,
      more: false,
    },
  },
  {
    name: "nexthop",
    encode: (out) => encodeNewNextHop(out, 77, 201, 3, address("2001:db8::2")),
    parse: oracle.parseNextHopMessage,
    format: oracle.formatNextHopMessage,
    decode: decodeNextHop,
    data: { family: 10, protocol: 201, flags: { onlink: true } },
    attrs: { id: 77, oif: 3, gateway: Buffer.from(address("2001:db8::2")) },
    value: {
      id: 77,
      protocol: 201,
      ifindex: 3,
      gateway: address("2001:db8::2"),
      group: null,
      blackhole: false,
      flags: 4,
    },
  },
  {
    name: "nexthop group",
    encode: (out) =>
      encodeNewGroup(out, 78, 201, [
        { id: 77, weight: 1 },
        { id: 76, weight: 256 },
      ]),
    parse: oracle.parseNextHopMessage,
    format: oracle.formatNextHopMessage,
    decode: decodeNextHop,
    data: { family: 0, protocol: 201 },
    attrs: { id: 78, group: Buffer.from([77, 0, 0, 0, 0, 0, 0, 0, 76, 0, 0, 0, 255, 0, 0, 0]) },
    value: {
      id: 78,
      gateway: null,
      group: [
        { id: 77, weight: 1 },
        { id: 76, weight: 256 },
      ],
    },
  },
  {
    name: "IPv6 address without duplicate detection",
    encode: (out) => encodeNewAddress(out, { ifindex: 3, address: address("2001:db8::5"), length: 128, flags: 2 }),
    parse: oracle.parseAddressMessage,
    format: oracle.formatAddressMessage,
    decode: decodeAddress,
    data: { family: 10, prefixlen: 128, scope: 0, index: 3 },
    attrs: { address: Buffer.from(address("2001:db8::5")), local: Buffer.from(address("2001:db8::5")) },
    value: { ifindex: 3, local: address("2001:db8::5"), peer: address("2001:db8::5"), length: 128, flags: 2 },
  },
  {
    name: "neighbour",
    encode: (out) => encodeNewNeighbour(out, { ifindex: 3, address: address("169.254.1.1"), mac }),
    parse: oracle.parseNeighborMessage,
    format: oracle.formatNeighborMessage,
    decode: decodeNeighbour,
    data: { family: 2, ifindex: 3 },
    attrs: { dst: Buffer.of(169, 254, 1, 1), lladdr: Buffer.from(mac) },
    value: { ifindex: 3, address: address("169.254.1.1"), mac, state: 0x80 },
  },
  {
    name: "link change",
    encode: (out) =>
      encodeSetLink(out, { ifindex: 9 }, { rename: "eth0", mtu: 1400, mac, group: 5, alias: "pod", up: true }),
    parse: oracle.parseLinkMessage,
    format: oracle.formatLinkMessage,
    decode: decodeLink,
    data: { index: 9 },
    attrs: { ifname: "eth0", mtu: 1400, address: Buffer.from(mac), group: 5 },
    value: { ifindex: 9, name: "eth0", mtu: 1400, mac, group: 5, alias: "pod", kind: null },
  },
  {
    name: "veth pair",
    encode: (out) => encodeNewVeth(out, { name: "host0", mtu: 1400 }, { name: "eth0", mtu: 1400, netnsFd: 12 }, true),
    parse: oracle.parseLinkMessage,
    format: oracle.formatLinkMessage,
    decode: decodeLink,
    data: { index: 0 },
    attrs: { ifname: "host0", mtu: 1400 },
    value: { name: "host0", mtu: 1400, kind: "veth" },
  },
];

function bodyOf(encode: (out: MessageWriter) => void): Buffer {
  const out = new MessageWriter(64);
  encode(out);
  const view = messageView();
  expect(readMessage(out.buffer, 0, out.length, view)).toBe(out.length);
  expect(view).toMatchObject({ body: HEADER_LENGTH, end: out.length });
  return Buffer.from(out.buffer.subarray(view.body, view.end));
}

describe("codecs and their oracle", () => {
  it.each(cases)("agree on: $name", ({ encode, parse, format, decode, data, attrs, value }) => {
    const body = bodyOf(encode);
    const parsed = parse(body) as Message;
    expect(parsed.data).toMatchObject(data);
    expect(parsed.attrs).toMatchObject(attrs);
    expect(decode(body, 0, body.length)).toMatchObject(value);

    const stream = new AttrStream();
    format(parsed as never, stream);
    const formatted = Buffer.concat(stream.bufs);
    expect(decode(formatted, 0, formatted.length)).toMatchObject(value);
  });

  it("read rules with every condition that the oracle can write", () => {
    const stream = new AttrStream();
    oracle.formatRuleMessage(
      {
        data: { family: 2, tos: 0x10, action: "toTbl" },
        attrs: {
          priority: 10,
          table: 100,
          uidRange: { start: 1000, end: 2000 },
          ipProto: 17,
          sportRange: { start: 53, end: 54 },
          dportRange: { start: 1000, end: 2000 },
          suppressIfgroup: u32(7),
          suppressPrefixlen: u32(8),
        },
      } as never,
      stream,
    );
    const body = Buffer.concat(stream.bufs);
    expect(decodeRule(body, 0, body.length)).toMatchObject({
      priority: 10,
      tos: 0x10,
      dscp: null,
      uidRange: [1000, 2000],
      ipProtocol: 17,
      sourcePorts: [53, 54],
      destinationPorts: [1000, 2000],
      suppressInterfaceGroup: 7,
      suppressPrefixLength: 8,
      unknown: false,
      more: true,
    });
  });

  it("ask for the route of a flow", () => {
    const body = bodyOf((out) =>
      encodeRouteRequest(out, {
        family: 4,
        destination: address("10.0.0.1"),
        source: address("192.0.0.1"),
        iif: 3,
        oif: 0,
        mark: 7,
        tos: 0x10,
        uid: 1000,
        ipProtocol: 17,
        sourcePort: 53,
        destinationPort: 1500,
        flags: 0x1000,
      }),
    );
    const parsed = oracle.parseRouteMessage(body) as unknown as Message;
    expect(parsed.data).toMatchObject({ family: 2, dstLen: 32, srcLen: 32, tos: 0x10, table: 0, protocol: 0 });
    expect(parsed.data.flags).toMatchObject({ lookupTable: true });
    expect(parsed.attrs).toMatchObject({
      dst: Buffer.of(10, 0, 0, 1),
      src: Buffer.of(192, 0, 0, 1),
      iif: 3,
      mark: u32(7),
      uid: u32(1000),
      ipProto: Buffer.of(17),
      sport: u16be(53),
      dport: u16be(1500),
    });
    expect(parsed.attrs.oif).toBeUndefined();
  });

  it("read a route for certain sources with a preferred one, and the flags of its hops", () => {
    const body = bodyOf((out) => {
      out.begin(24, 0);
      for (const byte of [10, 20, 48, 0, 254, 99, 0, 1]) out.u8(byte);
      out.u32(0x11);
      out.attributeBytes(1, address("3fff::"));
      out.attributeBytes(2, address("2001:db8::"));
      out.attributeU32(4, 7);
      out.attributeBytes(7, address("2001:db8::1"));
      out.attributeU8(20, 1);
      out.end();
    });
    expect(decodeRoute(body, 0, body.length)).toMatchObject({
      length: 20,
      source: address("2001:db8::"),
      sourceLength: 48,
      preferredSource: address("2001:db8::1"),
      preference: 1,
      hops: [{ ifindex: 7, gateway: null, weight: 1, flags: 0x11 }],
    });
  });

  it("leave an IPv4 route over an IPv6 gateway to us: the oracle takes RTA_VIA for a fixed struct", () => {
    const body = bodyOf((out) =>
      encodeNewRoute(out, 0x600, {
        family: 4,
        table: 7000,
        destination: null,
        length: 0,
        protocol: 201,
        oif: 7,
        gateway: address("fe80::1"),
      }),
    );
    expect(decodeRoute(body, 0, body.length)).toMatchObject({
      length: 0,
      destination: address("0.0.0.0"),
      hops: [{ ifindex: 7, gateway: address("fe80::1"), weight: 1 }],
    });
  });
});
