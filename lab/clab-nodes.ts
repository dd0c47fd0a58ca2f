// What one layer (defaults, a kind, a group, a node) says about nodes, and how layers merge.
import { resolve } from "node:path";
import { isMap, isScalar, type Node } from "yaml";
import { entries, items, type Problems } from "./clab-problems.ts";
import type { LabBind, LabNode } from "./clab-types.ts";

type Writable<T> = { -readonly [K in keyof T]: T[K] };
export type Layer = Partial<Writable<Omit<LabNode, "name" | "group">>> & { group?: string };

const words = ["kind", "group", "image", "cmd"] as const;
const maps = ["env", "sysctls", "labels"] as const;
const lists = ["exec", "ports"] as const;
/** Containerlab's keys that mean nothing without containers; they do no harm here. */
const ignored = new Set([
  "mgmt-ipv4",
  "mgmt-ipv6",
  "cap-add",
  "privileged",
  "restart-policy",
  "image-pull-policy",
  "startup-delay",
  "cpu",
  "memory",
]);
const known = [...words, "binds", ...maps, ...lists];

export function layer(problems: Problems, node: Node | null, what: string, directory: string): Layer {
  const result: Layer = {};
  for (const [key, value, pair] of entries(problems, node, what)) {
    if (key === "binds") result.binds = readBinds(problems, value, `${what}.binds`, directory);
    else if (includes(words, key)) result[key] = readWord(problems, value ?? pair, `${what}.${key}`);
    else if (includes(lists, key))
      result[key] = items(problems, value, `${what}.${key}`).map((item) => readWord(problems, item, `${what}.${key}`));
    else if (includes(maps, key))
      result[key] = Object.fromEntries(
        entries(problems, value, `${what}.${key}`).map(([name, inner, innerPair]) => [
          name,
          readWord(problems, inner ?? innerPair, `${what}.${key}.${name}`),
        ]),
      );
    else if (!ignored.has(key))
      problems.add(pair, `${what} has the key "${key}", which is not known here; known: ${known.join(", ")}`);
  }
  return result;
}

/** Later layers win; maps merge, lists concatenate without repeats. */
export function mergeLayers(layers: readonly Layer[]): Layer {
  const merged: Layer = {};
  for (const next of layers) {
    for (const key of words) if (next[key] !== undefined && next[key] !== null) merged[key] = next[key];
    for (const key of maps) merged[key] = { ...merged[key], ...next[key] };
    for (const key of lists) merged[key] = [...new Set([...(merged[key] ?? []), ...(next[key] ?? [])])];
    // A later bind to the same place replaces the earlier one, as a mount over a mount would.
    const binds = new Map([...(merged.binds ?? []), ...(next.binds ?? [])].map((bind) => [bind.target, bind]));
    merged.binds = [...binds.values()];
  }
  return merged;
}

export function nodeFromLayer(name: string, merged: Layer): LabNode {
  return {
    name,
    kind: merged.kind ?? "linux",
    group: merged.group ?? null,
    image: merged.image ?? null,
    cmd: merged.cmd ?? null,
    binds: merged.binds ?? [],
    exec: merged.exec ?? [],
    env: merged.env ?? {},
    sysctls: merged.sysctls ?? {},
    labels: merged.labels ?? {},
    ports: merged.ports ?? [],
  };
}

function readBinds(problems: Problems, node: Node | null, what: string, directory: string): LabBind[] {
  const binds: LabBind[] = [];
  for (const item of items(problems, node, what)) {
    const text = readWord(problems, item, what);
    const [source, target, options = "", ...rest] = text.split(":");
    if (!source || !target?.startsWith("/") || rest.length > 0)
      problems.add(item, `${what}: "${text}" is not SOURCE:TARGET[:ro] with an absolute target`);
    else binds.push({ source: resolve(directory, source), target, readOnly: options.split(",").includes("ro") });
  }
  return binds;
}

function readWord(problems: Problems, node: unknown, what: string): string {
  if (isScalar(node) && ["string", "number", "boolean"].includes(typeof node.value)) return String(node.value);
  problems.add(node, `${what} must be ${isMap(node) ? "a word, not a map" : "a word or a number"}`);
  return "";
}

function includes<T extends string>(set: readonly T[], key: string): key is T {
  return (set as readonly string[]).includes(key);
}
