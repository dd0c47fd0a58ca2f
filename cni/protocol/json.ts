// Reading JSON that Go programs wrote: keys match without regard to case, and null stands for an empty list or object.
// What has the wrong shape is refused with code 6, naming the value.
import { CniError, CniErrorCode } from "./error.ts";

export type JsonObject = { readonly [key: string]: unknown };

/** Characters of a value that a message shows. */
const SHOWN = 200;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value under `key`, the exact spelling first; undefined when absent. */
export function field(object: JsonObject, key: string): unknown {
  if (Object.hasOwn(object, key)) return object[key];
  const lower = key.toLowerCase();
  for (const candidate of Object.keys(object)) if (candidate.toLowerCase() === lower) return object[candidate];
  return undefined;
}

/** An empty object when absent. */
export function objectField(parent: JsonObject, key: string): JsonObject {
  const value = field(parent, key) ?? {};
  if (isObject(value)) return value;
  throw undecodable(`"${key}" must be an object, not ${show(value)}`);
}

/** Null when absent or empty. */
export function textField(parent: JsonObject, key: string): string | null {
  const value = field(parent, key) ?? null;
  if (value === null || typeof value === "string") return value || null;
  throw undecodable(`"${key}" must be a string, not ${show(value)}`);
}

/** Null when absent or empty; `name` is for messages. */
export function textsField(parent: JsonObject, key: string, name = key): string[] | null {
  const value = field(parent, key) ?? null;
  if (value === null) return null;
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== "string"))
    throw undecodable(`${name} must be a list of strings, not ${show(value)}`);
  return value.length > 0 ? value : null;
}

/** One text or several; null when absent or empty. */
export function namesField(parent: JsonObject, key: string, name = key): string[] | null {
  const value = field(parent, key) ?? null;
  if (typeof value === "string") return value === "" ? null : [value];
  if (value === null || Array.isArray(value)) return textsField(parent, key, name);
  throw undecodable(`"${name}" must be a string, or a list of strings, not ${show(value)}`);
}

/** A value for a message. */
export function show(value: unknown): string {
  try {
    const json = JSON.stringify(value) ?? String(value);
    return json.length > SHOWN ? `${json.slice(0, SHOWN)}...` : json;
  } catch {
    return "a value nested too deeply to print";
  }
}

function undecodable(message: string): CniError {
  return new CniError(CniErrorCode.decode, message);
}
