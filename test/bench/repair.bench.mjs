// How long the kernel is without something of ours that another program deleted: a rule, a blackhole, a learned route, a
// next-hop object. Each is deleted at random pauses; the time runs from the delete's acknowledgement to the
// notification that it is there again. Eight deletions, then rest: who goes on is met with growing delays (damper.ts).
//
//   node test/bench/repair.bench.mjs [times each, default 20: a minute]
import { execFileSync } from "node:child_process";
import { mkdtempSync, openSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const work = mkdtempSync(join(tmpdir(), "underlay-bench-"));
const namespace = `ul-bench-${process.pid}`;
const times = Number(process.argv[2] ?? 20);
/** What the damper lets pass at once, and when it has forgotten. */
const BURST = 8;
const QUIET_MS = 5300;
const ip = (...args) => execFileSync("ip", args, { encoding: "utf8" });
const inside = (command) => ip("netns", "exec", namespace, "sh", "-c", command);

async function load() {
  const sources = [
    "fib/client",
    "netlink/socket",
    "netlink/rule",
    "netlink/route",
    "netlink/nexthop",
    "netlink/constants",
  ];
  const shared = { absWorkingDir: root, bundle: true, platform: "node", format: "cjs", logLevel: "error" };
  await build({ ...shared, entryPoints: ["routing/fib/worker.ts"], outfile: join(work, "fib-worker.cjs") });
  const contents = [...sources.map((name) => `routing/${name}`), "net/native"]
    .map((name) => `export * from "./${name}.ts";`)
    .join("\n");
  await build({ ...shared, stdin: { contents, resolveDir: root, loader: "ts" }, outfile: join(work, "routing.cjs") });
  symlinkSync(join(root, "dist/underlay.node"), join(work, "underlay.node"));
  return createRequire(import.meta.url)(join(work, "routing.cjs"));
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Reads notifications until `type` comes; NaN after ten seconds. Looks without sleeping: the figures are small. */
async function awaitNotification(r, fd, type, since) {
  const buffer = Buffer.alloc(65536);
  for (let now = since; now - since < 10_000; now = performance.now()) {
    await new Promise(setImmediate);
    const length = r.native().recv(fd, buffer, 0x40);
    for (let at = 0; at + 16 <= length; at += (buffer.readUInt32LE(at) + 3) & ~3)
      if (buffer.readUInt16LE(at + 4) === type) return performance.now() - since;
  }
  return Number.NaN;
}

async function run(r) {
  const path = `/run/netns/${namespace}`;
  const netnsFd = openSync(path, "r");
  const options = {
    install: true,
    protocol: 201,
    localTable: 7000,
    rulePriority: { local: 1000, hostRoutes: 1005, block: 1010, host: 1090 },
    nextHopIds: { base: 20_100_000, count: 10_000 },
    staleTime: 3600,
    sysctls: true,
  };
  const fib = new r.FibClient(options, { netns: path });
  fib.onEvent((event) => {
    if (event.kind === "error" || event.kind === "routesFailed") console.error(event.message);
  });
  await fib.start();
  const ifindex = fib.links().find((link) => link.name === "up0").ifindex;
  await fib.setOwned({
    blocks: [{ prefix: "10.244.1.0/26", table: 7100 }],
    tables: [{ name: "fabric", id: 7100, host: false, fallback: "host", hostRoutes: "first" }],
  });
  fib.setNextHopSet(1, [{ ifindex, gateway: Uint8Array.of(192, 0, 0, 2), weight: 1 }]);
  const columns = { addresses: Uint8Array.of(10, 9, 0, 0), lengths: Uint8Array.of(16), nextHopSets: Uint32Array.of(1) };
  fib.apply({ family: 4, table: 7100, count: 1, ...columns });
  await fib.flush();
  await fib.sweepStale();

  const socket = new r.NetlinkSocket({ netnsFd });
  const { fd } = r.openNetlink({ netnsFd, groups: Object.values(r.Group) });
  const rule = socket
    .dump((out) => r.encodeRuleDump(out, 4), r.decodeRule)
    .find(({ priority }) => priority === options.rulePriority.local);
  const hop = () =>
    socket.dump(r.encodeNextHopDump, r.decodeNextHop).find(({ group, gateway }) => !group && gateway !== null).id;
  const blackhole = { destination: Uint8Array.of(10, 244, 1, 0), length: 26, type: r.RouteType.blackhole };
  const learned = { destination: Uint8Array.of(10, 9, 0, 0), length: 16 };
  const kinds = {
    rule: [(out) => r.encodeDelRule(out, rule), r.MessageType.newRule],
    blackhole: [
      (out) => r.encodeDelRoute(out, { family: 4, table: 7000, protocol: 201, ...blackhole }),
      r.MessageType.newRoute,
    ],
    "learned route": [
      (out) => r.encodeDelRoute(out, { family: 4, table: 7100, protocol: 201, ...learned }),
      r.MessageType.newRoute,
    ],
    "next hop, with its group and routes": [
      (out) => {
        const id = hop();
        socket.out.reset();
        r.encodeDelNextHop(out, id);
      },
      r.MessageType.newRoute,
    ],
  };
  const taken = new Map(Object.keys(kinds).map((what) => [what, []]));
  for (let i = 0; i < times; i += BURST / 4) {
    if (i > 0) await sleep(QUIET_MS);
    for (let j = 0; j < BURST / 4; j++)
      for (const [what, [encode, type]] of Object.entries(kinds)) {
        await sleep(20 + Math.random() * 80);
        const drain = Buffer.alloc(65536);
        while (r.native().recv(fd, drain, 0x40) > 0);
        socket.request(encode, what);
        taken.get(what).push(await awaitNotification(r, fd, type, performance.now()));
      }
  }
  const rows = [...taken].map(([what, all]) => {
    const sorted = all.filter((ms) => !Number.isNaN(ms)).sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]?.toFixed(2);
    const missing = all.length - sorted.length;
    return { what, times: all.length, "p50 ms": at(0.5), "p99 ms": at(0.99), "not within 10 s": missing };
  });
  console.table(rows);
  await fib.stop("remove");
}

const r = await load();
try {
  ip("netns", "add", namespace);
  inside(
    "ip link set lo up; ip link add up0 type veth peer name far0; ip addr add 192.0.0.1/24 dev up0; ip link set up0 up; ip link set far0 up",
  );
  await run(r);
} finally {
  ip("netns", "del", namespace);
  rmSync(work, { recursive: true });
}
