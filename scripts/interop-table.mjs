// dist/interop.json, which a run of the interop tests leaves behind -> docs/interop.md. `--check`: writes nothing, exits 1
// when the document claims something else than what that run has proven.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const bundle = await build({
  entryPoints: [join(root, "test/interop/support/features.ts")],
  bundle: true,
  write: false,
  format: "esm",
  logLevel: "error",
});
const { daemons, features } = await import(
  `data:text/javascript;base64,${Buffer.from(bundle.outputFiles[0].contents).toString("base64")}`
);

const results = join(root, "dist/interop.json");
if (!existsSync(results)) {
  console.error("there is no dist/interop.json: run the interop tests first (npm run interop)");
  process.exit(1);
}
const { proofs } = JSON.parse(readFileSync(results, "utf8"));
// Files end in another order each time.
proofs.sort((a, b) => (`${a.file} ${a.test}` < `${b.file} ${b.test}` ? -1 : 1));

const names = Object.keys(daemons);
const proven = (feature, daemon) => proofs.filter((proof) => proof.feature === feature && proof.daemon === daemon);
const cell = (feature, daemon) => {
  if (proven(feature, daemon).length > 0) return "yes";
  return features[feature].without?.includes(daemon) ? "-" : "";
};
const tested = Object.keys(features).filter((feature) => names.some((daemon) => proven(feature, daemon).length > 0));
const tests = [
  ...new Set(
    tested.flatMap((feature) =>
      names.flatMap((daemon) =>
        proven(feature, daemon).map(
          ({ file, test }) =>
            `| ${features[feature].title} | ${daemons[daemon]} | \`${file}\`: ${test.replaceAll("|", "\\|")} |`,
        ),
      ),
    ),
  ),
];

const text = `<!-- Written by scripts/interop-table.mjs from a run of the interop tests; \`npm run interop && npm run interop-table\`. -->

# What was proven against what

Every cell with a "yes" is a test that passes against the real daemon in network namespaces: FRR 8.4, BIRD 2.0.12, GoBGP 3.10,
OpenBGPD 7.7 and ExaBGP 4.2, as Debian 12 has them. "-": that daemon, in that version, does not have the feature. An empty cell
is not tested. \`npm test\` fails when this table claims what its run has not proven.

In the same runs, every message that underlayd sends on port 179 is captured and decoded by tshark; one that it calls malformed
or marks as an error fails the run. Left out are messages longer than 4096 octets (RFC 8654), which tshark 4.0 does not know.

| Feature | ${names.map((name) => daemons[name]).join(" | ")} |
|---|${names.map(() => "---|").join("")}
${tested.map((feature) => `| ${features[feature].title} | ${names.map((name) => cell(feature, name)).join(" | ")} |`).join("\n")}

## The tests

| Feature | Against | Test |
|---|---|---|
${tests.join("\n")}
`;

const document = join(root, "docs/interop.md");
const current = existsSync(document) ? readFileSync(document, "utf8") : "";
if (!process.argv.includes("--check")) {
  if (current !== text) writeFileSync(document, text);
  console.log(`docs/interop.md: ${tested.length} features, ${proofs.length} proofs`);
} else if (current !== text) {
  const claims = new Set(current.split("\n"));
  const made = new Set(text.split("\n"));
  for (const line of claims) if (line.startsWith("|") && !made.has(line)) console.error(`claimed, not proven: ${line}`);
  for (const line of made) if (line.startsWith("|") && !claims.has(line)) console.error(`proven, not claimed: ${line}`);
  console.error("docs/interop.md is not what this run has proven: npm run interop-table writes it");
  process.exit(1);
}
