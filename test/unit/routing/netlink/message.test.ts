// Messages that are encoded ahead of their time.
import { expect, test } from "vitest";
import { Flag, MessageType } from "../../../../routing/netlink/constants.ts";
import { MessageWriter } from "../../../../routing/netlink/message.ts";

test("messages put back are the same under new sequence numbers, and the last one is the last", () => {
  const out = new MessageWriter(64);
  const encode = (name: string) => {
    out.begin(MessageType.newLink, 0);
    out.attributeText(3, name);
    out.end();
  };
  encode("a");
  encode("longer than that");
  const kept = out.copy();
  out.reset();
  encode("another");
  const after = out.firstSequence + 1;
  out.put(kept);
  expect([out.count, out.firstSequence]).toEqual([2, after]);
  const sequences = [...messages(out.buffer)].map((message) => message.readUInt32LE(8));
  expect(sequences).toEqual([after, after + 1]);
  expect(withoutSequences(out.buffer)).toEqual(withoutSequences(Buffer.from(kept)));
  out.flagLast(Flag.ack);
  const flags = [...messages(out.buffer)].map((message) => message.readUInt16LE(6) & Flag.ack);
  expect(flags).toEqual([0, Flag.ack]);
  encode("more");
  expect([out.count, out.firstSequence]).toEqual([3, after]);
});

function* messages(buffer: Buffer): Iterable<Buffer> {
  for (let at = 0; at < buffer.length; ) {
    const length = buffer.readUInt32LE(at);
    yield buffer.subarray(at, at + length);
    at += (length + 3) & ~3;
  }
}

function withoutSequences(buffer: Buffer): Buffer[] {
  return [...messages(buffer)].map((message) => Buffer.concat([message.subarray(0, 8), message.subarray(12)]));
}
