// Bytes nobody meant: random ones, and good messages, ours and those of other speakers, cut, doubled and changed.
// Whatever comes, the decoders answer with values or a WireError of the right kind, the cheap scan of an attribute list
// agrees with the decoder, and what was accepted comes back the same from being encoded and decoded again.
// Every run takes a fixed share; FUZZ_RUNS=1000000 npm test -- unit test/fuzz takes more, FUZZ_SEED others.
import { describe, expect, it } from "vitest";
import { describeCapability } from "../../bgp/wire/capability.ts";
import type { WireContext } from "../../bgp/wire/context.ts";
import { WireError } from "../../bgp/wire/error.ts";
import { Framer } from "../../bgp/wire/framer.ts";
import { decodeNotification } from "../../bgp/wire/notification.ts";
import { decodeOpen } from "../../bgp/wire/open.ts";
import type { PathAttributes } from "../../bgp/wire/path-attributes.ts";
import { describeNotification, ErrorCode, MessageType } from "../../bgp/wire/registry.ts";
import { decodeRouteRefresh } from "../../bgp/wire/route-refresh.ts";
import { decodeAttributes, encodeAttributes, locateMultiprotocol } from "../../bgp/wire/update.ts";
import { Writer } from "../../bgp/wire/writer.ts";
import { toHex } from "../support/hex.ts";
import { decodeUpdate, wireContext } from "../support/wire.ts";
import { corpus, generator, mutate } from "./inputs.ts";

const RUNS = Number(process.env.FUZZ_RUNS ?? 30_000);
const SEED = Number(process.env.FUZZ_SEED ?? 4271);

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
