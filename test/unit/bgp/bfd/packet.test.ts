import { describe, expect, it } from "vitest";
import { type ControlPacket, decodeControl, encodeControl } from "../../../../bgp/bfd/packet.ts";

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

/** Laid out by hand after RFC 5880 §4.1. */
const vectors: [name: string, bytes: string, packet: Partial<ControlPacket>][] = [
  [
    "Down, knowing nobody",
    "20 40 03 18 4bf3a6d5 00000000 000f4240 000493e0 0000c350",
    { state: "Down", diagnostic: 0, myDiscriminator: 0x4bf3a6d5, desiredMinTx: 1_000_000, requiredMinEchoRx: 50_000 },
  ],
  [
    "Up with a poll",
    "20 e0 03 18 00000007 80000001 000493e0 000493e0 00000000",
    { state: "Up", poll: true, final: false, yourDiscriminator: 0x80000001, desiredMinTx: 300_000 },
  ],
  [
    "Up, final, control plane independent",
    "20 d8 05 18 00000007 00000001 0000c350 0000c350 00000000",
    { state: "Up", final: true, controlPlaneIndependent: true, detectMultiplier: 5, requiredMinRx: 50_000 },
  ],
  ["AdminDown", "27 00 03 18 00000007 00000001 000f4240 000493e0 00000000", { state: "AdminDown", diagnostic: 7 }],
  ["demand mode", "20 c2 03 18 00000007 00000001 000f4240 00000000 00000000", { demand: true, requiredMinRx: 0 }],
  [
    "Init after a timeout",
    "21 80 ff 18 ffffffff fffffffe ffffffff ffffffff ffffffff",
    { state: "Init", diagnostic: 1, detectMultiplier: 255, myDiscriminator: 0xffffffff, desiredMinTx: 0xffffffff },
  ],
];

describe("control packet", () => {
  it.each(vectors)("%s: reads and writes the same bytes", (_, text, expected) => {
    const packet = decodeControl(hex(text), 24);
    expect(packet).toMatchObject(expected);
    const bytes = new Uint8Array(24);
    encodeControl(packet as ControlPacket, bytes);
    expect(bytes).toEqual(hex(text));
  });

  it("reads what is in front of trailing bytes", () => {
    expect(decodeControl(hex(`${vectors[1][1]} ffff`), 26)).toMatchObject({ state: "Up" });
  });

  it.each([
    ["nothing", "", "shorter than a control packet"],
    ["a byte is missing", vectors[1][1].slice(0, -2), "shorter than a control packet"],
    ["version 0", "00 c0 03 18 00000007 00000001 000493e0 000493e0 00000000", "version is not 1"],
    ["version 2", "40 c0 03 18 00000007 00000001 000493e0 000493e0 00000000", "version is not 1"],
    ["length 23", "20 c0 03 17 00000007 00000001 000493e0 000493e0 00000000", "length field is wrong"],
    ["length beyond the payload", "20 c0 03 19 00000007 00000001 000493e0 000493e0 00000000", "length field is wrong"],
    ["multiplier 0", "20 c0 00 18 00000007 00000001 000493e0 000493e0 00000000", "detect multiplier is 0"],
    ["multipoint", "20 c1 03 18 00000007 00000001 000493e0 000493e0 00000000", "multipoint bit is set"],
    ["no discriminator", "20 c0 03 18 00000000 00000001 000493e0 000493e0 00000000", "my discriminator is 0"],
    [
      "Up without ours",
      "20 c0 03 18 00000007 00000000 000493e0 000493e0 00000000",
      "your discriminator is 0 in state Init or Up",
    ],
    [
      "Init without ours",
      "20 80 03 18 00000007 00000000 000493e0 000493e0 00000000",
      "your discriminator is 0 in state Init or Up",
    ],
    [
      "authentication, too short for it",
      "20 c4 03 18 00000007 00000001 000493e0 000493e0 00000000",
      "length field is wrong",
    ],
    [
      "authentication",
      "20 c4 03 1c 00000007 00000001 000493e0 000493e0 00000000 01040141",
      "authentication is not supported",
    ],
  ])("discards: %s", (_, text, reason) => {
    const bytes = hex(text);
    expect(decodeControl(bytes, bytes.length)).toBe(reason);
  });
});
