// node test/bench/ipam.bench.mjs [pods]
//
// The allocator alone, see ipam-bench.ts: microseconds per allocation and release with so many pods (60000), and the
// longest one.
import { withBundle } from "./bundle.mjs";

const [pods = "60000"] = process.argv.slice(2);
await withBundle("ipam-bench", ({ run }) => {
  for (const line of run(Number(pods))) console.log(line);
});
