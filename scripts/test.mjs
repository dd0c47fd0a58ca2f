// `npm test`: installs what is missing (npm and Debian packages), builds, checks and runs every suite.
// `npm test -- unit` runs one suite; arguments after that go to vitest.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);

const suites = ["unit", "interop", "system", "alone"];
const chosen = suites.includes(process.argv[2]) ? [process.argv[2]] : suites;
const passThrough = process.argv.slice(chosen.length === 1 ? 3 : 2);

/** What the tests run against, by the Debian package that brings it. */
const programs = {
  "/usr/lib/frr/bgpd": "frr",
  "/usr/sbin/bird": "bird2",
  "/usr/bin/gobgpd": "gobgpd",
  "/usr/sbin/bgpctl": "openbgpd",
  "/usr/sbin/exabgp": "exabgp",
  "/usr/lib/cni/ptp": "containernetworking-plugins",
  "/usr/bin/tshark": "tshark",
  "/usr/bin/bgpdump": "bgpdump",
  "/usr/sbin/dockerd": "docker.io",
  "/usr/bin/docker-compose": "docker-compose",
  "/bin/busybox": "busybox-static",
  "/usr/bin/ping": "iputils-ping",
  "/usr/sbin/ip": "iproute2",
  "/usr/sbin/nft": "nftables",
  "/usr/bin/curl": "curl",
  "/usr/bin/etcd": "etcd-server",
  "/usr/bin/etcdctl": "etcd-client",
  "/usr/bin/openssl": "openssl",
  "/usr/bin/nsenter": "util-linux",
  "/usr/sbin/sysctl": "procps",
  "/usr/bin/cc": "gcc libc6-dev",
  "/usr/bin/podman": "podman",
  "/usr/bin/buildah": "buildah",
  "/usr/bin/containerd": "containerd",
  "/usr/sbin/runc": "runc",
  "/usr/sbin/iptables": "iptables",
  "/usr/bin/go": "golang-go",
  "/usr/share/gocode/src/github.com/containernetworking/cni/libcni/api.go": "golang-github-appc-cni-dev",
};

const started = Date.now();
const results = [];

function step(name, command, args, options = {}) {
  process.stdout.write(`\n== ${name}\n`);
  const from = Date.now();
  const result = spawnSync(command, args, { stdio: "inherit", ...options });
  const ok = result.status === 0;
  results.push({ name, ok, seconds: ((Date.now() - from) / 1000).toFixed(1) });
  if (!ok) finish();
}

function finish() {
  process.stdout.write("\n");
  for (const { name, ok, seconds } of results)
    process.stdout.write(`${ok ? "passed" : "FAILED"}  ${seconds.padStart(6)} s  ${name}\n`);
  process.stdout.write(`total   ${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s\n`);
  process.exit(results.every((result) => result.ok) ? 0 : 1);
}

function installDebianPackages() {
  const missing = Object.entries(programs)
    .filter(([file]) => !existsSync(file))
    .map(([, name]) => name);
  if (missing.length === 0) return;
  const names = missing.join(" ").split(" ");
  if (process.getuid() !== 0 || !existsSync("/usr/bin/apt-get")) {
    console.error(
      `The tests need these Debian packages: ${names.join(" ")}\nInstall them as root: apt-get install ${names.join(" ")}`,
    );
    process.exit(1);
  }
  // Daemons that a package would start are not wanted: the tests start their own, in namespaces of their own.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  step("Debian package lists", "apt-get", ["update", "-qq"], { env });
  step(
    `Debian packages: ${names.join(" ")}`,
    "apt-get",
    ["install", "-y", "-qq", "--no-install-recommends", ...names],
    {
      env,
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
}

const lock = readFileSync("package-lock.json", "utf8");
if (/"resolved": "http/.test(lock)) {
  console.error(
    'package-lock.json names download hosts: write it with "npm install --omit-lockfile-registry-resolved"',
  );
  process.exit(1);
}

if (!existsSync("node_modules/.package-lock.json")) step("npm packages", "npm", ["ci", "--no-audit", "--no-fund"]);
installDebianPackages();
if (process.getuid() !== 0 && chosen.some((suite) => suite !== "unit")) {
  console.error("The interop and system suites make network namespaces: run as root, or run `npm test -- unit`");
  process.exit(1);
}
step("build", process.execPath, ["scripts/build.mjs"]);
if (chosen.length > 1) {
  step("type check", "npx", ["tsc", "-p", "."]);
  step("lint and format", "npx", ["biome", "check", "."]);
  step("import directions", process.execPath, ["scripts/check-imports.mjs"]);
}
for (const suite of chosen) {
  step(`${suite} tests`, "npx", ["vitest", "run", "--project", suite, ...passThrough]);
  if (suite === "interop" && passThrough.length === 0)
    step("the interop table", process.execPath, ["scripts/interop-table.mjs", "--check"]);
}
finish();
