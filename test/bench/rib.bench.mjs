// node test/bench/rib.bench.mjs [prefixes]: routes from one peer through the RIB to a second one, in one process without sockets:
// octets -> framer -> Adj-RIB-In -> Loc-RIB -> Adj-RIB-Out -> octets. Prints seconds, nanoseconds per prefix, memory.
// With --cpu-prof etc.: node --cpu-prof test/bench/rib.bench.mjs
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const directory = mkdtempSync(join(tmpdir(), "underlay-bench-"));
const outfile = join(directory, "rib.cjs");
await build({
  entryPoints: [join(dirname(fileURLToPath(import.meta.url)), "rib-bench.ts")],
  outfile,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  logLevel: "warning",
});
// The table is made in a process of its own, so that its memory and garbage are not counted.
const count = Number(process.argv[2] ?? 1_000_000);
const file = join(directory, "updates");
try {
  const script = `require(${JSON.stringify(outfile)}).generate(${count}, ${JSON.stringify(file)})`;
  execFileSync(process.execPath, ["-e", script], { stdio: "inherit" });
  await createRequire(import.meta.url)(outfile).run(count, file);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
