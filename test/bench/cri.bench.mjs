// node test/bench/cri.bench.mjs [sandboxes]
//
// RunPodSandbox and StopPodSandbox through containerd with underlay beside ptp, see cri-bench.ts. Needs root, the Debian
// packages containerd, runc, frr, busybox-static and containernetworking-plugins, and a build.
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const [sandboxes = "30"] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
// In dist/, where the bundle finds what was built.
const outfile = join(here, "..", "..", "dist", "cri-bench.cjs");
try {
  await build({
    entryPoints: [join(here, "cri-bench.ts")],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    logLevel: "warning",
  });
  await createRequire(import.meta.url)(outfile).run(Number(sandboxes));
} finally {
  rmSync(outfile, { force: true });
}
process.exit();
