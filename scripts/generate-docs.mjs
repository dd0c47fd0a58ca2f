// Writes config/schema.json and docs/configuration.md from config/schema.ts, docs/troubleshooting.md from
// doctor/checks. `--check`: writes nothing, exits 1 when one of them is not current.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** The schema module, with zod's own JSON Schema generator. */
async function loadSchema() {
  const result = await build({
    stdin: {
      contents:
        'export { toJSONSchema } from "zod"; export { schema } from "./config/schema.ts"; export * from "./config/impact.ts"; export { sections } from "./doctor/registry.ts";',
      resolveDir: root,
      loader: "ts",
    },
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    logLevel: "error",
  });
  return import(`data:text/javascript;base64,${Buffer.from(result.outputFiles[0].contents).toString("base64")}`);
}

const { schema, sections, toJSONSchema, impacts, peerImpact, tableImpact, sectionImpact, fileKeys } =
  await loadSchema();
const json = toJSONSchema(schema, { io: "input" });
json.description = "Configuration of underlayd, the daemon of underlay. docs/configuration.md is the readable form.";

/** A map with fixed keys: itself, or the alternative to `false`. */
const objectOf = (node) =>
  node.properties ? node : node.anyOf?.find((option) => option.properties && option.type === "object");

const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function typeName(node) {
  if (node.title) return node.title;
  if (node.anyOf) return "map or `false`";
  return node.type === "object" ? "map" : node.type === "array" ? "list" : node.type;
}

function defaultText(node, required) {
  if (node.$comment) return node.$comment.replace(/^default: /, "");
  if (required) return "required";
  const value = node.default;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return "";
  if (Array.isArray(value)) return `\`[${value.join(", ")}]\``;
  return typeof value === "object" ? "" : `\`${value}\``;
}

function rows(node, base = "") {
  const map = objectOf(node);
  return Object.entries(map.properties).flatMap(([key, child]) => {
    const name = base ? `${base}.${key}` : key;
    const row = `| \`${name}\` | ${cell(typeName(child))} | ${cell(defaultText(child, map.required?.includes(key)))} | ${cell(child.description ?? "")} |`;
    if (child.additionalProperties) return [row, ...rows(child.additionalProperties, `${name}.NAME`)];
    // The conditions again.
    const isKnown = name === "match.not";
    return objectOf(child) && !isKnown ? [row, ...rows(child, name)] : [row];
  });
}

function section(key, node) {
  const entry = node.additionalProperties || null;
  const lines = [`## ${key}`, ""];
  if (!entry) lines.push(node.description);
  else if (entry.type === "array") lines.push(`${node.description} ${entry.description}`);
  else lines.push(`${node.description} ${entry.description}`);
  const of = entry ? (entry.items ?? entry) : node;
  // A map of lists of values.
  if (!objectOf(of)) return [...lines, "", `Type: ${typeName(entry)}.`, ""].join("\n");
  // A group has what a peer has: only what is its own needs words.
  const known = key === "peerGroups" ? Object.keys(json.properties.peers.additionalProperties.properties) : [];
  const own = (row) => !known.some((name) => row.startsWith(`| \`${name}\``) || row.startsWith(`| \`${name}.`));
  lines.push("", "| Key | Type | Default | Meaning |", "|---|---|---|---|", ...rows(of).filter(own), "");
  return lines.join("\n");
}

/** A row for each impact with the keys that have it. */
function impactRows() {
  const meanings = {
    live: "taken over; no session is touched. Changed policies are applied to the routes that are there",
    refresh: "the neighbour is asked to send its routes again (RFC 2918)",
    reset: "the session ends (Cease/6, RFC 4486) and comes back with what is new",
    restart: "refused: the daemon has to be restarted, which keeps forwarding",
  };
  return impacts.flatMap((impact) => {
    const peers = Object.entries(peerImpact)
      .filter(([key, of]) => of === impact && !["localAsn", "routerId"].includes(key))
      .map(([key]) => `\`${fileKeys[key] ?? key}\``);
    const sections = Object.entries(sectionImpact)
      .filter(([, of]) => of === impact)
      .map(([key]) => `\`${key}\``);
    const tables = Object.entries(tableImpact)
      .filter(([, of]) => of === impact)
      .map(([key]) => `\`${key}\``);
    const keys = [
      peers.length > 0 && `of a peer: ${peers.join(", ")}`,
      tables.length > 0 && `of a table: ${tables.join(", ")}`,
      ...sections,
    ].filter(Boolean);
    return keys.length > 0 ? [`| ${impact} | ${keys.join("; ")} | ${meanings[impact]} |`] : [];
  });
}

const example = (name) => readFileSync(join(root, "config/examples", name), "utf8").trimEnd();
const sets = ["prefixSets", "communitySets", "extendedCommunitySets", "largeCommunitySets", "asPathSets"];
const order = [
  "node",
  "pools",
  "etcd",
  "tables",
  "peers",
  "peerGroups",
  "policies",
  ...sets,
  "routing",
  "bgp",
  "monitoring",
  "cni",
  "drain",
  "api",
  "paths",
  "history",
  "log",
];
const left = Object.keys(json.properties).filter((key) => !order.includes(key));
if (left.length > 0) throw new Error(`these sections have no place in the documentation: ${left.join(", ")}`);

const markdown = `<!-- Written by scripts/generate-docs.mjs from config/schema.ts; change it there. -->

# Configuration

\`underlayd --config FILE\` reads one YAML file. \`underlayd --check --config FILE\` reads and checks it and touches nothing.
The JSON Schema for editors is \`config/schema.json\`; put this into the file's first line:

\`\`\`yaml
# yaml-language-server: $schema=config/schema.json
\`\`\`

The least there is (\`config/examples/minimal.yaml\`):

\`\`\`yaml
${example("minimal.yaml")}
\`\`\`

Rules of the file:

- Only \`node\` is required. A key that is not listed here is refused, and so is everything that cannot work: all that is
  wrong is reported at once, each with file, line, column and a hint, and nothing is touched.
- A key without a value counts as not given. Where a list is wanted, a single value stands for a list of one.
- Durations are \`90s\`, \`2m\`, \`1h\`, \`1m30s\`, or a plain number of seconds.
- IPv6 addresses begin or end with colons that YAML has its own idea of: put them into quotes.
- Names (of pools, tables, peers and policies) have letters, digits, \`-\`, \`_\` and \`.\`, 63 at most.
- Anchors and merge keys work: \`tor-a: &tor { ... }\`, then \`tor-b: { <<: *tor, address: 192.168.20.1 }\`.
- Nothing but this file configures the daemon: no environment variable and no flag overrides a key.
- The file has at most 1 MiB and is UTF-8.

${order.map((key) => section(key, json.properties[key])).join("\n")}
## What a reload does

\`underlayctl reload\` (SIGHUP, \`systemctl reload\`) reads the file again and applies what is different, all of it or nothing;
\`underlayctl plan FILE\` tells before. Configurations are compared as they are after loading: a default written out is no change.
Peers, pools and tables come and go without touching the others.

| Impact | Keys | What happens |
|---|---|---|
${impactRows().join("\n")}

Another secret in place of one (\`password\`) is live, too: the connection goes on with the old one as long as \`accept\` has
it, and with the new one otherwise. What a peer group with \`listen\` has counts for the peers that have come out of it;
\`listen\`, \`listenLimit\` and \`listenPods\` are live, and peers that no range covers any more are ended.

## How policies decide

A peer's \`import\` and \`export\` name a built-in policy or one of \`policies\`, or several of them. A policy is a list of
statements. For every route they are tried in order: all conditions of \`match\` must hold, and of a condition that is a
list, one element suffices. A matching statement applies \`set\`, and then \`then\` decides: \`accept\`, \`reject\`, or \`next\`,
which goes on with the next statement. A route that no statement decides is rejected. [Routing policy](policy.md) has all of
it, with examples, and what FRR's and BIRD's words for it are.

| Built in | For | Meaning |
|---|---|---|
| \`all\` | import, export | every route. As export it makes the node transit: for route servers and labs |
| \`none\` | import, export | no route |
| \`default-route\` | import | 0.0.0.0/0 and ::/0 only |
| \`blocks\` | export | the blocks of this node's pools, and the exceptions within their budget |

Without \`import\` and \`export\`, a peer in another AS imports and exports nothing (RFC 8212), and the log says so; a peer
in our own AS imports all and exports the blocks.

Communities are written \`65001:100\`, or by name: \`no-export\`, \`no-advertise\`, \`no-export-subconfed\`, \`no-peer\`,
\`blackhole\`, \`graceful-shutdown\`, \`accept-own\`, \`llgr-stale\`, \`no-llgr\`. Large communities are written \`65101:1:1\`,
extended ones \`rt:65001:1\` (route target), \`ro:65001:1\` (route origin), \`bandwidth:65001:12500000\` (link bandwidth, octets per
second), with an AS number, an IPv4 address or \`65001L\` (an AS number in four octets) in the middle, or as
\`0x0002fde900000001\`. In \`match\` and \`remove\`, \`*\` stands for a whole part, and \`100-199\` for a range of numbers.

## Examples

Two top-of-rack switches (\`config/examples/dual-tor.yaml\`):

\`\`\`yaml
${example("dual-tor.yaml")}
\`\`\`

Two uplinks without addresses, BGP unnumbered (\`config/examples/unnumbered.yaml\`):

\`\`\`yaml
${example("unnumbered.yaml")}
\`\`\`

Two fabrics and policies of one's own (\`config/examples/policies.yaml\`):

\`\`\`yaml
${example("policies.yaml")}
\`\`\`

Blocks claimed out of a pool that all nodes share (\`config/examples/shared-pool.yaml\`):

\`\`\`yaml
${example("shared-pool.yaml")}
\`\`\`
`;

/** A row for each check of `underlayctl doctor`. */
function checkRows(checks) {
  return checks.map(({ id, severity, title, cure }) => `| \`${id}\` | ${severity} | ${cell(title)} | ${cell(cure)} |`);
}

const troubleshooting = `<!-- Written by scripts/generate-docs.mjs from doctor/checks/; change it there. -->

# Troubleshooting

\`underlayctl doctor\` checks the configuration, the kernel, the RIB, the pods and the host against each other, and names what is wrong
and what to do about it. It looks at the kernel's own tables, at the files on disk and into pods' namespaces at that moment; nothing
that the daemon remembers stands in for them. It changes nothing, and takes some tens of milliseconds (with a full table, a second or two).

\`\`\`
$ underlayctl doctor
Neighbours
  fault    tor-a: is Active with 192.168.10.1: connection refused: nothing listens there (ECONNREFUSED)  [peer-refused]
           -> start BGP at the neighbour, and have it accept this node's address; compare \`port\`
1 fault
\`\`\`

- \`fault\`: something does not work, or will not work at the next occasion. The exit code is 1.
- \`warning\`: worth a look. \`info\`: good to know. The exit code is 0 when there is nothing worse.
- What could not be looked at is named in the last lines, with the reason.
- What may be changing at this moment counts when it is there a second time, 50 ms later.
- A daemon that does not run is the first fault. The configuration file, the state directory, what the daemon left in the kernel, other
  programs' rules, the firewall, systemd and the runtime's files are checked all the same; the file is
  \`/etc/underlay/underlay.yaml\`, or \`--config FILE\`.
- For programs: \`underlayctl doctor --json\`, or \`GET /v1/doctor\` ([API](api.md)). The names below are stable.

What follows is every check that there is. Some findings know better than the table what to do, and say so.

${sections.map(({ title, checks }) => `## ${title}\n\n| Check | | What it means | What to do |\n|---|---|---|---|\n${checkRows(checks).join("\n")}\n`).join("\n")}`;

const outputs = {
  "config/schema.json": `${JSON.stringify(json, null, 2)}\n`,
  "docs/configuration.md": markdown,
  "docs/troubleshooting.md": troubleshooting,
};
const stale = Object.entries(outputs).filter(([file, text]) => {
  const path = join(root, file);
  return !existsSync(path) || readFileSync(path, "utf8") !== text;
});
if (process.argv.includes("--check")) {
  for (const [file] of stale) console.error(`${file} is not current: run node scripts/generate-docs.mjs`);
  process.exit(stale.length > 0 ? 1 : 0);
}
for (const [file, text] of stale) {
  writeFileSync(join(root, file), text);
  console.log(`wrote ${file}`);
}
