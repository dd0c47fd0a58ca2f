// BMP messages, octet by octet as RFC 7854 §4 and RFC 9069 §4 draw them.
import { describe, expect, it } from "vitest";
import { pauseAfter } from "../../../../bgp/monitor/bmp/connection.ts";
import {
  type BmpPeer,
  InformationType,
  PeerFlag,
  PeerType,
  StatisticsType,
  writeInitiation,
  writePeerDown,
  writePeerUp,
  writeStatistics,
  writeTermination,
} from "../../../../bgp/monitor/bmp/messages.ts";
import { RouteMonitoringWriter } from "../../../../bgp/monitor/bmp/route-monitoring.ts";
import { Writer } from "../../../../bgp/wire/writer.ts";
import { prefix } from "../../../../net/prefix.ts";
import { Ipv4PrefixTable, Ipv6PrefixTable, type PrefixTable } from "../../../../net/prefix-table.ts";
import { hex } from "../../../support/hex.ts";
import { address } from "../support.ts";

const TIME = 1_700_000_000_250;
const peer: BmpPeer = {
  type: PeerType.GLOBAL,
  flags: 0,
  distinguisher: 0,
  address: address("192.0.2.1"),
  asn: 4200000001,
  routerId: 0x0a000002,
};
const peer6: BmpPeer = {
  ...peer,
  type: PeerType.LOCAL,
  flags: PeerFlag.IPV6 | PeerFlag.POST_POLICY | PeerFlag.AS2,
  distinguisher: 7,
  address: address("fe80::1"),
};
const locRib: BmpPeer = {
  ...peer,
  type: PeerType.LOC_RIB,
  flags: PeerFlag.LOC_RIB_FILTERED,
  address: address("0.0.0.0"),
};

const header = "00 00 0000000000000000 000000000000000000000000c0000201 fa56ea01 0a000002 6553f100 0003d090";
const header6 = "02 e0 0000000000000007 fe800000000000000000000000000001 fa56ea01 0a000002 6553f100 0003d090";
const untimed = "00 00 0000000000000000 000000000000000000000000c0000201 fa56ea01 0a000002 00000000 00000000";
const headerLocRib = "03 80 0000000000000000 00000000000000000000000000000000 fa56ea01 0a000002 6553f100 0003d090";
const marker = "ffffffffffffffffffffffffffffffff";

const written = (write: (writer: Writer) => void): string => {
  const writer = new Writer(8);
  write(writer);
  return Buffer.from(writer.slice()).toString("hex");
};
const octets = (text: string) => Buffer.from(hex(text)).toString("hex");

describe("messages", () => {
  it("Initiation", () => {
    const information = [
      { type: InformationType.SYS_DESCR, text: "underlayd" },
      { type: InformationType.SYS_NAME, text: "nœud" },
    ];
    expect(written((writer) => writeInitiation(writer, information))).toBe(
      octets("03 0000001c 04 0001 0009 756e6465726c617964 0002 0005 6ec5937564"),
    );
  });

  it("Termination: administratively closed", () => {
    expect(written((writer) => writeTermination(writer, "bye"))).toBe(
      octets("03 00000013 05 0000 0003 627965 0001 0002 0000"),
    );
  });

  it("Peer Up", () => {
    const sentOpen = hex(`${marker} 001d 01 04 fde9 005a 0a000001 00`);
    const receivedOpen = hex(`${marker} 001d 01 04 fdea 00b4 0a000002 00`);
    const handshake = { sentOpen, receivedOpen, localPort: 179, remotePort: 40000 };
    const information = [{ type: InformationType.STRING, text: "tor" }];
    expect(written((writer) => writePeerUp(writer, peer, TIME, address("192.0.2.2"), handshake, information))).toBe(
      octets(`03 00000085 03 ${header} 000000000000000000000000c0000202 00b3 9c40
              ${marker} 001d 01 04 fde9 005a 0a000001 00 ${marker} 001d 01 04 fdea 00b4 0a000002 00 0000 0003 746f72`),
    );
  });

  it.each([
    [
      "1: NOTIFICATION sent",
      { local: true, notification: { sent: true, code: 6, subcode: 2, data: hex("01 41") } },
      `01 ${marker} 0017 03 06 02 01 41`,
    ],
    ["2: closed by us without one, by ManualStop", { local: true, notification: null }, "02 0002"],
    [
      "3: NOTIFICATION received",
      { local: false, notification: { sent: false, code: 4, subcode: 0, data: hex("") } },
      `03 ${marker} 0015 03 04 00`,
    ],
    ["4: closed by the neighbour without one", { local: false, notification: null }, "04"],
    ["5: not monitored any more", null, "05"],
  ])("Peer Down, %s", (_, down, expected) => {
    const length = (48 + hex(expected).length).toString(16).padStart(8, "0");
    expect(written((writer) => writePeerDown(writer, peer6, TIME, down))).toBe(
      octets(`03 ${length} 02 ${header6} ${expected}`),
    );
  });

  it("Statistics Report: counters and gauges", () => {
    const statistics = [
      { type: StatisticsType.LOC_RIB, value: 0x1_0000_0002 },
      { type: StatisticsType.LOC_RIB_OF_FAMILY, value: 3, afi: 2 },
      { type: StatisticsType.PREFIXES_TREATED_AS_WITHDRAWN, value: 9 },
    ];
    expect(written((writer) => writeStatistics(writer, locRib, TIME, statistics))).toBe(
      octets(`03 00000057 01 ${headerLocRib} 00000003
              0008 0008 0000000100000002  000a 000b 0002 01 0000000000000003  000c 0004 00000009`),
    );
  });
});

describe("Route Monitoring", () => {
  const chainOf = (table: PrefixTable, prefixes: readonly string[]) => {
    const ids = Uint32Array.from(prefixes, (text) => {
      const { bytes, length } = prefix(text);
      return table.intern(bytes, 0, length);
    });
    const next = Int32Array.from(ids, (_, i) => (i + 1 < ids.length ? i + 1 : -1));
    return { ids, next, pathIds: Uint32Array.from(ids, (_, i) => i + 1) };
  };
  const set = (attributes: string, nextHop: string | null = null) =>
    ({ octets: hex(attributes), nextHop: nextHop === null ? null : hex(nextHop) }) as never;
  const monitoring = (write: (writer: RouteMonitoringWriter) => void) =>
    written((writer) => write(new RouteMonitoringWriter(writer)));

  it("IPv4 with NEXT_HOP, and its withdrawal", () => {
    const table = new Ipv4PrefixTable();
    const chain = chainOf(table, ["10.1.0.0/16", "0.0.0.0/0", "192.0.2.129/32"]);
    expect(monitoring((writer) => writer.announce(peer, TIME, table, set("400101 00"), chain, 0))).toBe(
      octets(`03 00000054 00 ${header} ${marker} 0024 02 0000 0004 40010100 10 0a01  00  20 c0000281`),
    );
    expect(monitoring((writer) => writer.withdraw(peer, TIME, table, chain, 3))).toBe(
      octets(`03 00000050 00 ${header} ${marker} 0020 02 0009 10 0a01  00  20 c0000281 0000`),
    );
  });

  it("IPv6 and RFC 8950 with MP_REACH_NLRI, and the withdrawal of IPv6", () => {
    const table = new Ipv6PrefixTable();
    const chain = chainOf(table, ["2001:db8::/32"]);
    const nextHop = "20010db8000000000000000000000001";
    expect(monitoring((writer) => writer.announce(peer, TIME, table, set("400101 00", nextHop), chain, 0))).toBe(
      octets(`03 00000069 00 ${header} ${marker} 0039 02 0000 0022
              90 0e 001a 0002 01 10 ${nextHop} 00 20 20010db8 40010100`),
    );
    expect(monitoring((writer) => writer.withdraw(peer, TIME, table, chain, 1))).toBe(
      octets(`03 00000053 00 ${header} ${marker} 0023 02 0000 000c 90 0f 0008 0002 01 20 20010db8`),
    );
    const table4 = new Ipv4PrefixTable();
    const chain4 = chainOf(table4, ["10.0.0.0/8"]);
    expect(monitoring((writer) => writer.announce(peer, TIME, table4, set("", nextHop), chain4, 0))).toBe(
      octets(`03 00000062 00 ${header} ${marker} 0032 02 0000 001b 90 0e 0017 0001 01 10 ${nextHop} 00 08 0a`),
    );
  });

  it("path identifiers (RFC 7911)", () => {
    const table = new Ipv4PrefixTable();
    const chain = chainOf(table, ["10.0.0.0/8", "11.0.0.0/8"]);
    const withPaths = (write: (writer: RouteMonitoringWriter) => void) =>
      monitoring((writer) => {
        writer.addPath = true;
        write(writer);
      });
    expect(withPaths((writer) => writer.announce(peer, TIME, table, set("400101 00"), chain, 0))).toBe(
      octets(`03 00000057 00 ${header} ${marker} 0027 02 0000 0004 40010100 00000001 08 0a 00000002 08 0b`),
    );
    expect(withPaths((writer) => writer.withdraw(peer, TIME, table, chain, 1))).toBe(
      octets(`03 0000004d 00 ${header} ${marker} 001d 02 0006 00000001 08 0a 0000`),
    );
  });

  it("End-of-RIB of both families, without a time", () => {
    expect(monitoring((writer) => writer.endOfRib(peer, 4))).toBe(
      octets(`03 00000047 00 ${untimed} ${marker} 0017 02 0000 0000`),
    );
    expect(monitoring((writer) => writer.endOfRib(peer, 6))).toBe(
      octets(`03 0000004e 00 ${untimed} ${marker} 001e 02 0000 0007 90 0f 0003 0002 01`),
    );
  });

  it.each([
    [4, 2000, 0],
    [6, 2000, 0],
    [4, 40, 4090],
    [6, 40, 9000],
  ] as const)(
    "IPv%i, %i prefixes, attributes of %i octets: as few messages as hold them, no prefix lost",
    (family, count, length) => {
      const table = family === 4 ? new Ipv4PrefixTable() : new Ipv6PrefixTable();
      const prefixes = Array.from({ length: count }, (_, i) =>
        family === 4 ? `10.${i >> 8}.${i & 255}.1/32` : `2001:db8:${i.toString(16)}::1/128`,
      );
      const chain = chainOf(table, prefixes);
      const attributes = new Uint8Array(length);
      const nextHop = family === 6 ? new Uint8Array(32) : null;
      for (const withdraw of [false, true]) {
        const writer = new RouteMonitoringWriter(new Writer());
        if (withdraw) writer.withdraw(peer, 0, table, chain, count);
        else writer.announce(peer, 0, table, { octets: attributes, nextHop } as never, chain, 0);
        const all = Buffer.from(writer.writer.slice());
        let found = 0;
        let messages = 0;
        for (let at = 0; at < all.length; at += all.readUInt32BE(at + 1)) {
          messages++;
          const update = all.subarray(at + 48, at + all.readUInt32BE(at + 1));
          expect(update.readUInt16BE(16)).toBe(update.length);
          expect(update.length).toBeLessThanOrEqual(Math.max(4096, length + 120));
          const size = family === 4 ? 5 : 17;
          const rest = withdraw ? (family === 4 ? 23 : 30) : 23 + length + (family === 4 ? 0 : 41);
          expect((update.length - rest) % size).toBe(0);
          found += (update.length - rest) / size;
        }
        expect(found).toBe(count);
        expect(writer.messages).toBe(messages);
        if (length === 0 || withdraw) expect(messages).toBe(Math.ceil((count * (family === 4 ? 5 : 17)) / (4096 - 70)));
      }
    },
  );
});

it("pauses double up to the longest one, and jitter takes off up to a quarter", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 8, 1000].map((failures) => pauseAfter(failures, 60_000, 0))).toEqual([
    1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000,
  ]);
  expect(pauseAfter(1, 60_000, 1)).toBe(750);
});
