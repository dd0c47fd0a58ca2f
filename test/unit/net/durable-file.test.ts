// A file is replaced as a whole, or stays as it was.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { replaceFile } from "../../../net/durable-file.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ul-durable-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

it("replaces what is there, with the mode asked for, and leaves nothing beside it", () => {
  const path = join(directory, "state.json");
  replaceFile(path, "a much longer text than the next one", 0o644);
  replaceFile(path, "short", 0o600);
  expect(readFileSync(path, "utf8")).toBe("short");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory)).toEqual(["state.json"]);
});

it("keeps what is there when the new one cannot be written", () => {
  const path = join(directory, "state.json");
  replaceFile(path, "before", 0o644);
  mkdirSync(`${path}.new`);
  expect(() => replaceFile(path, "after", 0o644)).toThrow(/EISDIR/);
  expect(readFileSync(path, "utf8")).toBe("before");
});
