// What is written to etcd and to the disk, read back; and what somebody else has written there, or a disk has left of it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { startingWith } from "../../../../cni/blocks/etcd/kv.ts";
import { Keys } from "../../../../cni/blocks/keys.ts";
import { EMPTY_COPY, LocalFile, parseLocalCopy } from "../../../../cni/blocks/local-copy.ts";
import { type BlockRecord, parseBlock, parseIdentity, parseLoan, parseNode } from "../../../../cni/blocks/records.ts";

const record: BlockRecord = {
  node: "n1",
  registration: "r",
  pool: "default",
  state: "confirmed",
  claim: "c",
  rack: null,
  lend: "10.0.0.14-10.0.0.15",
  since: "now",
};

it("keeps the copy on the disk over a restart, and refuses a damaged one in words", async () => {
  const directory = mkdtempSync(join(tmpdir(), "underlay-blocks-"));
  try {
    const file = new LocalFile(join(directory, "state", "blocks.json"));
    expect(await file.load()).toEqual(EMPTY_COPY);
    const copy = { ...EMPTY_COPY, registration: "r", blocks: [{ prefix: "10.0.0.0/28", record }] };
    await file.save(copy);
    expect(await file.load()).toEqual({ ...copy });
    // Of a version that did not know what it holds now.
    writeFileSync(file.path, JSON.stringify({ version: 1, ...copy, departed: undefined }));
    expect(await file.load()).toEqual(copy);
    writeFileSync(file.path, '{"version":1,"registr');
    await expect(file.load()).rejects.toThrow(/blocks\.json is damaged: .*move it away when no pod is left/);
    writeFileSync(file.path, JSON.stringify({ version: 2, ...copy }));
    await expect(file.load()).rejects.toThrow(/damaged/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

it("never throws at what others have written", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      for (const parse of [parseBlock, parseIdentity, parseLoan, parseNode, parseLocalCopy]) parse(text);
    }),
    { numRuns: 300 },
  );
  expect(parseBlock(JSON.stringify(record))).toEqual(record);
  expect(parseBlock(JSON.stringify({ ...record, later: 1 }))).toMatchObject(record);
  for (const field of Object.keys(record)) expect(parseBlock(JSON.stringify({ ...record, [field]: 7 }))).toBeNull();
  expect(parseBlock(JSON.stringify({ ...record, state: "odd" }))).toBeNull();
});

it("has no name reach out of its place, and finds it again in the key", () => {
  const keys = new Keys();
  const inside = (key: string, { key: from, end }: { key: string; end: string }) => key >= from && key < end;
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: "grapheme" }), fc.string({ minLength: 1 }), (node, other) => {
      expect(keys.parseNodeKey(keys.nodeBlock(node, "2001:db8::/124"))).toEqual({
        node,
        kind: "blocks",
        rest: "2001:db8::/124",
      });
      const own = keys.node(node) as { key: string; end: string };
      expect(inside(keys.registration(node), own)).toBe(true);
      if (node !== other) expect(inside(keys.registration(other), own)).toBe(false);
    }),
  );
  expect(keys.registration("a\ud800/")).toBe("/underlay/v1/nodes/a%EF%BF%BD%2F/registration");
  expect(keys.block("10.0.0.0/28")).toBe("/underlay/v1/blocks/4/10.0.0.0/28");
  expect(keys.prefixOf(keys.block("2001:db8::/124"))).toBe("2001:db8::/124");
  expect(new Keys("/dc1/v1").registration("a")).toBe("/dc1/v1/nodes/a/registration");
  expect(startingWith("a/")).toEqual({ key: "a/", end: "a0" });
});
