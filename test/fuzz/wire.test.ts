// Bytes nobody meant: random ones, and good messages, ours and those of other speakers, cut, doubled and changed.
// Whatever comes, the decoders answer with values or a WireError of the right kind, the cheap scan of an attribute list
// agrees with the decoder, and what was accepted comes back the same from being encoded and decoded again.
// Every run takes a fixed share; FUZZ_RUNS=1000000 npm test -- unit test/fuzz takes more, FUZZ_SEED others.
import { describe, expect, it } from "vitest";
import { describeCapability } from "../../bgp/wire/capability.ts";
import type { WireContext } from "../../bgp/wire/context.ts";
import { WireError } from "../../bgp/wire/error.ts";
import { Framer } from "../../bgp/wire/framer.ts";
import { KEEPALIVE, message } from "../../bgp/wire/message.ts";
import { decodeNotification, encodeNotification } from "../../bgp/wire/notification.ts";
import { decodeOpen, encodeOpen } from "../../bgp/wire/open.ts";
import type { PathAttributes } from "../../bgp/wire/path-attributes.ts";
import { describeNotification, ErrorCode, MessageType } from "../../bgp/wire/registry.ts";
import { decodeRouteRefresh, encodeRouteRefresh } from "../../bgp/wire/route-refresh.ts";
import { decodeAttributes, encodeAttributes, encodeEndOfRib, locateMultiprotocol } from "../../bgp/wire/update.ts";
import { Writer } from "../../bgp/wire/writer.ts";
import { hex, toHex } from "../support/hex.ts";
import { decodeUpdate, wireContext } from "../support/wire.ts";
import { attributeVectors } from "../vectors/attributes.ts";
import { recordings } from "../vectors/recordings.ts";

const RUNS = Number(process.env.FUZZ_RUNS ?? 30_000);
const SEED = Number(process.env.FUZZ_SEED ?? 4271);

/** xorshift32: the same inputs for the same seed. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function update(withdrawn: string, attributes: string, nlri: string): Uint8Array {
  const part = (text: string) => {
    const bytes = hex(text);
    return [bytes.length >>> 8, bytes.length & 255, ...bytes];
  };
  return message(MessageType.UPDATE, Uint8Array.from([...part(withdrawn), ...part(attributes), ...hex(nlri)]));
}

const corpus: Uint8Array[] = [
  KEEPALIVE,
  encodeNotification(6, 2, hex("05 68656c6c6f")),
  encodeRouteRefresh(1, 1),
  encodeEndOfRib(4),
  encodeEndOfRib(6),
  ...[3, 300].map((length) =>
    encodeOpen({
      version: 4,
      asn: 65001,
      holdTime: 90,
      routerId: 1,
      capabilities: [
        { kind: "multiprotocol", afi: 1, safi: 1 },
        { kind: "as4", asn: 70000 },
        { kind: "extendedNextHop", entries: [{ afi: 1, safi: 1, nextHopAfi: 2 }] },
        {
          kind: "gracefulRestart",
          restarting: false,
          notification: true,
          time: 120,
          families: [{ afi: 2, safi: 1, forwarding: false }],
        },
        { kind: "unknown", code: 73, value: new Uint8Array(Math.min(length, 250)) },
      ],
    }),
  ),
  ...recordings.flatMap(({ messages }) => messages.map((text) => hex(`${"ff".repeat(16)}${text}`))),
  ...recordings.map(({ messages }) =>
    Buffer.concat(messages.slice(0, 4).map((text) => hex(`${"ff".repeat(16)}${text}`))),
  ),
  ...attributeVectors.map(({ bytes }) => update("10 0a00 18 c0a801", bytes, "18 0a0000 20 0a000001 00")),
];

const contexts: WireContext[] = [true, false].flatMap((as4) =>
  [true, false].map((ebgp) => wireContext({ as4, ebgp, extendedNextHop: as4 === ebgp })),
);
const mp = { reachStart: 0, reachEnd: 0, unreachStart: 0, unreachEnd: 0 };
/** A context that loses nothing. */
const internal = wireContext({ ebgp: false, extendedNextHop: true });

/** The NOTIFICATION error code that each type's faults have. */
const errorCodes: Record<number, number> = {
  [MessageType.OPEN]: ErrorCode.OPEN_MESSAGE_ERROR,
  [MessageType.UPDATE]: ErrorCode.UPDATE_MESSAGE_ERROR,
  [MessageType.ROUTE_REFRESH]: ErrorCode.ROUTE_REFRESH_ERROR,
};

function decodeBody(type: number, buffer: Uint8Array, start: number, end: number, context: WireContext): void {
  if (type === MessageType.OPEN) {
    for (const capability of decodeOpen(buffer, start, end).capabilities) describeCapability(capability);
  } else if (type === MessageType.ROUTE_REFRESH) decodeRouteRefresh(buffer, start, end);
  else if (type === MessageType.NOTIFICATION) {
    const { code, subcode, data } = decodeNotification(buffer, start, end);
    describeNotification(code, subcode, data);
  } else if (type === MessageType.UPDATE) checkUpdate(buffer, start, end, context);
}

function must(condition: boolean, text: string): void {
  if (!condition) throw new Error(text);
}

function checkUpdate(buffer: Uint8Array, start: number, end: number, context: WireContext): void {
  const { layout, decoded } = decodeUpdate(buffer, start, end, context);
  if (!decoded) return;
  const { attributes, action, errors, mpReach, mpUnreach } = decoded;
  locateMultiprotocol(buffer, layout.attributesStart, layout.attributesEnd, mp);
  must(mp.reachStart >= 0 === (mpReach !== null), "MP_REACH_NLRI found by one of scan and decoder");
  must(mp.unreachStart >= 0 === (mpUnreach !== null), "MP_UNREACH_NLRI found by one of scan and decoder");
  must((attributes === null) === (action === "withdraw"), `action ${action} with attributes ${attributes}`);
  must((action === "none") === (errors.length === 0), `action ${action} with ${errors.length} errors`);
  must(errors.length <= 17, `${errors.length} errors`);
  for (const error of errors) must(error.code === 3 && error.action !== "reset", `error ${error.message}`);
  if (attributes) checkEncoding(attributes);
}

/** What was accepted is sent as bytes that decode to the same values, for both kinds of neighbour. */
function checkEncoding(attributes: PathAttributes): void {
  const octets = (value: PathAttributes, as4: boolean) => {
    const writer = new Writer();
    encodeAttributes(writer, value, { as4 }, true);
    return writer.slice();
  };
  for (const as4 of [true, false]) {
    const once = octets(attributes, as4);
    const again = decodeAttributes(once, 0, once.length, { ...internal, as4 }, false);
    must(again.attributes !== null && again.action === "none", `our own encoding: ${again.errors[0]?.message}`);
    const twice = octets(again.attributes as PathAttributes, as4);
    must(Buffer.compare(once, twice) === 0, `encoded ${toHex(once)}, then ${toHex(twice)}`);
  }
}

describe("fuzz", () => {
  it(`${RUNS} inputs end in values or a WireError`, { timeout: 600_000 }, () => {
    const random = generator(SEED);
    let accepted = 0;
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      const input = mutate(corpus[random(corpus.length)], random);
      // Type of the message that is being decoded; 0: still being framed.
      let type = 0;
      try {
        const framer = new Framer();
        const split = random(input.length + 1);
        const context = contexts[random(contexts.length)];
        for (const part of [input.subarray(0, split), input.subarray(split)]) {
          framer.push(part);
          while (framer.next()) {
            type = framer.type;
            decodeBody(type, framer.buffer, framer.start, framer.end, context);
            type = 0;
          }
        }
        accepted++;
      } catch (error) {
        const expected = type === 0 ? ErrorCode.MESSAGE_HEADER_ERROR : errorCodes[type];
        if (!(error instanceof WireError) || error.action !== "reset" || error.code !== expected)
          throw new Error(`run ${run}, seed ${SEED}, ${toHex(input)}: ${error}`, { cause: error });
        refused++;
      }
    }
    expect(accepted).toBeGreaterThan(RUNS / 20);
    expect(refused).toBeGreaterThan(RUNS / 20);
  });
});

/** One to four changes of a good message; often with the header's length made right again, so that the body is reached. */
function mutate(original: Uint8Array, random: (below: number) => number): Uint8Array {
  if (random(20) === 0) return Uint8Array.from({ length: random(80) }, () => random(256));
  let bytes = Uint8Array.from(original);
  const place = () =>
    random(8) === 0 ? random(bytes.length) : Math.min(bytes.length - 1, 19 + random(Math.max(1, bytes.length - 19)));
  for (let changes = 1 + random(4); changes > 0 && bytes.length > 0; changes--) {
    const at = place();
    switch (random(6)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] ^= 1 << random(8);
        break;
      case 2:
        bytes[at] += random(2) === 0 ? 1 : -1;
        break;
      case 3:
        bytes = bytes.slice(0, at);
        break;
      case 4:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(Math.max(0, at - random(40)))]);
        break;
      default:
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          ...bytes.subarray(Math.min(bytes.length, at + 1 + random(4))),
        ]);
    }
  }
  if (bytes.length >= 19 && random(4) !== 0) {
    bytes[16] = bytes.length >>> 8;
    bytes[17] = bytes.length;
  }
  return bytes;
}
