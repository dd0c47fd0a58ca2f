// Bytes nobody meant: random ones, and good messages cut, doubled and changed. Whatever comes, the decoders answer with
// values or a WireError. Every run takes a fixed share; FUZZ_RUNS=1000000 npm test -- unit test/fuzz takes more.
import { describe, expect, it } from "vitest";
import type { WireContext } from "../../bgp/wire/context.ts";
import { WireError } from "../../bgp/wire/error.ts";
import { Framer } from "../../bgp/wire/framer.ts";
import { KEEPALIVE, message } from "../../bgp/wire/message.ts";
import { checkNlri } from "../../bgp/wire/nlri.ts";
import { decodeNotification, encodeNotification } from "../../bgp/wire/notification.ts";
import { decodeOpen, encodeOpen } from "../../bgp/wire/open.ts";
import { describeNotification, MessageType } from "../../bgp/wire/registry.ts";
import { decodeRouteRefresh, encodeRouteRefresh } from "../../bgp/wire/route-refresh.ts";
import {
  decodeAttributes,
  encodeEndOfRib,
  layoutUpdate,
  locateMultiprotocol,
  type UpdateLayout,
} from "../../bgp/wire/update.ts";
import { hex } from "../support/hex.ts";
import { attributeVectors } from "../vectors/attributes.ts";

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
  ...attributeVectors.map(({ bytes }) => update("10 0a00 18 c0a801", bytes, "18 0a0000 20 0a000001 00")),
];

const contexts: WireContext[] = [true, false].flatMap((as4) =>
  [true, false].map((ebgp) => ({
    as4,
    ebgp,
    families: [4, 6] as const,
    extendedNextHop: as4 === ebgp,
    maxMessage: 4096,
  })),
);
const layout: UpdateLayout = {
  withdrawnStart: 0,
  withdrawnEnd: 0,
  attributesStart: 0,
  attributesEnd: 0,
  nlriStart: 0,
  nlriEnd: 0,
};
const mp = { reachStart: 0, reachEnd: 0, unreachStart: 0, unreachEnd: 0 };

function decodeBody(type: number, buffer: Uint8Array, start: number, end: number, context: WireContext): void {
  if (type === MessageType.OPEN) decodeOpen(buffer, start, end);
  else if (type === MessageType.ROUTE_REFRESH) decodeRouteRefresh(buffer, start, end);
  else if (type === MessageType.NOTIFICATION) {
    const { code, subcode, data } = decodeNotification(buffer, start, end);
    describeNotification(code, subcode, data);
  } else if (type === MessageType.UPDATE) {
    layoutUpdate(buffer, start, end, layout);
    const { attributesStart, attributesEnd, nlriStart, nlriEnd } = layout;
    checkNlri(buffer, layout.withdrawnStart, layout.withdrawnEnd, 32);
    checkNlri(buffer, nlriStart, nlriEnd, 32);
    locateMultiprotocol(buffer, attributesStart, attributesEnd, mp);
    const { attributes, action } = decodeAttributes(
      buffer,
      attributesStart,
      attributesEnd,
      context,
      nlriEnd > nlriStart,
    );
    if ((attributes === null) !== (action === "withdraw"))
      throw new Error(`action ${action} with attributes ${attributes}`);
  }
}

describe("fuzz", () => {
  it(`${RUNS} inputs end in values or a WireError`, { timeout: 600_000 }, () => {
    const random = generator(SEED);
    let accepted = 0;
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      const input = mutate(corpus[random(corpus.length)], random);
      try {
        const framer = new Framer();
        const split = random(input.length + 1);
        const context = contexts[random(contexts.length)];
        for (const part of [input.subarray(0, split), input.subarray(split)]) {
          framer.push(part);
          while (framer.next()) decodeBody(framer.type, framer.buffer, framer.start, framer.end, context);
        }
        accepted++;
      } catch (error) {
        if (!(error instanceof WireError)) throw new Error(`run ${run}, seed ${SEED}: ${error}`, { cause: error });
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
