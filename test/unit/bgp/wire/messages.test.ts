import { describe, expect, it } from "vitest";
import type { Capability } from "../../../../bgp/wire/capability.ts";
import { WireError } from "../../../../bgp/wire/error.ts";
import { Framer } from "../../../../bgp/wire/framer.ts";
import { KEEPALIVE } from "../../../../bgp/wire/message.ts";
import { checkNlri } from "../../../../bgp/wire/nlri.ts";
import {
  decodeNotification,
  encodeNotification,
  readShutdownCommunication,
  shutdownCommunication,
} from "../../../../bgp/wire/notification.ts";
import { decodeOpen, encodeOpen, type OpenMessage } from "../../../../bgp/wire/open.ts";
import { describeNotification, MessageType } from "../../../../bgp/wire/registry.ts";
import { decodeRouteRefresh, encodeRouteRefresh } from "../../../../bgp/wire/route-refresh.ts";
import { encodeEndOfRib, layoutUpdate, locateMultiprotocol } from "../../../../bgp/wire/update.ts";
import { hex, toHex } from "../../../support/hex.ts";

const capabilities: Capability[] = [
  { kind: "multiprotocol", afi: 1, safi: 1 },
  { kind: "multiprotocol", afi: 2, safi: 1 },
  { kind: "routeRefresh" },
  { kind: "as4", asn: 4200000000 },
  { kind: "extendedNextHop", entries: [{ afi: 1, safi: 1, nextHopAfi: 2 }] },
  {
    kind: "gracefulRestart",
    restarting: true,
    notification: false,
    time: 120,
    families: [{ afi: 1, safi: 1, forwarding: true }],
  },
  { kind: "extendedMessage" },
  { kind: "role", role: 3 },
  {
    kind: "addPath",
    entries: [
      { afi: 1, safi: 1, receive: true, send: false },
      { afi: 2, safi: 1, receive: true, send: true },
    ],
  },
  { kind: "enhancedRouteRefresh" },
  {
    kind: "longLivedGracefulRestart",
    families: [{ afi: 1, safi: 1, forwarding: true, staleTime: 0x123456 }],
  },
  { kind: "hostname", host: "tor1", domain: "example.net" },
  { kind: "unknown", code: 128, value: Uint8Array.of(1, 2, 3) },
];
const open: OpenMessage = { version: 4, asn: 23456, holdTime: 90, routerId: 0x0a00000b, capabilities };

const bodyOf = (message: Uint8Array) => ({ buffer: message, start: 19, end: message.length });

function wireError(run: () => unknown): WireError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  throw new Error("nothing was thrown");
}

describe("framer", () => {
  const stream = Buffer.concat([
    encodeOpen(open),
    KEEPALIVE,
    encodeEndOfRib(6),
    encodeNotification(6, 2),
    encodeRouteRefresh(1, 1),
  ]);
  const types = [
    MessageType.OPEN,
    MessageType.KEEPALIVE,
    MessageType.UPDATE,
    MessageType.NOTIFICATION,
    MessageType.ROUTE_REFRESH,
  ];

  const read = (framer: Framer, out: [number, string][]) => {
    while (framer.next()) out.push([framer.type, toHex(framer.buffer.subarray(framer.start, framer.end))]);
  };

  it("gives the same messages at every split of the stream", () => {
    const whole: [number, string][] = [];
    const one = new Framer();
    one.push(stream);
    read(one, whole);
    expect(whole.map(([type]) => type)).toEqual(types);
    expect(one.buffered).toBe(0);
    for (let at = 0; at <= stream.length; at++) {
      const framer = new Framer();
      const parts: [number, string][] = [];
      framer.push(stream.subarray(0, at));
      read(framer, parts);
      framer.push(stream.subarray(at));
      read(framer, parts);
      expect(parts).toEqual(whole);
    }
  });

  it("takes the stream byte by byte", () => {
    const framer = new Framer();
    const parts: [number, string][] = [];
    for (const byte of stream) {
      framer.push(Uint8Array.of(byte));
      read(framer, parts);
    }
    expect(parts.map(([type]) => type)).toEqual(types);
  });

  it.each([0, 8, 64])(
    "gives the same messages from memory that is used for every read, %i octets free before it",
    (front) => {
      const whole: [number, string][] = [];
      const one = new Framer();
      one.push(stream);
      read(one, whole);
      for (let size = 1; size < 70; size++) {
        const framer = new Framer();
        const parts: [number, string][] = [];
        const memory = new Uint8Array(front + size);
        for (let at = 0; at < stream.length; at += size) {
          const piece = stream.subarray(at, at + size);
          memory.set(piece, front);
          framer.push(memory, front, front + piece.length);
          // Another connection reads into the same memory before everything has been handed out.
          if (at % 3 === 0) framer.keep();
          if (at % 3 === 0) memory.fill(0x55);
          read(framer, parts);
          framer.keep();
          memory.fill(0xaa);
        }
        expect(parts).toEqual(whole);
      }
    },
  );

  it("hands out messages of one chunk without copying", () => {
    const framer = new Framer();
    framer.push(stream);
    framer.next();
    expect(framer.buffer.buffer).toBe(stream.buffer);
  });

  const header = (length: number, type: number) =>
    hex(`${"ff".repeat(16)} ${length.toString(16).padStart(4, "0")} ${type.toString(16).padStart(2, "0")}`);
  it.each([
    ["a marker that is not ones", hex(`${"ff".repeat(15)}fe 0013 04`), 1, ""],
    ["a wrong first byte, before the header is whole", hex("47 45 54"), 1, ""],
    ["length 18", header(18, 4), 2, "0012"],
    ["length 4097", header(4097, 2), 2, "1001"],
    ["a KEEPALIVE of 20 bytes", header(20, 4), 2, "0014"],
    ["an OPEN of 28 bytes", header(28, 1), 2, "001c"],
    ["an UPDATE of 22 bytes", header(22, 2), 2, "0016"],
    ["a NOTIFICATION of 20 bytes", header(20, 3), 2, "0014"],
    ["type 0", header(19, 0), 3, "00"],
    ["type 6", header(19, 6), 3, "06"],
  ])("%s", (_name, bytes, subcode, data) => {
    const framer = new Framer();
    framer.push(bytes);
    const error = wireError(() => framer.next());
    expect([error.code, error.subcode, toHex(error.data)]).toEqual([1, subcode, data]);
  });
});

describe("OPEN", () => {
  it("comes back as it was", () => {
    const { buffer, start, end } = bodyOf(encodeOpen(open));
    expect(decodeOpen(buffer, start, end)).toEqual(open);
  });

  it("uses and reads the extended form when the parameters are long (RFC 9072)", () => {
    const long = {
      ...open,
      capabilities: [...capabilities, { kind: "unknown" as const, code: 129, value: new Uint8Array(250).fill(7) }],
    };
    const message = encodeOpen(long);
    expect(toHex(message.subarray(28, 32))).toMatch(/^ffff/);
    const { buffer, start, end } = bodyOf(message);
    expect(decodeOpen(buffer, start, end)).toEqual(long);
  });

  it.each([
    ["version 3", "03 fde9 005a 0a00000b 00", 1, "0004"],
    ["AS 0 (RFC 7607)", "04 0000 005a 0a00000b 00", 2, "0000"],
    ["4-octet AS 0", "04 5ba0 005a 0a00000b 08 02 06 41 04 00000000", 2, "0000"],
    ["hold time 1", "04 fde9 0001 0a00000b 00", 6, ""],
    ["hold time 2", "04 fde9 0002 0a00000b 00", 6, ""],
    ["BGP identifier 0", "04 fde9 005a 00000000 00", 3, "00000000"],
    ["optional parameter 1 (authentication)", "04 fde9 005a 0a00000b 03 01 01 00", 4, ""],
    ["parameters shorter than said", "04 fde9 005a 0a00000b 09 02 06 01 04 0001 00 01", 0, ""],
    ["parameters longer than said", "04 fde9 005a 0a00000b 07 02 06 01 04 0001 00 01", 0, ""],
    ["a capability that overruns its parameter", "04 fde9 005a 0a00000b 08 02 06 01 05 0001 00 01", 0, ""],
    ["a capability of a wrong length", "04 fde9 005a 0a00000b 07 02 05 01 03 0001 00", 0, ""],
    ["the extended form cut after its marker", "04 fde9 005a 0a00000b ff ff", 0, ""],
  ])("%s", (_name, text, subcode, data) => {
    const bytes = hex(text);
    const error = wireError(() => decodeOpen(bytes, 0, bytes.length));
    expect([error.code, error.subcode, toHex(error.data)]).toEqual([2, subcode, data]);
  });

  it("survives a cut at every byte, short and extended", () => {
    for (const message of [
      encodeOpen(open),
      encodeOpen({ ...open, capabilities: [{ kind: "unknown", code: 200, value: new Uint8Array(254) }] }),
    ]) {
      for (let end = 19; end < message.length; end++) wireError(() => decodeOpen(message, 19, end));
    }
  });
});

describe("NOTIFICATION", () => {
  it("carries code, subcode and data", () => {
    const { buffer, start, end } = bodyOf(encodeNotification(2, 2, hex("fde9")));
    expect(decodeNotification(buffer, start, end)).toEqual({ code: 2, subcode: 2, data: hex("fde9") });
  });

  it("is read as far as it goes when it is short", () => {
    expect(decodeNotification(hex("06"), 0, 1)).toEqual({ code: 6, subcode: 0, data: new Uint8Array(0) });
    expect(decodeNotification(hex(""), 0, 0)).toEqual({ code: 0, subcode: 0, data: new Uint8Array(0) });
  });

  it.each([
    [6, 2, shutdownCommunication("back at 9"), 'Cease/Administrative Shutdown: "back at 9"'],
    [6, 2, hex("00"), "Cease/Administrative Shutdown"],
    [6, 2, hex("ff 41"), 'Cease/Administrative Shutdown: "A"'],
    [4, 0, hex(""), "Hold Timer Expired"],
    [2, 2, hex("fde9"), "OPEN Message Error/Bad Peer AS (65001)"],
    [6, 99, hex(""), "Cease/subcode 99"],
    [6, 9, hex("0602 05 68656c6c6f"), 'Cease/Hard Reset (Cease/Administrative Shutdown: "hello")'],
    [6, 9, hex("06"), "Cease/Hard Reset"],
    [6, 9, hex("0609 0609 0609"), "Cease/Hard Reset"],
    [77, 3, hex(""), "error 77/subcode 3"],
  ])("%i/%i in words", (code, subcode, data, text) => expect(describeNotification(code, subcode, data)).toBe(text));

  it("cuts a shutdown communication at 255 bytes, between characters (RFC 9003)", () => {
    const data = shutdownCommunication("é".repeat(200));
    expect(data[0]).toBe(254);
    expect(readShutdownCommunication(data)).toBe("é".repeat(127));
  });

  it("shows no control characters of a neighbour to a terminal", () => {
    expect(readShutdownCommunication(hex("03 411b42"))).toBe("A\ufffdB");
    expect(readShutdownCommunication(hex("05 41e280ae42"))).toBe("A\ufffdB");
  });
});

describe("ROUTE-REFRESH", () => {
  it("comes back as it was", () => {
    const { buffer, start, end } = bodyOf(encodeRouteRefresh(2, 1, 1));
    expect(decodeRouteRefresh(buffer, start, end)).toEqual({ afi: 2, safi: 1, subtype: 1 });
  });
  it("of a wrong length is error 7/1", () => {
    const error = wireError(() => decodeRouteRefresh(hex("0001000100"), 0, 5));
    expect([error.code, error.subcode]).toEqual([7, 1]);
    expect(toHex(error.data)).toBe(`${"ff".repeat(16)}0018050001000100`);
  });
});

describe("UPDATE layout", () => {
  const layout = { withdrawnStart: 0, withdrawnEnd: 0, attributesStart: 0, attributesEnd: 0, nlriStart: 0, nlriEnd: 0 };
  it("finds the three parts", () => {
    const body = hex("0002 08 0a 0004 40010100 08 0b");
    layoutUpdate(body, 0, body.length, layout);
    expect(layout).toEqual({
      withdrawnStart: 2,
      withdrawnEnd: 4,
      attributesStart: 6,
      attributesEnd: 10,
      nlriStart: 10,
      nlriEnd: 12,
    });
  });
  it.each(["", "00", "0000", "0000 00", "0001 0000", "ffff 0000", "0000 0001", "0000 ffff 00"])(
    "refuses %s",
    (text) => {
      const body = hex(text);
      expect(wireError(() => layoutUpdate(body, 0, body.length, layout))).toMatchObject({ code: 3, subcode: 1 });
    },
  );
  it("locates multiprotocol attributes, and stops where the list is broken", () => {
    const mp = { reachStart: 0, reachEnd: 0, unreachStart: 0, unreachEnd: 0 };
    const located = (text: string) => {
      const bytes = hex(text);
      locateMultiprotocol(bytes, 0, bytes.length, mp);
      return { ...mp };
    };
    const reach = "800e 05 0002010000";
    const unreach = "900f 0003 000201";
    const both = { reachStart: 11, reachEnd: 19, unreachStart: 4, unreachEnd: 11 };
    expect(located(`40010100 ${unreach} ${reach}`)).toEqual({ ...both, repeated: false });
    expect(located(`40010100 ${unreach} ${reach} ${unreach}`)).toEqual({ ...both, repeated: true });
    expect(located(`40010100 ${unreach} ${reach} ${reach}`)).toEqual({ ...both, repeated: true });
    const none = { reachStart: -1, reachEnd: -1, unreachStart: -1, unreachEnd: -1, repeated: false };
    expect(located(`400109 00 ${unreach}`)).toEqual(none);
  });
  it("End-of-RIB is an empty UPDATE, or an empty MP_UNREACH_NLRI (RFC 4724 §2)", () => {
    expect(toHex(encodeEndOfRib(4).subarray(16))).toBe("001702" + "00000000");
    expect(toHex(encodeEndOfRib(6).subarray(16))).toBe("001e02" + "00000007" + "900f0003000201");
  });
});

describe("NLRI", () => {
  it.each([
    ["", 32, 0],
    ["00", 32, 1],
    ["20 0a000001 18 0a0000", 32, 2],
    ["80 20010db8000000000000000000000001", 128, 1],
  ])("counts %s", (text, bits, count) => {
    const bytes = hex(text);
    expect(checkNlri(bytes, 0, bytes.length, bits)).toBe(count);
  });
  it.each([
    ["21 0a00000100", 32],
    ["20 0a0000", 32],
    ["18", 32],
    ["81 00", 128],
  ])("refuses %s", (text, bits) => {
    const bytes = hex(text);
    expect(wireError(() => checkNlri(bytes, 0, bytes.length, bits))).toMatchObject({ code: 3, subcode: 10 });
  });
});
