// Reads a containerlab topology (the subset that works without containers) and refuses what containerlab would refuse.
//
//   text -> variables expanded -> YAML -> defaults < kinds < groups < node merged -> links checked -> Topology
//
// As containerlab does, maps merge and `binds`, `exec` and `ports` concatenate. Taken are nodes of kind `linux` and veth
// links in their brief form; anything else is named as unsupported and not silently dropped.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isMap, LineCounter, type Node, parseDocument } from "yaml";
import { checkLinks } from "./clab-links.ts";
import { layer, mergeLayers, nodeFromLayer } from "./clab-nodes.ts";
import { entries, Problems, TopologyError } from "./clab-problems.ts";
import type { LabNode, Topology } from "./clab-types.ts";
import { expandVariables } from "./environment.ts";

const topKeys = new Set(["name", "prefix", "topology", "settings", "mgmt", "debug"]);
const topologyKeys = new Set(["defaults", "kinds", "groups", "nodes", "links"]);
const nodeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;

export type Environment = Readonly<Record<string, string | undefined>>;

export function loadTopology(file: string, environment: Environment = process.env): Topology {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new TopologyError([`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`]);
  }
  return parseTopology(text, file, environment);
}

/** Throws TopologyError with every problem found. Bind sources are resolved against the file's directory. */
export function parseTopology(text: string, file: string, environment: Environment = {}): Topology {
  const lines = new LineCounter();
  const document = parseDocument(expandVariables(text, environment), { lineCounter: lines, merge: true });
  const problems = new Problems(file, lines);
  if (document.errors.length > 0) {
    throw new TopologyError(
      document.errors.map((error) => `${file}:${lines.linePos(error.pos[0]).line}: ${error.message.split("\n")[0]}`),
    );
  }
  const top = children(problems, document.contents, "the file", topKeys);
  const name = document.get("name");
  if (typeof name !== "string" || !nodeName.test(name)) problems.add(top.get("name"), "name: the lab needs a name");
  const topology = children(problems, top.get("topology"), "topology", topologyKeys);

  const nodes = readNodes(problems, topology, dirname(resolve(file)));
  const links = checkLinks(problems, topology.get("links") ?? null, nodes);
  problems.throwIfAny();
  return { name: name as string, file: resolve(file), nodes, links };
}

function readNodes(
  problems: Problems,
  topology: ReadonlyMap<string, Node | null>,
  directory: string,
): Map<string, LabNode> {
  const named = (section: string) =>
    new Map(
      entries(problems, topology.get(section), section).map(([key, value]) => [
        key,
        layer(problems, value, `${section}.${key}`, directory),
      ]),
    );
  const defaults = layer(problems, topology.get("defaults") ?? null, "defaults", directory);
  const kinds = named("kinds");
  const groups = named("groups");

  const nodes = new Map<string, LabNode>();
  for (const [key, value, pair] of entries(problems, topology.get("nodes"), "nodes")) {
    if (!nodeName.test(key)) problems.add(pair, `node "${key}": not a name a host can have`);
    const own = layer(problems, value, `nodes.${key}`, directory);
    const groupName = own.group ?? defaults.group ?? null;
    if (own.group && !groups.has(own.group)) problems.add(pair, `node "${key}": there is no group "${own.group}"`);
    const group = groupName === null ? {} : (groups.get(groupName) ?? {});
    const kind = own.kind ?? group.kind ?? defaults.kind;
    if (kind === undefined) problems.add(pair, `node "${key}": no kind, neither here nor in its group or the defaults`);
    else if (kind !== "linux")
      problems.add(pair, `node "${key}": kind ${kind} needs containerlab; here only linux runs`);
    const merged = mergeLayers([defaults, kinds.get(kind ?? "") ?? {}, group, own]);
    nodes.set(key, nodeFromLayer(key, { ...merged, kind: kind ?? "linux", group: groupName ?? undefined }));
  }
  if (nodes.size === 0) problems.add(topology.get("nodes"), "nodes: there is no node");
  return nodes;
}

/** A map's children by key, with a problem for every key that is not known. */
function children(
  problems: Problems,
  node: unknown,
  what: string,
  known: ReadonlySet<string>,
): ReadonlyMap<string, Node | null> {
  if (!isMap(node)) problems.add(node, `${what} must be a map with the keys ${[...known].join(", ")}`);
  const found = new Map<string, Node | null>();
  if (!isMap(node)) return found;
  for (const [key, value, pair] of entries(problems, node, what)) {
    if (known.has(key)) found.set(key, value);
    else problems.add(pair, `${what} has no key "${key}"; known: ${[...known].join(", ")}`);
  }
  return found;
}
