// Builds everything users run into dist/: the addon and the CNI client with one `cc` line each, the TypeScript entries
// with esbuild into one CommonJS file per entry. `--native` builds the C only.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
mkdirSync(dist, { recursive: true });

const version = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version;

const compiler = process.env.CC ?? "cc";
const warnings = ["-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers"];

/** Compiles into a temporary name and renames, so that a running client is never "text file busy". */
function compile(output, args) {
  const temporary = join(dist, `.${output}.${process.pid}`);
  const result = spawnSync(compiler, [...warnings, ...args, "-o", temporary], { cwd: root, encoding: "utf8" });
  if (result.error?.code === "ENOENT") {
    fail("No C compiler found. Install one and build again; on Debian or Ubuntu: apt-get install gcc libc6-dev");
  }
  if (result.status !== 0) return result.stderr;
  process.stderr.write(result.stderr);
  chmodSync(temporary, 0o755);
  renameSync(temporary, join(dist, output));
  return null;
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

const addonError = compile("underlay.node", [
  "-shared",
  "-fPIC",
  "-Inode_modules/node-api-headers/include",
  "native/addon.c",
]);
if (addonError) fail(addonError);

// Without a C library it starts in a third of the time (client-system.c knows some processors); static with one it runs on
// any distribution at least; and a C library without its static half still gives a client that works here.
const clientArgs = [`-DVERSION="${version}"`, "native/client.c"];
const alone = [
  "-static -nostdlib -fno-pie -no-pie -ffreestanding -fno-stack-protector -fno-tree-loop-distribute-patterns",
  "-fno-asynchronous-unwind-tables -U_FORTIFY_SOURCE -Wl,--build-id=none native/client-system.c",
].flatMap((flags) => flags.split(" "));
const aloneError = compile("underlay", [...alone, ...clientArgs]);
// Something that is missing in client-system.c must not go unnoticed.
if (aloneError && !aloneError.includes("system calls are not known")) fail(aloneError);
if (aloneError && compile("underlay", ["-static", ...clientArgs])) {
  const clientError = compile("underlay", clientArgs);
  if (clientError) fail(clientError);
  console.error("The CNI client is linked dynamically: this machine has no static C library.");
}
if (process.argv.includes("--native")) process.exit(0);

const { build } = await import("esbuild");
const entries = {
  underlayd: "daemon/main.ts",
  underlayctl: "cli/main.ts",
  lab: "lab/main.ts",
  "fib-worker": "routing/fib/worker.ts",
  "bfd-worker": "bgp/bfd/worker.ts",
  "attach-worker": "cni/attach/worker.ts",
};
const present = Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(join(root, file))));
await build({
  absWorkingDir: root,
  entryPoints: present,
  outdir: "dist",
  outExtension: { ".js": ".cjs" },
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  minify: true,
  keepNames: true,
  sourcemap: false,
  legalComments: "none",
  define: { __VERSION__: JSON.stringify(version) },
  logLevel: "warning",
});
for (const name of ["underlayd", "underlayctl"]) {
  const file = join(dist, `${name}.cjs`);
  if (!existsSync(file)) continue;
  const text = readFileSync(file, "utf8");
  if (!text.startsWith("#!")) writeFileSync(file, `#!/usr/bin/env node\n${text}`);
  chmodSync(file, 0o755);
}
