// Collects what passing tests have proven, and how many of our messages tshark has read, into dist/interop.json:
// scripts/interop-table.mjs makes docs/interop.md of it.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import type { Reporter, TestCase } from "vitest/node";
import { COUNTS, type Proof } from "./proofs.ts";

const root = join(import.meta.dirname, "../../..");

export default class MatrixReporter implements Reporter {
  readonly #proofs: (Proof & { readonly file: string; readonly test: string })[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), "ul-matrix-"));

  onInit(): void {
    process.env[COUNTS] = join(this.#directory, "counts");
  }

  onTestCaseResult(test: TestCase): void {
    if (test.result().state !== "passed") return;
    const file = relative(root, test.module.moduleId);
    for (const proof of test.meta().proofs ?? []) this.#proofs.push({ ...proof, file, test: test.fullName });
  }

  onTestRunEnd(): void {
    const file = join(this.#directory, "counts");
    const counts = existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean).map(Number) : [];
    rmSync(this.#directory, { recursive: true, force: true });
    const results = { messages: counts.reduce((sum, count) => sum + count, 0), proofs: this.#proofs };
    if (this.#proofs.length > 0 || counts.length > 0)
      writeFileSync(join(root, "dist/interop.json"), `${JSON.stringify(results, null, 1)}\n`);
    if (counts.length > 0) console.log(`tshark has read ${results.messages} BGP messages of ours`);
  }
}
