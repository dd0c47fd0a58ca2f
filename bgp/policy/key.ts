// A policy by its value: two loads of a configuration give different objects for the same policy, and peers that have the
// same one share their work whichever load it came from.
import { createHash } from "node:crypto";
import type { ExportPolicy, ImportPolicy } from "./types.ts";

const known = new WeakMap<object, string>();

/** Equal for policies that do the same and have the same names. */
export function policyKey(policy: ImportPolicy | ExportPolicy): string {
  if (typeof policy === "string") return policy;
  let key = known.get(policy);
  if (key === undefined) {
    key = `#${createHash("sha256").update(JSON.stringify(policy, inOrder)).digest("base64url")}`;
    known.set(policy, key);
  }
  return key;
}

/** Octets as text, keys in order. */
function inOrder(_: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return value.join(".");
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
