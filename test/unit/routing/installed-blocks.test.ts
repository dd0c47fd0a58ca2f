import { expect, it } from "vitest";
import { InstalledBlocks } from "../../../routing/fib/installed-blocks.ts";

const a = { prefix: "10.244.1.0/26", table: 7100 };
const b = { prefix: "10.244.2.0/26", table: 7100 };

it("gives a proof for what is acknowledged and not for what is refused", () => {
  const blocks = new InstalledBlocks();
  blocks.asking([a, b]);
  const { installed, refused } = blocks.answered([a, b], [{ ...b, error: "EEXIST" }]);
  expect(installed.map(({ table, stands }) => [table, stands])).toEqual([[7100, true]]);
  expect(refused).toEqual([{ ...b, error: "EEXIST" }]);
  // A second acknowledgement is of the same installation.
  blocks.asking([a, b]);
  expect(blocks.answered([a, b], []).installed[0]).toBe(installed[0]);
});

it("ends a proof before the kernel is asked to remove its block", () => {
  const blocks = new InstalledBlocks();
  blocks.asking([a]);
  const [proof] = blocks.answered([a], []).installed;
  blocks.asking([]);
  expect(proof.stands).toBe(false);
  expect(() => proof.require()).toThrow("10.244.1.0/26 is not in the kernel");
  // The answer to an older question proves nothing any more.
  expect(blocks.answered([a], []).installed).toEqual([]);
});

it("tells what a repair could not put back, and what came back, once each", () => {
  const blocks = new InstalledBlocks();
  blocks.asking([a]);
  const [proof] = blocks.answered([a], []).installed;
  const lost = { ...a, error: "EEXIST" };
  expect(blocks.repaired([lost])).toEqual([{ kind: "lost", block: lost }]);
  expect(proof.stands).toBe(false);
  expect(blocks.repaired([lost])).toEqual([]);
  const [back] = blocks.repaired([]);
  expect(back).toMatchObject({ kind: "restored", block: { table: 7100, stands: true } });
  expect(blocks.repaired([])).toEqual([]);
});

it("takes a repair's news for what was answered, not for what has just been asked", () => {
  const blocks = new InstalledBlocks();
  blocks.asking([a]);
  blocks.answered([a], []);
  blocks.asking([a, b]);
  expect(blocks.repaired([])).toEqual([]);
});
