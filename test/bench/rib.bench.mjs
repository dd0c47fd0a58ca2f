// node test/bench/rib.bench.mjs [transit|failover|peers|churn] [prefixes] [runs] [warm]
//
// The RIB in one process without sockets, see rib-bench.ts. The loads are those of scenarios S2, S3, S6 and S7 of
// benchmarks of routing daemons: one neighbour to another; the best of two neighbours is lost; a hundred neighbours; single
// changes in a full table. Prints seconds, CPU seconds and memory of each run.
// With `warm` the daemon's warm-up (bgp/warm-up/warm-up.ts) runs first.
// To see what it does: node --cpu-prof test/bench/rib.bench.mjs ...
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withBundle } from "./bundle.mjs";

const [name = "transit", count = "1000000", runs = "1", warm] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "underlay-bench-"));
try {
  await withBundle("rib-bench", async ({ loads, run, warmUp }, outfile) => {
    const load = loads[name];
    if (!load) throw new RangeError(`no load "${name}"; there are: ${Object.keys(loads).join(", ")}`);
    const bundle = JSON.stringify(outfile);
    const script = `const b = require(${bundle}); b.generate(b.loads.${name}, ${Number(count)}, ${JSON.stringify(directory)})`;
    execFileSync(process.execPath, ["-e", script], { stdio: "inherit" });
    if (warm) await warmUp();
    for (let i = 0; i < Number(runs); i++) await run(load, directory);
  });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
// Timers of neighbours that are gone would keep it for seconds.
process.exit();
