// node test/bench/cri.bench.mjs [sandboxes]
//
// RunPodSandbox and StopPodSandbox through containerd with underlay beside ptp, see cri-bench.ts. Needs root, the Debian
// packages containerd, runc, frr, busybox-static and containernetworking-plugins, and a build.
import { withBundle } from "./bundle.mjs";

const [sandboxes = "30"] = process.argv.slice(2);
await withBundle("cri-bench", ({ run }) => run(Number(sandboxes)));
process.exit();
