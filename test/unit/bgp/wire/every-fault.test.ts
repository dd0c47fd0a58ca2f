// Every fault of one kind at every place, with what RFC 7606 says must follow: bits of flags, lengths off by one, attributes
// twice, missing, in another order; messages cut at every byte. What is read is compared with what the sound list says, so
// that a fault can neither go unnoticed nor change something else.
import { describe, expect, it } from "vitest";
import type { Capability } from "../../../../bgp/wire/capability.ts";
import type { WireContext } from "../../../../bgp/wire/context.ts";
import { WireError } from "../../../../bgp/wire/error.ts";
import { Framer } from "../../../../bgp/wire/framer.ts";
import { decodeNotification } from "../../../../bgp/wire/notification.ts";
import { decodeOpen, encodeOpen } from "../../../../bgp/wire/open.ts";
import { MessageType } from "../../../../bgp/wire/registry.ts";
import { decodeRouteRefresh, encodeRouteRefresh } from "../../../../bgp/wire/route-refresh.ts";
import { decodeAttributes } from "../../../../bgp/wire/update.ts";
import { hex } from "../../../support/hex.ts";
import { decodeUpdate, wireContext } from "../../../support/wire.ts";

type Outcome = "none" | "discard" | "withdraw" | "reset";

interface Sample {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** What a malformed value leads to (RFC 7606 §7). */
  readonly malformed: "discard" | "withdraw";
  readonly mandatory?: true;
}

const sample = (
  name: string,
  bytes: string,
  malformed: Sample["malformed"] = "withdraw",
  mandatory?: true,
): Sample => ({
  name,
  bytes: hex(bytes),
  malformed,
  mandatory,
});

/** One of each kind, from an internal neighbour, where all of them mean something. */
const samples: readonly Sample[] = [
  sample("ORIGIN", "40 01 01 00", "withdraw", true),
  sample("AS_PATH", "40 02 0a 02 02 0000fde9 0000fdea", "withdraw", true),
  sample("NEXT_HOP", "40 03 04 0a000001", "withdraw", true),
  sample("MULTI_EXIT_DISC", "80 04 04 00000005"),
  sample("LOCAL_PREF", "40 05 04 000000c8"),
  sample("ATOMIC_AGGREGATE", "40 06 00", "discard"),
  sample("AGGREGATOR", "c0 07 08 0000fde9 0a000001", "discard"),
  sample("COMMUNITIES", "c0 08 08 fde90064 fde90065"),
  sample("ORIGINATOR_ID", "80 09 04 0a000009"),
  sample("CLUSTER_LIST", "80 0a 08 0a000001 0a000002"),
  sample("EXTENDED COMMUNITIES", "c0 10 08 0002fde900000004"),
  sample("LARGE_COMMUNITY", "c0 20 0c 0000fde9 00000001 00000002"),
  sample("an unknown one", "c0 63 04 deadbeef"),
];

const context: WireContext = wireContext({ ebgp: false });
const list = (parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const all = samples.map(({ bytes }) => bytes);

function decode(bytes: Uint8Array) {
  try {
    const { action, attributes } = decodeAttributes(bytes, 0, bytes.length, context, true);
    return { action: action as Outcome, attributes };
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return { action: "reset" as Outcome, attributes: null };
  }
}

const sound = decode(list(all));

/** The list with one attribute's bytes changed. */
function changed(index: number, change: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = Uint8Array.from(samples[index].bytes);
  change(bytes);
  return list(all.with(index, bytes));
}

describe("a list of all attributes", () => {
  it("is sound", () => {
    expect(sound.action).toBe("none");
  });

  it.each(samples.map(({ name }, index) => [name, index] as const))("%s with another flag", (_, index) => {
    const known = index < samples.length - 1;
    for (const bit of [0x80, 0x40]) {
      const { action, attributes } = decode(
        changed(index, (bytes) => {
          bytes[0] ^= bit;
        }),
      );
      if (known) expect([action, attributes]).toEqual(["withdraw", null]);
      // What nobody knows is left out when it is not transitive, and cannot be left out when it is well-known.
      else expect(action).toBe(bit === 0x80 ? "reset" : "none");
    }
    // The partial bit and the four unused ones say nothing about the value.
    for (const bit of [0x20, 0x08, 0x04, 0x02, 0x01]) {
      const { action, attributes } = decode(
        changed(index, (bytes) => {
          bytes[0] ^= bit;
        }),
      );
      expect(action).toBe("none");
      if (!known) continue;
      const { partial: _, ...values } = { partial: [], ...attributes };
      expect(values).toEqual(sound.attributes);
    }
    // With the extended length bit the first octet of the value, or of the next attribute, belongs to the length.
    const { action } = decode(
      changed(index, (bytes) => {
        bytes[0] ^= 0x10;
      }),
    );
    expect(["withdraw", "reset"]).toContain(action);
  });

  it.each(samples.map(({ name }, index) => [name, index] as const))("%s with a length off by one", (_, index) => {
    for (const by of [1, -1, 0x7f]) {
      if (samples[index].bytes[2] + by < 0) continue;
      const { action, attributes } = decode(
        changed(index, (bytes) => {
          bytes[2] += by;
        }),
      );
      // All that follows is out of step, so that at least one fault is found; nothing is believed.
      expect(action).not.toBe("none");
      if (action === "discard") expect(attributes).not.toEqual(sound.attributes);
      else expect(attributes).toBeNull();
    }
  });

  it.each(samples.map(({ name }, index) => [name, index] as const))("%s of a wrong length", (_, index) => {
    const { bytes, malformed } = samples[index];
    if (index === samples.length - 1) return;
    // One octet more in the value, and the length says so: the list stays in step.
    const longer = Uint8Array.from([...bytes, 0]);
    longer[2]++;
    expect(decode(list(all.with(index, longer))).action).toBe(malformed);
    if (bytes[2] === 0) return;
    const shorter = bytes.slice(0, -1);
    shorter[2]--;
    expect(decode(list(all.with(index, shorter))).action).toBe(malformed);
  });

  it.each(samples.map(({ name }, index) => [name, index] as const))("%s twice: the first counts", (_, index) => {
    const other = Uint8Array.from(samples[index].bytes);
    if (other.length > 3) other[other.length - 1] ^= 1;
    const twice = decode(list([...all, other]));
    expect(twice.action).toBe("discard");
    expect(twice.attributes).toEqual(sound.attributes);
  });

  it.each(samples.map(({ name }, index) => [name, index] as const))("%s missing", (_, index) => {
    const { action } = decode(list(all.toSpliced(index, 1)));
    expect(action).toBe(samples[index].mandatory ? "withdraw" : "none");
  });

  it("means the same in any order", () => {
    const rotations = all.map((_, by) => [...all.slice(by), ...all.slice(0, by)]);
    const swaps = all.slice(1).map((_, at) => {
      const swapped = [...all];
      [swapped[at], swapped[at + 1]] = [swapped[at + 1], swapped[at]];
      return swapped;
    });
    for (const order of [...rotations, ...swaps, all.toReversed()])
      expect(decode(list(order))).toEqual({ action: "none", attributes: sound.attributes });
  });

  it("the strongest of any two faults decides, in either order", () => {
    const faults: [Outcome, string][] = [
      ["discard", "40 06 01 00"],
      ["withdraw", "c0 08 03 000000"],
      ["reset", "40 63 00"],
    ];
    const base = all.slice(0, 3);
    for (const [first, a] of faults)
      for (const [second, b] of faults) {
        const rank = (outcome: Outcome) => ["none", "discard", "withdraw", "reset"].indexOf(outcome);
        const strongest = rank(first) > rank(second) ? first : second;
        expect(decode(list([...base, hex(a), hex(b)])).action).toBe(strongest);
      }
  });
});

describe("an UPDATE", () => {
  const attributes = list(all.slice(0, 3));
  const withdrawn = hex("18 cb0071 08 0a");
  const nlri = hex("18 c63364 20 c0000201");
  const length = (bytes: Uint8Array) => Uint8Array.of(bytes.length >>> 8, bytes.length & 255);
  const body = list([length(withdrawn), withdrawn, length(attributes), attributes, nlri]);
  const read = (bytes: Uint8Array) => {
    try {
      const { layout, decoded } = decodeUpdate(bytes, 0, bytes.length, context);
      const routes = [layout.withdrawnEnd - layout.withdrawnStart, layout.nlriEnd - layout.nlriStart];
      return { routes, action: decoded?.action ?? ("none" as Outcome) };
    } catch (error) {
      expect(error).toBeInstanceOf(WireError);
      return { routes: [], action: "reset" as Outcome };
    }
  };

  it("cut at every byte is refused, or says less and never something else", () => {
    for (let cut = 0; cut < body.length; cut++) {
      const { routes, action } = read(body.subarray(0, cut));
      if (action !== "none") continue;
      // The only cuts that leave a sound message are between prefixes at its end.
      expect(cut).toBeGreaterThanOrEqual(body.length - nlri.length);
      expect(routes[1]).toBe(cut - (body.length - nlri.length));
    }
    expect(read(body)).toEqual({ routes: [withdrawn.length, nlri.length], action: "none" });
  });

  it.each([
    ["withdrawn routes", 0],
    ["path attributes", 2 + withdrawn.length],
  ])("with the length of its %s off by one", (_, at) => {
    for (const by of [1, -1, 0xff, 0x8000]) {
      const bytes = Uint8Array.from(body);
      const value = (bytes[at] << 8) + bytes[at + 1] + by;
      bytes[at] = value >>> 8;
      bytes[at + 1] = value;
      expect(["withdraw", "reset"]).toContain(read(bytes).action);
    }
  });

  it("with a prefix longer than its family has bits", () => {
    for (const bits of [33, 64, 128, 255]) {
      const bytes = Uint8Array.from(body);
      bytes[body.length - nlri.length] = bits;
      expect(read(bytes).action).toBe("reset");
    }
  });
});

describe("an OPEN", () => {
  const capabilities: Capability[] = [
    { kind: "multiprotocol", afi: 1, safi: 1 },
    { kind: "routeRefresh" },
    { kind: "extendedNextHop", entries: [{ afi: 1, safi: 1, nextHopAfi: 2 }] },
    { kind: "extendedMessage" },
    { kind: "role", role: 3 },
    {
      kind: "gracefulRestart",
      restarting: true,
      notification: true,
      time: 120,
      families: [{ afi: 1, safi: 1, forwarding: true }],
    },
    { kind: "as4", asn: 4200000000 },
    { kind: "addPath", entries: [{ afi: 1, safi: 1, receive: true, send: true }] },
    { kind: "enhancedRouteRefresh" },
    { kind: "longLivedGracefulRestart", families: [{ afi: 1, safi: 1, forwarding: true, staleTime: 86400 }] },
    { kind: "hostname", host: "tor1", domain: "example.net" },
  ];
  const short = encodeOpen({ version: 4, asn: 23456, holdTime: 90, routerId: 1, capabilities });
  const unknown: Capability = { kind: "unknown", code: 200, value: new Uint8Array(220) };
  const extended = encodeOpen({
    version: 4,
    asn: 23456,
    holdTime: 90,
    routerId: 1,
    capabilities: [...capabilities, unknown],
  });

  it.each([
    ["plain", short],
    ["extended (RFC 9072)", extended],
  ])("with %s parameters, cut at every byte: refused with 2/x", (_, message) => {
    expect(decodeOpen(message, 19, message.length).capabilities.length).toBeGreaterThan(10);
    for (let cut = 19; cut < message.length; cut++) {
      const error = failure(() => decodeOpen(message, 19, cut));
      expect(error.code).toBe(2);
    }
  });

  it.each([
    ["plain", short],
    ["extended (RFC 9072)", extended],
  ])("with %s parameters and any one octet changed: read, or refused with 2/x", (_, message) => {
    for (let at = 19; at < message.length; at++)
      for (const value of [0, 1, 2, 0x7f, 0x80, 0xff, message[at] + 1, message[at] - 1]) {
        const bytes = Uint8Array.from(message);
        bytes[at] = value;
        try {
          expect(decodeOpen(bytes, 19, bytes.length).version).toBe(4);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
          expect((error as WireError).code).toBe(2);
        }
      }
  });

  it.each(capabilities.map((capability) => [capability.kind, capability] as const))(
    "with a capability of a wrong length: %s",
    (_, capability) => {
      const message = encodeOpen({ version: 4, asn: 1, holdTime: 90, routerId: 1, capabilities: [capability] });
      // Parameter length, parameter type and length, capability code and length.
      const [optional, parameter, own] = [28, 30, 32];
      for (const by of [1, -1]) {
        const value = message.subarray(33);
        if (value.length + by < 0) continue;
        const bytes = by === 1 ? Uint8Array.from([...message, 0]) : message.slice(0, -1);
        for (const at of [optional, parameter, own]) bytes[at] += by;
        expect(failure(() => decodeOpen(bytes, 19, bytes.length)).code).toBe(2);
      }
    },
  );
});

describe("the other messages", () => {
  it("a ROUTE-REFRESH of any length but four is refused with 7/1 and itself as data (RFC 7313 §5)", () => {
    const message = encodeRouteRefresh(1, 1);
    for (const length of [0, 1, 2, 3, 5, 6, 100]) {
      const body = new Uint8Array(length).fill(1);
      const error = failure(() => decodeRouteRefresh(body, 0, length));
      expect([error.code, error.subcode, error.data.length]).toEqual([7, 1, 19 + length]);
    }
    expect(decodeRouteRefresh(message, 19, 23)).toEqual({ afi: 1, safi: 1, subtype: 0 });
  });

  it("a NOTIFICATION is read as far as it goes, and never answered", () => {
    const bytes = hex("06 02 04 72657374");
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { code, subcode, data } = decodeNotification(bytes, 0, cut);
      expect([code, subcode, data.length]).toEqual([cut > 0 ? 6 : 0, cut > 1 ? 2 : 0, Math.max(0, cut - 2)]);
    }
  });

  it.each(Object.entries(MessageType))("%s with a length in its header that its type cannot have", (_, type) => {
    // A ROUTE-REFRESH has an error of its own for a body of a wrong length.
    const least = { 1: 29, 2: 23, 3: 21, 4: 19, 5: 19 }[type];
    for (const length of [0, 18, least - 1, 4097, 65535]) {
      const framer = new Framer();
      const bytes = new Uint8Array(4200).fill(0xff);
      bytes[16] = length >>> 8;
      bytes[17] = length;
      bytes[18] = type;
      framer.push(bytes);
      const error = failure(() => framer.next());
      expect([error.code, error.subcode]).toEqual([1, 2]);
    }
  });
});

function failure(run: () => unknown): WireError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  throw new Error("nothing was thrown");
}
