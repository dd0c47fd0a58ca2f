// Routes into the kernel through the fib worker, in a namespace of its own: seconds, CPU and memory.
//
//   node test/bench/fib.bench.mjs [routes, default 100000 1000000]
//
// Columns: adding (one next-hop group of two), replacing the group's members, moving all routes to another set, losing
// and regaining an uplink, withdrawing. CPU is that of the whole process, kernel time included.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const work = mkdtempSync(join(tmpdir(), "underlay-bench-"));
const namespace = `ul-bench-${process.pid}`;
const ip = (...args) => execFileSync("ip", args, { encoding: "utf8" });
const inside = (command) => ip("netns", "exec", namespace, "sh", "-c", command);

async function load() {
  await build({
    absWorkingDir: root,
    entryPoints: { client: "routing/fib/client.ts", "fib-worker": "routing/fib/worker.ts" },
    outdir: work,
    outExtension: { ".js": ".cjs" },
    bundle: true,
    platform: "node",
    format: "cjs",
    logLevel: "error",
  });
  symlinkSync(join(root, "dist/underlay.node"), join(work, "underlay.node"));
  return createRequire(import.meta.url)(join(work, "client.cjs")).FibClient;
}

const SLICE = 8192;

/** Sends `count` IPv4 /24s in ascending order, honouring back-pressure. */
async function send(fib, count, set) {
  let drained = () => {};
  fib.onDrain(() => drained());
  for (let from = 0; from < count; from += SLICE) {
    const n = Math.min(SLICE, count - from);
    const addresses = new Uint8Array(n * 4);
    for (let i = 0; i < n; i++) {
      const value = (0x0b000000 + (from + i) * 256) >>> 0;
      addresses.set([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, 0], i * 4);
    }
    const batch = {
      family: 4,
      table: 7100,
      count: n,
      addresses,
      lengths: new Uint8Array(n).fill(24),
      nextHopSets: new Uint32Array(n).fill(set),
    };
    const more = new Promise((resolve) => {
      drained = resolve;
    });
    if (!fib.apply(batch)) await more;
    else await new Promise((resolve) => setImmediate(resolve));
  }
  await fib.flush();
}

async function measure(name, rows, work) {
  const cpu = process.cpuUsage();
  const begin = performance.now();
  await work();
  const { user, system } = process.cpuUsage(cpu);
  rows.push({
    what: name,
    s: ((performance.now() - begin) / 1000).toFixed(3),
    "user s": (user / 1e6).toFixed(2),
    "sys s": (system / 1e6).toFixed(2),
    "RSS MB": Math.round(process.memoryUsage.rss() / 1e6),
  });
}

async function run(FibClient, count) {
  const rows = [];
  const options = {
    install: true,
    protocol: 201,
    localTable: 7000,
    rulePriority: { local: 1000, hostRoutes: 1005, block: 1010, host: 1090 },
    nextHopIds: { base: 20_100_000, count: 10_000 },
    staleTime: 3600,
    sysctls: true,
  };
  const client = () => {
    const fib = new FibClient(options, { netns: `/run/netns/${namespace}` });
    fib.onEvent((event) => {
      if (event.kind === "error" || event.kind === "routesFailed") console.error(event.message);
    });
    return fib;
  };
  let fib = client();
  await fib.start();
  const [a, b] = ["up0", "up1"].map((name) => fib.links().find((link) => link.name === name).ifindex);
  const hop = (ifindex, i) => ({ ifindex, gateway: Uint8Array.of(192, 0, i, 2), weight: 1 });
  fib.setNextHopSet(1, [hop(a, 0), hop(b, 1)]);
  fib.setNextHopSet(2, [hop(b, 1)]);
  await measure(`add ${count}`, rows, () => send(fib, count, 1));
  const { installed } = await fib.status();
  if (installed !== count) throw new Error(`${installed} of ${count} routes installed`);
  await measure("replace the group", rows, async () => {
    fib.setNextHopSet(1, [hop(b, 1)]);
    await fib.flush();
  });
  await measure("move to another set", rows, () => send(fib, count, 2));
  await fib.stop("keep");
  fib = client();
  await measure("start, adopting all", rows, () => fib.start());
  fib.setNextHopSet(2, [hop(b, 1)]);
  await measure("confirm all", rows, () => send(fib, count, 2));
  await measure("withdraw all", rows, () => send(fib, count, 0));
  await fib.stop("remove");
  console.table(rows);
}

const FibClient = await load();
try {
  ip("netns", "add", namespace);
  for (const i of [0, 1])
    inside(
      `ip link add up${i} type veth peer name far${i}; ip addr add 192.0.${i}.1/24 dev up${i}; ip link set up${i} up; ip link set far${i} up`,
    );
  const counts = process.argv.slice(2).map(Number);
  for (const count of counts.length > 0 ? counts : [100_000, 1_000_000]) await run(FibClient, count);
} finally {
  ip("netns", "del", namespace);
  rmSync(work, { recursive: true });
}
