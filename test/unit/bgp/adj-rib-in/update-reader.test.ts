import { describe, expect, it } from "vitest";
import { UpdateReader, type UpdateSink } from "../../../../bgp/adj-rib-in/update-reader.ts";
import { AttributeStore } from "../../../../bgp/attribute-store.ts";
import { formatAsPath } from "../../../../bgp/policy/as-path-text.ts";
import type { WireContext } from "../../../../bgp/wire/context.ts";
import { WireError } from "../../../../bgp/wire/error.ts";
import { formatAddress } from "../../../../net/address.ts";

const wire: WireContext = { as4: true, ebgp: true, families: [4, 6], extendedNextHop: false, maxMessage: 4096 };
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/[\s|]/g, ""), "hex"));

const origin = "40010100";
const path = "400206 0201 0000fde9";
const nextHop = "400304 c0000201";
const v6next = "20010db8000000000000000000000001";
const reach = (next: string, nlri: string) => {
  const body = `0002 01 ${(next.length / 2).toString(16).padStart(2, "0")} ${next} 00 ${nlri}`;
  return `800e${hex(body).length.toString(16).padStart(2, "0")} ${body}`;
};
const unreach = (nlri: string) => `800f${(hex(nlri).length + 3).toString(16).padStart(2, "0")} 0002 01 ${nlri}`;

/** An UPDATE body of withdrawn routes, attributes and NLRI. */
function body(withdrawn: string, attributes: string, nlri: string): Uint8Array {
  const length = (text: string) => hex(text).length.toString(16).padStart(4, "0");
  return hex(`${length(withdrawn)}${withdrawn}${length(attributes)}${attributes}${nlri}`);
}

/** What the sink hears, one line per call. */
function read(bytes: Uint8Array, context: WireContext = wire): string[] {
  const said: string[] = [];
  const addresses = { intern: () => 1, release() {} };
  const store = new AttributeStore(addresses);
  const reader = new UpdateReader(store);
  const source = { wire: context, localAsn: 65000, nodeAsn: 65000, routerId: 1, clusterId: 1 };
  const octets = (buffer: Uint8Array, start: number, end: number) =>
    Buffer.from(buffer.subarray(start, end)).toString("hex");
  const sink: UpdateSink = {
    withdraw: (family, buffer, start, end) => said.push(`withdraw ${family} ${octets(buffer, start, end)}`),
    announce: (family, buffer, start, end, id) => {
      const { asPath, nextHop: address } = store.attributes(id);
      said.push(
        `announce ${family} ${octets(buffer, start, end)} path ${formatAsPath(asPath)} via ${address && formatAddress(address)}`,
      );
    },
    treatAsWithdraw: (family, buffer, start, end) => said.push(`refuse ${family} ${octets(buffer, start, end)}`),
    endOfRib: (family) => said.push(`end ${family}`),
    wireErrors: (errors) => said.push(...errors.map((error) => `error ${error.action} ${error.message}`)),
  };
  // Twice: the second time everything is found by its octets.
  reader.read(source, store.tagOf(source), bytes, 0, bytes.length, sink);
  const first = said.filter((line) => !line.startsWith("error"));
  const size = store.size;
  said.splice(0);
  reader.read(source, store.tagOf(source), bytes, 0, bytes.length, sink);
  expect(said.filter((line) => !line.startsWith("error"))).toEqual(first);
  expect(store.size).toBe(size);
  return first;
}

describe("UPDATE", () => {
  it.each<[string, Uint8Array, string[]]>([
    ["IPv4", body("", origin + path + nextHop, "08 0a"), ["announce 4 080a path 65001 via 192.0.2.1"]],
    [
      "IPv4, withdrawn too",
      body("08 0b", origin + path + nextHop, "08 0a"),
      ["withdraw 4 080b", "announce 4 080a path 65001 via 192.0.2.1"],
    ],
    ["withdrawn only", body("08 0b 00", "", ""), ["withdraw 4 080b00"]],
    ["End-of-RIB IPv4", body("", "", ""), ["end 4"]],
    ["End-of-RIB IPv6", body("", unreach(""), ""), ["end 6"]],
    [
      "IPv6",
      body("", origin + path + reach(v6next, "20 20010db8"), ""),
      ["announce 6 2020010db8 path 65001 via 2001:db8::1"],
    ],
    [
      "IPv6, MP_REACH first",
      body("", reach(v6next, "20 20010db8") + origin + path, ""),
      ["announce 6 2020010db8 path 65001 via 2001:db8::1"],
    ],
    ["IPv6 withdrawn", body("", unreach("20 20010db8"), ""), ["withdraw 6 2020010db8"]],
    [
      "everything at once",
      body("08 0b", unreach("20 20010db9") + origin + reach(v6next, "20 20010db8") + path + nextHop, "08 0a"),
      [
        "withdraw 4 080b",
        "withdraw 6 2020010db9",
        "announce 4 080a path 65001 via 192.0.2.1",
        "announce 6 2020010db8 path 65001 via 2001:db8::1",
      ],
    ],
    ["attributes and no routes", body("", origin + path + nextHop, ""), []],
    ["ORIGIN missing", body("", path + nextHop, "08 0a"), ["refuse 4 080a"]],
    ["ORIGIN missing, IPv6", body("", path + reach(v6next, "20 20010db8"), ""), ["refuse 6 2020010db8"]],
    ["NEXT_HOP missing", body("", origin + path, "08 0a"), ["refuse 4 080a"]],
    ["AS_PATH broken", body("", `${origin}400206 0201 00000000${nextHop}`, "08 0a"), ["refuse 4 080a"]],
    ["an unknown family is nobody's", body("", `${origin}${path}800e0b 0019 41 04 c0000201 00 01 02`, ""), []],
    [
      "IPv6 with broken attributes at the end",
      body("", `${reach(v6next, "20 20010db8")}${origin}${path}400304 c0`, ""),
      ["refuse 6 2020010db8"],
    ],
    [
      "next hop not unicast",
      body("", origin + path + reach("ff020000000000000000000000000001", "20 20010db8"), ""),
      ["refuse 6 2020010db8"],
    ],
  ])("%s", (_, bytes, expected) => {
    expect(read(bytes)).toEqual(expected);
  });

  it("families that were not negotiated are left alone", () => {
    const ipv6Only = { ...wire, families: [6 as const] };
    expect(read(body("08 0b", origin + path + nextHop, "08 0a"), ipv6Only)).toEqual([]);
    expect(read(body("", "", ""), ipv6Only)).toEqual([]);
    const ipv4Only = { ...wire, families: [4 as const] };
    expect(read(body("", origin + path + reach(v6next, "20 20010db8"), ""), ipv4Only)).toEqual([]);
    expect(read(body("", unreach("20 20010db8"), ""), ipv4Only)).toEqual([]);
  });

  it.each<[string, Uint8Array, number]>([
    ["withdrawn length", hex("ffff 0000"), 1],
    ["prefix length", body("", origin + path + nextHop, "21 0a000000 01"), 10],
    ["prefix past the end", body("", origin + path + nextHop, "18 0a00"), 10],
    ["withdrawn prefix", body("21 0000000000", "", ""), 10],
    ["IPv6 prefix", body("", origin + path + reach(v6next, "81 00"), ""), 10],
    ["MP_REACH twice", body("", origin + path + reach(v6next, "20 20010db8") + reach(v6next, "20 20010db9"), ""), 1],
  ])("resets the session: %s", (_, bytes, subcode) => {
    let error: unknown;
    try {
      read(bytes);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(WireError);
    expect(error).toMatchObject({ code: 3, subcode });
  });
});

describe("attribute sets that sessions share", () => {
  it("are read whatever families the first of them had", () => {
    const store = new AttributeStore({ intern: () => 1, release() {} });
    const reader = new UpdateReader(store);
    const session = (context: WireContext) => ({
      wire: context,
      localAsn: 65000,
      nodeAsn: 65000,
      routerId: 1,
      clusterId: 1,
    });
    const first = session({ ...wire, families: [4] });
    const second = session(wire);
    expect(store.tagOf(first)).toBe(store.tagOf(second));
    let id = 0;
    const nothing = () => {};
    const sink: UpdateSink = {
      withdraw: nothing,
      announce: (_family, _buffer, _start, _end, attributes) => {
        id = attributes;
        store.retain(id);
      },
      treatAsWithdraw: nothing,
      endOfRib: nothing,
      wireErrors: nothing,
    };
    const announce = (text: string) => {
      const bytes = body("", origin + text + reach(v6next, "20 20010db8"), "");
      reader.read(second, store.tagOf(second), bytes, 0, bytes.length, sink);
    };
    announce(path);
    const route = id;
    // Enough others that it has to be decoded anew.
    for (let asn = 1; asn < 3000; asn++) announce(`400206 0201 ${asn.toString(16).padStart(8, "0")}`);
    expect(formatAddress(store.attributes(route).nextHop as Uint8Array)).toBe("2001:db8::1");
  });
});

describe("UPDATE with path identifiers (RFC 7911)", () => {
  const context: WireContext = { ...wire, addPath: { receive: [4, 6], send: [] } };
  it.each<[string, Uint8Array, string[]]>([
    [
      "IPv4, two paths of one prefix, one with identifier 0",
      body("", origin + path + nextHop, "00000000 08 0a | 00000001 08 0a"),
      ["announce 4 00000000080a00000001080a path 65001 via 192.0.2.1"],
    ],
    ["IPv4, withdrawn", body("ffffffff 08 0b 00000002 00", "", ""), ["withdraw 4 ffffffff080b0000000200"]],
    [
      "IPv6",
      body("", origin + path + reach(v6next, "00000007 20 20010db8"), ""),
      ["announce 6 000000072020010db8 path 65001 via 2001:db8::1"],
    ],
    ["IPv6, withdrawn", body("", unreach("00000007 20 20010db8"), ""), ["withdraw 6 000000072020010db8"]],
    ["End-of-RIB IPv4", body("", "", ""), ["end 4"]],
    ["End-of-RIB IPv6", body("", unreach(""), ""), ["end 6"]],
    ["treat as withdraw: no NEXT_HOP", body("", origin + path, "00000001 08 0a"), ["refuse 4 00000001080a"]],
  ])("%s", (_, bytes, said) => {
    expect(read(bytes, context)).toEqual(said);
  });

  it("only the families and the direction that were agreed on have them", () => {
    const bytes = body("", origin + path + nextHop, "08 0a");
    const said = ["announce 4 080a path 65001 via 192.0.2.1"];
    expect(read(bytes, { ...wire, addPath: { receive: [6], send: [4] } })).toEqual(said);
  });

  it.each([
    ["a neighbour that leaves them out", body("", origin + path + nextHop, "18 0a0001")],
    ["an identifier alone", body("", origin + path + nextHop, "00000001")],
    ["half an identifier", body("00000001 08 0a 0000", "", "")],
    ["a prefix cut short", body("", origin + path + nextHop, "00000001 18 0a00")],
    ["a prefix too long", body("", origin + path + nextHop, "00000001 21 0a00000000")],
    ["IPv6, cut short", body("", origin + path + reach(v6next, "00000001 20 20010d"), "")],
    ["IPv6 withdrawn, an identifier alone", body("", unreach("00000001"), "")],
  ])("the session is reset: %s", (_, bytes) => {
    let error: unknown = null;
    try {
      read(bytes, context);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(WireError);
    expect(error).toMatchObject({ code: 3, subcode: 10 });
  });
});
