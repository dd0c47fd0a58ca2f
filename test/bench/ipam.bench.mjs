// node test/bench/ipam.bench.mjs [pods]
//
// The allocator alone, see ipam-bench.ts: microseconds per allocation and release with so many pods (60000), and the longest one.
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const [pods = "60000"] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "underlay-bench-"));
const outfile = join(directory, "ipam.cjs");
await build({
  entryPoints: [join(dirname(fileURLToPath(import.meta.url)), "ipam-bench.ts")],
  outfile,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  logLevel: "warning",
});
try {
  for (const line of createRequire(import.meta.url)(outfile).run(Number(pods))) console.log(line);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
