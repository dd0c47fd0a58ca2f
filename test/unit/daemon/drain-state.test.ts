import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { DRAIN_FILE, readDrainState, writeDrainState } from "../../../daemon/lifecycle/drain-state.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "drain-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

it("remembers what is drained, and leaves no file when nothing is", () => {
  expect(readDrainState(directory)).toEqual({ node: null, peers: new Map() });
  const state = { node: "2026-01-02T03:04:05.000Z", peers: new Map([["__proto__", "2026-01-02T03:04:06.000Z"]]) };
  writeDrainState(directory, state);
  expect(readDrainState(directory)).toEqual(state);
  expect(readdirSync(directory)).toEqual([DRAIN_FILE]);
  writeDrainState(directory, { node: null, peers: new Map() });
  expect(readdirSync(directory)).toEqual([]);
});

it.each(["", "{", "[]", "null", '{"node":1,"peers":{}}', '{"node":null}', '{"node":null,"peers":{"a":1}}'])(
  "does not guess from a damaged file: %s",
  (text) => {
    writeFileSync(join(directory, DRAIN_FILE), text);
    expect(() => readDrainState(directory)).toThrow(/drain\.json is damaged.*remove it/);
  },
);

it("says which file cannot be written", () => {
  rmSync(directory, { recursive: true });
  expect(() => writeDrainState(directory, { node: "now", peers: new Map() })).toThrow(/cannot write .*drain\.json/);
  writeDrainState(directory, { node: null, peers: new Map() });
  rmSync(directory, { recursive: true, force: true });
  directory = mkdtempSync(join(tmpdir(), "drain-"));
});
