// What the codecs cost: a table of `count` prefixes, 12 to a message, through framer, layout, scan and prefix check as
// for attributes that came before; the same with every attribute list decoded; and the encoding of one list.
import { Framer } from "../../bgp/wire/framer.ts";
import { beginMessage, endMessage } from "../../bgp/wire/message.ts";
import { checkNlri } from "../../bgp/wire/nlri.ts";
import { emptyAttributes } from "../../bgp/wire/path-attributes.ts";
import { MessageType } from "../../bgp/wire/registry.ts";
import { decodeAttributes, encodeAttributes, layoutUpdate, locateMultiprotocol } from "../../bgp/wire/update.ts";
import { Writer } from "../../bgp/wire/writer.ts";

const PER_MESSAGE = 12;
/** What one read of a socket returns. */
const CHUNK = 65536;
const context = { as4: true, ebgp: true, families: [4, 6] as const, extendedNextHop: false, maxMessage: 4096 };

function attributesOf(index: number) {
  return {
    ...emptyAttributes,
    asPath: [{ type: 2 as const, asns: [65001, 64500 + (index % 300), 3000 + (index % 7000), 50_000 + index] }],
    nextHop: Uint8Array.of(10, 0, 0, 1),
    med: index % 5,
    communities: [0xfde90001, (0xfde90000 | (index & 0xffff)) >>> 0],
  };
}

function encodeTable(count: number): Uint8Array {
  const writer = new Writer(1 << 20);
  for (let prefix = 0; prefix < count; prefix += PER_MESSAGE) {
    const start = beginMessage(writer, MessageType.UPDATE);
    writer.u16(0);
    const lengthAt = writer.offset;
    writer.u16(0);
    encodeAttributes(writer, attributesOf(prefix / PER_MESSAGE), { as4: true }, true);
    writer.patchU16(lengthAt, writer.offset - lengthAt - 2);
    for (let i = prefix; i < Math.min(count, prefix + PER_MESSAGE); i++) {
      writer.u8(24);
      writer.u8(1 + (i >>> 16));
      writer.u8(i >>> 8);
      writer.u8(i);
    }
    endMessage(writer, start);
  }
  return writer.slice();
}

function readTable(stream: Uint8Array, decode: boolean): { messages: number; prefixes: number } {
  const framer = new Framer();
  const layout = { withdrawnStart: 0, withdrawnEnd: 0, attributesStart: 0, attributesEnd: 0, nlriStart: 0, nlriEnd: 0 };
  const mp = { reachStart: 0, reachEnd: 0, unreachStart: 0, unreachEnd: 0 };
  let messages = 0;
  let prefixes = 0;
  for (let at = 0; at < stream.length; at += CHUNK) {
    framer.push(stream.subarray(at, at + CHUNK));
    while (framer.next()) {
      const { buffer, start, end } = framer;
      layoutUpdate(buffer, start, end, layout);
      locateMultiprotocol(buffer, layout.attributesStart, layout.attributesEnd, mp);
      if (decode) decodeAttributes(buffer, layout.attributesStart, layout.attributesEnd, context, true);
      prefixes += checkNlri(buffer, layout.nlriStart, layout.nlriEnd, 32);
      messages++;
    }
  }
  return { messages, prefixes };
}

function best<T>(run: () => T): [milliseconds: number, result: T] {
  let least = Number.POSITIVE_INFINITY;
  let result = run();
  for (let i = 0; i < 5; i++) {
    const from = performance.now();
    result = run();
    least = Math.min(least, performance.now() - from);
  }
  return [least, result];
}

export function run(count: number): void {
  const [encoding, stream] = best(() => encodeTable(count));
  const [scanning, { messages, prefixes }] = best(() => readTable(stream, false));
  const [decoding] = best(() => readTable(stream, true));
  const report = (what: string, milliseconds: number) =>
    console.log(
      `${what.padEnd(36)} ${milliseconds.toFixed(1)} ms, ${((milliseconds * 1e6) / messages).toFixed(0)} ns per message`,
    );
  console.log(`${prefixes} prefixes, ${messages} messages, ${(stream.length / 1e6).toFixed(1)} MB`);
  report("frame, lay out, scan, check prefixes", scanning);
  report("  and decode the attributes", decoding);
  report("encode", encoding);
}
