// node test/bench/wire.bench.mjs [prefixes]: nanoseconds that the codecs take per UPDATE, on one core, without a RIB.
import { withBundle } from "./bundle.mjs";

const [prefixes = "1000000"] = process.argv.slice(2);
await withBundle("wire-bench", ({ run }) => run(Number(prefixes)));
