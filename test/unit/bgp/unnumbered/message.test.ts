// Neighbor Discovery messages as octets: what is sent, what is taken from what others send, and what is ignored.
import { describe, expect, it } from "vitest";
import {
  decodeMessage,
  encodeNeighborSolicitation,
  encodeRouterAdvertisement,
  encodeRouterSolicitation,
  solicitedNode,
} from "../../../../bgp/unnumbered/message.ts";
import { hex } from "../../../support/hex.ts";
import { address } from "../support.ts";

const MAC = hex("02 00 5e 10 20 30");
const router = address("fe80::1");
const decode = (bytes: Uint8Array, source = router, hopLimit = 255) =>
  decodeMessage({ bytes, length: bytes.length, source, hopLimit });

/** FRR 8.4 zebra, as captured: hop limit 64, lifetime 30, source link-layer address. */
const frr = hex("86 00 51 3b  40 00 00 1e  00 00 00 00  00 00 00 00  01 01 96 7b 6d 06 f2 e4");
/** BIRD 2.0.12 radv, as captured: hop limit 64, lifetime 12, MTU 1500, prefix 2001:db8::/64. */
const bird = hex(`86 00 fc a9  40 00 00 0c  00 00 00 00  00 00 00 00
  05 01 00 00 00 00 05 dc
  03 04 40 c0 00 01 51 80  00 00 38 40 00 00 00 00  20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 00`);

describe("sent", () => {
  it("a router advertisement: lifetime 0, nothing specified, our link-layer address (RFC 4861 §4.2)", () => {
    expect(encodeRouterAdvertisement(MAC)).toEqual(
      hex("86 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00  01 01 02 00 5e 10 20 30"),
    );
  });

  it("a router solicitation (§4.1)", () => {
    expect(encodeRouterSolicitation(MAC)).toEqual(hex("85 00 00 00  00 00 00 00  01 01 02 00 5e 10 20 30"));
  });

  it("a neighbor solicitation (§4.3), to the solicited-node address (RFC 4291 §2.7.1)", () => {
    const target = address("fe80::5054:ff:fe12:3456");
    expect(encodeNeighborSolicitation(target, MAC)).toEqual(
      hex(`87 00 00 00  00 00 00 00
        fe 80 00 00 00 00 00 00 50 54 00 ff fe 12 34 56
        01 01 02 00 5e 10 20 30`),
    );
    expect(solicitedNode(target)).toEqual(address("ff02::1:ff12:3456"));
  });

  it("without the option where the link has no Ethernet address", () => {
    expect(encodeRouterAdvertisement(new Uint8Array(0))).toHaveLength(16);
    expect(encodeRouterSolicitation(hex("01 02 03 04"))).toHaveLength(8);
  });
});

describe("taken", () => {
  it.each([
    ["FRR's advertisement", frr, { kind: "routerAdvertisement", lifetime: 30, mac: hex("96 7b 6d 06 f2 e4") }],
    [
      "BIRD's advertisement, its prefix and MTU ignored",
      bird,
      { kind: "routerAdvertisement", lifetime: 12, mac: null },
    ],
    ["our own", encodeRouterAdvertisement(MAC), { kind: "routerAdvertisement", lifetime: 0, mac: MAC }],
    ["a solicitation", encodeRouterSolicitation(MAC), { kind: "routerSolicitation", mac: MAC }],
    [
      "a neighbor advertisement (§4.4), its target link-layer address ignored",
      hex("88 00 00 00  e0 00 00 00  fe 80 00 00 00 00 00 00 00 00 00 00 00 00 00 01  02 01 02 00 5e 10 20 30"),
      { kind: "neighborAdvertisement", target: router },
    ],
    [
      "an option nobody knows, and reserved bits",
      hex("86 00 12 34  40 ff 00 00  00 00 00 00  00 00 00 00  fd 01 00 00 00 00 00 00  01 01 02 00 5e 10 20 30"),
      { kind: "routerAdvertisement", lifetime: 0, mac: MAC },
    ],
    [
      "a link-layer address of another length is not an Ethernet one",
      hex("86 00 00 00  40 00 00 00  00 00 00 00  00 00 00 00  01 02 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e"),
      { kind: "routerAdvertisement", lifetime: 0, mac: null },
    ],
  ])("%s", (_, bytes, message) => {
    expect(decode(bytes)).toEqual(message);
  });

  it("a solicitation from an address that is not there yet", () => {
    expect(decode(hex("85 00 00 00 00 00 00 00"), new Uint8Array(16))).toEqual({
      kind: "routerSolicitation",
      mac: null,
    });
  });
});

describe("ignored (§6.1.1, §6.1.2, §7.1.2)", () => {
  const advertised = (options: string) => hex(`86 00 00 00  40 00 00 00  00 00 00 00  00 00 00 00 ${options}`);

  it.each([
    ["hop limit 254", frr, router, 254, "hop limit 254 is not 255: it was forwarded by a router"],
    ["hop limit not said", frr, router, 0, "hop limit 0 is not 255: it was forwarded by a router"],
    ["code 1", hex("86 01 00 00 40 00 00 00 00 00 00 00 00 00 00 00"), router, 255, "code 1 is not 0"],
    ["from a global address", frr, address("2001:db8::1"), 255, "source is not a link-local address"],
    ["from nowhere", frr, new Uint8Array(16), 255, "source is not a link-local address"],
    ["another type", hex("80 00 00 00 00 00 00 00"), router, 255, "type 128 is not of use here"],
    ["an option of length 0", advertised("01 00 02 00 5e 10 20 30"), router, 255, "an option has length 0"],
    [
      "an option of length 0 at the end",
      advertised("05 01 00 00 00 00 05 dc 00 00"),
      router,
      255,
      "an option has length 0",
    ],
    ["an option longer than the packet", advertised("01 02 02 00 5e 10 20 30"), router, 255, "options are cut short"],
    ["an option of 2040 octets", advertised("01 ff 02 00 5e 10 20 30"), router, 255, "options are cut short"],
    ["half an option header", advertised("01"), router, 255, "options are cut short"],
    [
      "a link-layer address without a source",
      encodeRouterSolicitation(MAC),
      new Uint8Array(16),
      255,
      "link-layer address without a source address",
    ],
    [
      "a multicast target",
      hex("88 00 00 00 e0 00 00 00 ff 02 00 00 00 00 00 00 00 00 00 00 00 00 00 01"),
      router,
      255,
      "target is a multicast address",
    ],
  ])("%s", (_, bytes, source, hopLimit, why) => {
    expect(decode(bytes, source, hopLimit)).toBe(why);
  });

  it("whatever is cut off: at the end of an option the rest is a message, anywhere else it is not", () => {
    for (const whole of [frr, bird, encodeRouterSolicitation(MAC)]) {
      const fixed = whole[0] === 133 ? 8 : 16;
      const ends = new Set([fixed]);
      for (let at = fixed; at < whole.length; at += whole[at + 1] * 8) ends.add(at + whole[at + 1] * 8);
      for (let length = 0; length < whole.length; length++) {
        const result = decodeMessage({ bytes: whole, length, source: router, hopLimit: 255 });
        expect(typeof result, `${length} of ${whole.length} octets`).toBe(ends.has(length) ? "object" : "string");
      }
    }
  });

  it("never reads beyond the packet's length into what the buffer held before", () => {
    const buffer = new Uint8Array(64);
    buffer.set(frr);
    expect(decodeMessage({ bytes: buffer, length: 16, source: router, hopLimit: 255 })).toMatchObject({ mac: null });
  });

  it("random octets are a message or a reason, and are done with at once", () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 48271) % 0x7fffffff;
      return seed & 0xff;
    };
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from({ length: random() % 80 }, random);
      if (bytes.length > 1) [bytes[0], bytes[1]] = [133 + (random() % 4), 0];
      expect(["object", "string"]).toContain(typeof decode(bytes));
    }
  });
});
