// Whatever is in the file: a Config or a ConfigError whose problems can be shown, and never anything else.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { stringify } from "yaml";
import { AsPathExpression } from "../../../bgp/policy/as-path-expression.ts";
import { asPathFault } from "../../../config/as-path-syntax.ts";
import { ConfigError, parseConfig } from "../../../config/load.ts";
import { parseDuration } from "../../../net/duration.ts";

const noSecret = () => ({ bytes: Uint8Array.of(120), worldReadable: false });
const examples = ["minimal", "dual-tor", "policies", "route-policy"].map((name) =>
  readFileSync(join(import.meta.dirname, `../../../config/examples/${name}.yaml`), "utf8"),
);

function survives(text: string): void {
  try {
    parseConfig(text, "f.yaml", noSecret);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.problems.length).toBeGreaterThan(0);
    const lines = text.split(/\n/).length;
    for (const problem of error.problems) {
      expect(problem.line).toBeGreaterThanOrEqual(0);
      expect(problem.line).toBeLessThanOrEqual(lines + 1);
      expect(String(problem)).toMatch(/^f\.yaml(:\d+:\d+)?: \S/);
    }
  }
}

it("any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => survives(new TextDecoder().decode(bytes))),
    { numRuns: 1000 },
  );
});

it("any text of YAML's own characters", () => {
  const piece = fc.constantFrom(
    "node:",
    "peers:",
    "asn:",
    " ",
    "  ",
    "\n",
    "\n  ",
    "- ",
    "? ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "<<: ",
    "|",
    ">",
    "#",
    "'",
    '"',
    "!!str ",
    "---\n",
    "\t",
    "~",
    "1",
    "x",
    "%YAML 1.1\n",
    "!<x> ",
    "...\n",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => survives(pieces.join(""))),
    { numRuns: 3000 },
  );
});

it("any value under any known key", () => {
  const keys = fc.constantFrom(
    "node",
    "name",
    "asn",
    "routerId",
    "pools",
    "default",
    "blocks",
    "exclude",
    "reserve",
    "cooldown",
    "sticky",
    "warnAt",
    "for",
    "table",
    "tables",
    "fabric",
    "id",
    "peers",
    "tor-a",
    "address",
    "import",
    "export",
    "password",
    "file",
    "gracefulRestart",
    "bfd",
    "addPath",
    "interval",
    "time",
    "policies",
    "match",
    "prefix",
    "community",
    "set",
    "prepend",
    "then",
    "routing",
    "rulePriority",
    "bgp",
    "listenAddresses",
    "api",
    "listen",
    "paths",
    "run",
    "__proto__",
    "constructor",
    "toString",
  );
  const leaf = fc.oneof(
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.string(),
    fc.constantFrom(
      "10.0.0.0/24",
      "10.0.0.1",
      "fe80::1",
      "::/0",
      "65001:1",
      "1.2.3.4-1.2.3.9",
      "90s",
      "all",
      "self",
      "none",
    ),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 6, withCrossShrink: true },
      leaf,
      fc.array(tie("tree"), { maxLength: 3 }),
      fc.dictionary(keys, tie("tree"), { maxKeys: 5 }),
    ),
  }));
  const top = fc.record(
    {
      node: fc.oneof(tree, fc.constant({ name: "n", asn: 1, routerId: "1.1.1.1" })),
      pools: tree,
      tables: tree,
      peers: fc.oneof(tree, fc.dictionary(fc.string(), tree)),
      policies: fc.dictionary(fc.string(), fc.array(tree)),
      routing: tree,
      bgp: tree,
      api: tree,
      paths: tree,
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(top, (value) => survives(stringify(value))),
    { numRuns: 300 },
  );
});

it("a good file with a character changed, removed or put in", () => {
  const change = fc.record({
    file: fc.constantFrom(...examples),
    at: fc.nat(),
    kind: fc.nat(2),
    text: fc.string({ maxLength: 3, unit: "binary" }),
  });
  fc.assert(
    fc.property(change, ({ file, at, kind, text }) => {
      const position = at % file.length;
      survives(file.slice(0, position) + (kind === 1 ? "" : text) + file.slice(position + (kind === 2 ? 0 : 1)));
    }),
    { numRuns: 1000 },
  );
});

it.each([
  [90, 90],
  ["90s", 90],
  ["1m30s", 90],
  ["2h", 7200],
  ["1d", 86400],
  ["1500ms", 1.5],
  ["1.5m", 90],
  [0, 0],
  [-1, null],
  ["", null],
  ["90", null],
  ["s", null],
  ["90 s", null],
  [Number.NaN, null],
  [null, null],
  ["1w", null],
] as const)("duration %j is %j", (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds);
});

it("an AS path expression is refused here exactly when it cannot be compiled", () => {
  const piece = fc.constantFrom(..."()[]^-$|*+?\\_.{}d65,", "65001", "[^", "[]", "(?:");
  const any = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join("")),
    fc.string({ maxLength: 300 }),
  );
  fc.assert(
    fc.property(any, (source) => {
      let compiles = true;
      try {
        new AsPathExpression(source);
      } catch {
        compiles = false;
      }
      expect(asPathFault(source) === null).toBe(compiles);
    }),
    { numRuns: 5000 },
  );
});
