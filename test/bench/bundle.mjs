// Bundles a benchmark as the daemon is bundled and runs it: what is measured is the code as it ships.
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

/**
 * Resolves to what `use` returns. `name`: of the file, without `.ts`. `use` gets its exports and the bundle's path,
 * which is in dist/, where the daemon's parts find what was built, and goes afterwards.
 */
export async function withBundle(name, use) {
  const outfile = join(here, "..", "..", "dist", `${name}.${process.pid}.cjs`);
  try {
    await build({
      entryPoints: [join(here, `${name}.ts`)],
      outfile,
      bundle: true,
      platform: "node",
      target: "node20",
      format: "cjs",
      logLevel: "warning",
    });
    return await use(createRequire(import.meta.url)(outfile), outfile);
  } finally {
    rmSync(outfile, { force: true });
  }
}
