import { describe, expect, it } from "vitest";
import { Framer } from "../../../../bgp/wire/framer.ts";
import { decodeOpen } from "../../../../bgp/wire/open.ts";
import { MessageType } from "../../../../bgp/wire/registry.ts";
import { hex } from "../../../support/hex.ts";
import { decodeUpdate, describeUpdate, wireContext } from "../../../support/wire.ts";
import { type Recording, recordings } from "../../../vectors/recordings.ts";

const streamOf = ({ messages }: Recording) =>
  Buffer.concat(messages.map((message) => hex(`${"ff".repeat(16)}${message}`)));

/** Every message of the stream, given in two pieces, in words. */
function read(stream: Uint8Array, split: number, as4: boolean): string[] {
  const context = wireContext({ as4, extendedNextHop: true });
  const framer = new Framer();
  const lines: string[] = [];
  for (const part of [stream.subarray(0, split), stream.subarray(split)]) {
    framer.push(part);
    while (framer.next()) {
      const { buffer, start, end } = framer;
      if (framer.type === MessageType.OPEN) {
        const { capabilities } = decodeOpen(buffer, start, end);
        const as4Number = capabilities.find((capability) => capability.kind === "as4");
        lines.push(`OPEN ${as4Number?.kind === "as4" ? as4Number.asn : "without 4-octet AS"}`);
      } else if (framer.type === MessageType.UPDATE) {
        const update = decodeUpdate(buffer, start, end, context);
        expect(update.decoded?.errors ?? []).toEqual([]);
        lines.push(...describeUpdate(buffer, update));
      }
    }
  }
  expect(framer.buffered).toBe(0);
  return lines;
}

describe("what real speakers send", () => {
  it.each(recordings)("$speaker, as4 $as4: the same at every split of the stream", (recording) => {
    const stream = streamOf(recording);
    const whole = read(stream, 0, recording.as4);
    for (let split = 1; split < stream.length; split++) expect(read(stream, split, recording.as4)).toEqual(whole);
  });
  it.each(recordings)("$speaker, as4 $as4: what it says", (recording) => {
    expect(read(streamOf(recording), 0, recording.as4)).toEqual(recording.says);
  });
});
