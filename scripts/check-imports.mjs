// Imports go one way, as a route travels: this prints every import that goes against the direction and exits 1.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Part -> what it may import. `types:` entries only by `import type`. The longest matching part decides. */
const rules = {
  net: ["net"],
  "bgp/wire": ["bgp/wire", "net"],
  "bgp/session": ["bgp/session", "bgp/wire", "net"],
  "bgp/unnumbered": ["bgp/unnumbered", "bgp/session/socket-options.ts", "net", "types:bgp/session/found-neighbour.ts"],
  "bgp/adj-rib-in": ["bgp/adj-rib-in", "bgp/attribute-store.ts", "bgp/wire", "net", "types:bgp"],
  "bgp/policy": ["bgp/policy", "bgp/wire/path-attributes.ts", "bgp/wire/registry.ts", "net", "types:bgp"],
  "bgp/loc-rib": ["bgp/loc-rib", "bgp/attribute-store.ts", "bgp/policy", "bgp/wire", "net", "types:bgp"],
  "bgp/adj-rib-out": [
    "bgp/adj-rib-out",
    "bgp/attribute-store.ts",
    "bgp/loc-rib",
    "bgp/policy",
    "bgp/wire",
    "net",
    "types:bgp",
  ],
  "bgp/monitor": [
    "bgp/monitor",
    "bgp/adj-rib-in",
    "bgp/attribute-store.ts",
    "bgp/session/failure-log.ts",
    "bgp/wire",
    "net",
    "types:bgp",
  ],
  bgp: ["bgp", "net"],
  "routing/netlink": ["routing/netlink", "routing/types.ts", "net"],
  routing: ["routing", "net", "types:bgp/loc-rib/types.ts", "types:bgp/next-hop-resolver.ts"],
  // Works without the rest of cni: pure, but for the client and the file.
  "cni/blocks": ["cni/blocks", "cni/ipam/range.ts", "net"],
  "cni/blocks/etcd": ["cni/blocks/etcd", "net"],
  cni: ["cni", "routing/netlink", "net", "types:routing/types.ts"],
  config: ["config", "net", "types:bgp", "types:cni", "types:routing"],
  doctor: [
    "doctor",
    "cni/attach/alias.ts",
    "cni/attach/gateway.ts",
    "cni/ipam",
    "config",
    "routing",
    "net",
    "types:bgp",
    "types:cni",
  ],
  cli: [
    "cli",
    "cni/offline",
    "doctor",
    "config",
    "bgp/policy",
    "bgp/community-text.ts",
    "history",
    "net",
    "types:daemon",
    "types:bgp",
    "types:cni",
    "types:routing",
  ],
  history: ["history", "net"],
  lab: ["lab", "net"],
  daemon: ["daemon", "doctor", "bgp", "routing", "cni", "config", "history", "net"],
};

/** Values of these files are made in one place only: everywhere else they are types. */
const makers = { "net/installed-block.ts": "routing/fib/installed-blocks.ts" };

const within = (file, part) => file === part || file.startsWith(`${part}/`);
const files = spawnSync("git", ["ls-files", "-co", "--exclude-standard", "*.ts"], { cwd: root, encoding: "utf8" })
  .stdout.split("\n")
  .filter((file) => file && !file.startsWith("test/") && file !== "vitest.config.ts");

let faults = 0;
for (const file of files) {
  const part = Object.keys(rules)
    .filter((name) => within(file, name))
    .sort((a, b) => b.length - a.length)[0];
  if (!part) {
    console.error(`${file}: belongs to no part; add it to scripts/check-imports.mjs`);
    faults++;
    continue;
  }
  const text = readFileSync(join(root, file), "utf8");
  for (const match of text.matchAll(/^\s*(?:import|export)\s+(type\s)?[^;]*?from\s+"(\.[^"]+)"/gms)) {
    const target = normalize(join(dirname(file), match[2]));
    const allowed = rules[part].some((rule) =>
      rule.startsWith("types:") ? match[1] && within(target, rule.slice(6)) : within(target, rule),
    );
    const maker = makers[target];
    if (maker && file !== maker && !match[1]) {
      console.error(`${file}: must import ${target} as a type: what it stands for is made in ${maker}`);
      faults++;
    }
    if (allowed) continue;
    const line = text.slice(0, match.index).split("\n").length + 1;
    console.error(`${file}:${line}: ${part} must not import ${target}${match[1] ? " (type)" : ""}`);
    faults++;
  }
}
if (faults > 0) process.exit(1);
console.log(`imports: ${files.length} files, all in the right direction`);
