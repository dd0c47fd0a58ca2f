// node test/bench/wire.bench.mjs [prefixes]: nanoseconds that the codecs take per UPDATE, on one core, without a RIB.
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const directory = mkdtempSync(join(tmpdir(), "underlay-bench-"));
const outfile = join(directory, "wire.cjs");
try {
  await build({
    entryPoints: [join(dirname(fileURLToPath(import.meta.url)), "wire-bench.ts")],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    logLevel: "warning",
  });
  createRequire(import.meta.url)(outfile).run(Number(process.argv[2] ?? 1_000_000));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
