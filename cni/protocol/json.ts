// Reading JSON that Go programs wrote: keys match without regard to case, and null stands for an empty list or object.

export type JsonObject = { readonly [key: string]: unknown };

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
