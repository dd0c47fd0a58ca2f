// `npm start`: installs the npm packages when they are missing, builds, and runs the lab (lab/main.ts) with the same
// arguments. Plain Node without any package, as nothing is installed yet when it starts.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);
const args = process.argv.slice(2);
const started = Date.now();

function fail(message) {
  console.error(`\n${message}`);
  process.exit(1);
}

function progress(text) {
  console.log(`   ${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s  ${text}`);
}

function run(what, command, argv, stdio = ["ignore", "ignore", "inherit"], env = process.env) {
  progress(what);
  const result = spawnSync(command, argv, { stdio, env });
  if (result.error) fail(`${command}: ${result.error.message}`);
  if (result.signal) process.exit(130);
  if (result.status !== 0) fail(`${what}: ${command} ended with exit code ${result.status}`);
}

/** The addon and the CNI client are compiled here; nothing else needs a compiler. */
function ensureCompiler() {
  const compiler = process.env.CC ?? "cc";
  if (spawnSync(compiler, ["--version"], { stdio: "ignore" }).status === 0) return;
  const advice = "apt-get install gcc libc6-dev";
  if (process.env.CC || process.getuid() !== 0 || !existsSync("/usr/bin/apt-get"))
    fail(`No C compiler (${compiler}). On Debian or Ubuntu: ${advice}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get update", "apt-get", ["update", "-qq"], undefined, env);
  const packages = ["gcc", "libc6-dev"];
  run(advice, "apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], undefined, env);
}

if (process.platform !== "linux") fail("The rack is made of Linux network namespaces: it runs on Linux only.");
if (Number(process.versions.node.split(".")[0]) < 20)
  fail(`Node ${process.versions.node} is too old: version 20 or later is needed.`);

if (!["exec", "shell", "check", "--help", "-h"].includes(args[0]) || !existsSync("dist/lab.cjs")) {
  ensureCompiler();
  if (!existsSync("node_modules/.package-lock.json"))
    run(
      "npm ci (the packages in package-lock.json)",
      "npm",
      ["ci", "--no-audit", "--no-fund", "--loglevel=error"],
      ["ignore", "inherit", "inherit"],
    );
  run("build into dist/", process.execPath, ["scripts/build.mjs"]);
}

// Over the channel the lab learns when this process ends in a way that no signal tells of.
const lab = spawn(process.execPath, ["dist/lab.cjs", ...args], { stdio: ["inherit", "inherit", "inherit", "ipc"] });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => lab.kill(signal));
lab.on("error", (error) => fail(error.message));
lab.on("exit", (code) => process.exit(code ?? 1));
