// The same changed UPDATEs through the reader of the Adj-RIB-In, which knows attribute lists again by their octets, and
// through the plain decoder: both reset or neither does, no route is announced that the decoder would withdraw, and
// interned attributes mean what the octets in the message meant.
import { describe, expect, it } from "vitest";
import { UpdateReader } from "../../bgp/adj-rib-in/update-reader.ts";
import { AttributeStore } from "../../bgp/attribute-store.ts";
import type { WireContext } from "../../bgp/wire/context.ts";
import { WireError } from "../../bgp/wire/error.ts";
import type { PathAttributes } from "../../bgp/wire/path-attributes.ts";
import { encodeAttributes } from "../../bgp/wire/update.ts";
import { Writer } from "../../bgp/wire/writer.ts";
import { toHex } from "../support/hex.ts";
import { type DecodedUpdate, decodeUpdate, wireContext } from "../support/wire.ts";
import { corpus, generator, mutate } from "./inputs.ts";

const RUNS = Number(process.env.FUZZ_RUNS ?? 30_000);
const SEED = Number(process.env.FUZZ_SEED ?? 4271);

const source = (wire: WireContext) => ({ wire, localAsn: 65000, nodeAsn: 65000, routerId: 1, clusterId: 1 });
const sources = [
  ...[true, false].flatMap((as4) =>
    [true, false].map((ebgp) => source(wireContext({ as4, ebgp, extendedNextHop: as4 === ebgp }))),
  ),
  // Reads path identifiers (RFC 7911) where the messages have none: prefixes begin anywhere.
  source(wireContext({ addPath: { receive: [4, 6], send: [] } })),
];
const updates = corpus.filter((message) => message[18] === 2);

function octets(attributes: PathAttributes): string {
  const writer = new Writer();
  encodeAttributes(writer, attributes, { as4: true }, false);
  return `${toHex(writer.slice())} via ${attributes.nextHop ? toHex(attributes.nextHop) : "nothing"}`;
}

function wireErrorOf(run: () => void): WireError | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
}

describe("fuzz", () => {
  it(`${RUNS} UPDATEs mean the same to reader and decoder`, { timeout: 600_000 }, () => {
    const random = generator(SEED);
    const store = new AttributeStore({ intern: () => 1, release: () => {} });
    const reader = new UpdateReader(store);
    let announced = 0;
    for (let run = 0; run < RUNS; run++) {
      const original = updates[random(updates.length)];
      const input = random(4) === 0 ? original : mutate(original, random);
      if (input.length < 23) continue;
      const source = sources[random(sources.length)];
      const about = `run ${run}, seed ${SEED}, ${toHex(input)}`;
      let update: DecodedUpdate | null = null;
      const refused = wireErrorOf(() => {
        update = decodeUpdate(input, 19, input.length, source.wire);
      });
      const found: { family: 4 | 6; attributes: PathAttributes }[] = [];
      const reset = wireErrorOf(() =>
        reader.read(source, store.tagOf(source), input, 19, input.length, {
          withdraw() {},
          treatAsWithdraw() {},
          endOfRib() {},
          wireErrors() {},
          announce: (family, _buffer, _start, _end, id) => found.push({ family, attributes: store.attributes(id) }),
        }),
      );
      expect(reset === null, `${about}: ${reset?.message} or ${refused?.message}`).toBe(refused === null);
      if (reset || !update) continue;
      const { layout, decoded } = update as DecodedUpdate;
      const hasNlri = layout.nlriEnd > layout.nlriStart;
      for (const { family, attributes } of found) {
        announced++;
        expect(attributes.nextHop, about).not.toBeNull();
        // Beside NLRI, the routes of MP_REACH_NLRI are read on their own: a fault of NEXT_HOP does not touch them.
        const own = hasNlri && decoded?.mpReach?.family === family;
        if (own) continue;
        expect(decoded?.attributes, about).toBeTruthy();
        expect(octets(attributes), about).toBe(octets(decoded?.attributes as PathAttributes));
      }
    }
    expect(announced).toBeGreaterThan(RUNS / 20);
  });
});
