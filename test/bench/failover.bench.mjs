// node test/bench/failover.bench.mjs [runs]
//
// Packets lost when the path to one of two ToRs dies in silence, see failover-bench.ts. Needs root, BIRD and a build.
import { withBundle } from "./bundle.mjs";

const [runs = "10"] = process.argv.slice(2);
await withBundle("failover-bench", ({ run }) => run(Number(runs)));
process.exit();
