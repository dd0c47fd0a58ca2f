// The lock of a state directory can be written to by its owner without any capability: as a service the daemon has none
// that passes over permissions.
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { lockStateDirectory } from "../../../daemon/lock.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ul-lock-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

it("is made for its owner alone", () => {
  lockStateDirectory(directory);
  expect(statSync(join(directory, "lock")).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(directory, "lock"), "utf8")).toBe(`${process.pid}\n`);
});

it("is given the owner's permissions when an earlier build has left none", () => {
  writeFileSync(join(directory, "lock"), "1\n");
  chmodSync(join(directory, "lock"), 0);
  lockStateDirectory(directory);
  expect(statSync(join(directory, "lock")).mode & 0o777).toBe(0o600);
});
