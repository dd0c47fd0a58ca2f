// npm run histories -- [COUNT] [FIRST SEED]: as many histories as wanted; exit code 1 with the shortest story of a violation.
import { range } from "../../fewest.ts";
import { firstViolation } from "./search.ts";

const [count = 100_000, first = 1] = process.argv.slice(2).map(Number);
const CHUNK = 1000;
const since = Date.now();
let violations = 0;
for (let from = first; from < first + count; from += CHUNK) {
  const violation = await firstViolation(range(from, Math.min(CHUNK, first + count - from)));
  if (violation !== null) {
    process.stdout.write(`${violation}\n`);
    violations++;
    if (violations >= 3) break;
  }
  if ((from - first) % 10_000 === 0)
    process.stderr.write(`${from - first + CHUNK} histories, ${Date.now() - since} ms\n`);
}
process.stdout.write(`${count} histories, ${violations} violations, ${Math.round((Date.now() - since) / 1000)} s\n`);
process.exitCode = violations > 0 ? 1 : 0;
