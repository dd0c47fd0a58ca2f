// Where the built files are: beside the bundle when running from dist/, in <root>/dist when running from source.
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Absolute path of a file that the build puts into dist/. Throws when it has not been built. */
export function distFile(name: string): string {
  for (const candidate of [join(__dirname, name), join(__dirname, "..", "dist", name)]) {
    if (existsSync(candidate)) return candidate;
  }
  throw new Error(`${name} is missing beside ${__dirname}: run "npm run build"`);
}
