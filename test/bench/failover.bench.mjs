// node test/bench/failover.bench.mjs [runs]
//
// Packets lost when the path to one of two ToRs dies in silence, see failover-bench.ts. Needs root, BIRD and a build.
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const [runs = "10"] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
// In dist/, where the bundle finds what was built.
const outfile = join(here, "..", "..", "dist", "failover-bench.cjs");
try {
  await build({
    entryPoints: [join(here, "failover-bench.ts")],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    logLevel: "warning",
  });
  await createRequire(import.meta.url)(outfile).run(Number(runs));
} finally {
  rmSync(outfile, { force: true });
}
process.exit();
