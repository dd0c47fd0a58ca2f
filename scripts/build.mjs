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

/** Compiles with `cc` into a temporary name and renames, so that a running client is never "text file busy". */
function cc(output, args) {
  const temporary = join(dist, `.${output}.${process.pid}`);
  const result = spawnSync(process.env.CC ?? "cc", [...args, "-o", temporary], { cwd: root, encoding: "utf8" });
  if (result.error?.code === "ENOENT") {
    console.error(
      "No C compiler found. Install one and build again; on Debian or Ubuntu: apt-get install gcc libc6-dev",
    );
    process.exit(1);
  }
  if (result.status !== 0) {
    console.error(result.stderr);
    process.exit(1);
  }
  if (result.stderr) process.stderr.write(result.stderr);
  chmodSync(temporary, 0o755);
  renameSync(temporary, join(dist, output));
}

cc("underlay.node", [
  "-O2",
  "-Wall",
  "-Wextra",
  "-Wno-missing-field-initializers",
  "-shared",
  "-fPIC",
  "-Inode_modules/node-api-headers/include",
  "native/addon.c",
]);
if (existsSync(join(root, "native/client.c"))) {
  cc("underlay", ["-O2", "-Wall", "-Wextra", "-static", `-DVERSION="${version}"`, "native/client.c"]);
}
if (process.argv.includes("--native")) process.exit(0);

const { build } = await import("esbuild");
const entries = {
  underlayd: "daemon/main.ts",
  underlayctl: "cli/main.ts",
  "fib-worker": "routing/fib/worker.ts",
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
