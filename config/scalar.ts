// A scalar of the configuration: how it is parsed, how it is described in the JSON Schema, and how a refusal reads.
// Scalars are plain zod types, so that the schema stays one expression.
import * as z from "zod";

/** Why a value is not taken: `message` follows the path, so it begins with the value. */
export class Refusal {
  readonly message: string;
  readonly hint: string | null;
  constructor(message: string, hint: string | null = null) {
    this.message = message;
    this.hint = hint;
  }
}

/** Keywords for the JSON Schema; `title` is the type's name in the documentation. */
export interface Described {
  readonly title: string;
  readonly [keyword: string]: unknown;
}

export interface Scalar<T> {
  readonly json: Described;
  /** `value` is never undefined. */
  readonly parse: (value: unknown) => T | Refusal;
}

type Report = { addIssue(issue: { code: "custom"; message: string; path?: PropertyKey[]; params: object }): void };

function refuse(context: Report, refusal: Refusal, path: PropertyKey[] = []): typeof z.NEVER {
  context.addIssue({ code: "custom", message: refusal.message, path, params: { hint: refusal.hint } });
  return z.NEVER;
}

const missing = new Refusal("is missing");

/** Exactly one. */
export function one<T>(scalar: Scalar<T>, description: string) {
  return z
    .unknown()
    .meta(scalar.json)
    .transform((value, context): T => {
      const parsed = value === undefined ? missing : scalar.parse(value);
      return parsed instanceof Refusal ? refuse(context, parsed) : parsed;
    })
    .describe(description);
}

/** A list; a single value stands for a list of one. */
export function list<T>(scalar: Scalar<T>, description: string, options: { nonEmpty?: boolean } = {}) {
  const minItems = options.nonEmpty ? { minItems: 1 } : {};
  const json = {
    title: `${scalar.json.title} (list)`,
    anyOf: [scalar.json, { type: "array", items: scalar.json, ...minItems }],
  };
  return z
    .unknown()
    .meta(json)
    .transform((value, context): readonly T[] => {
      if (value === undefined) return refuse(context, missing);
      if (options.nonEmpty && Array.isArray(value) && value.length === 0)
        return refuse(context, new Refusal("the list is empty", `it needs at least one: ${scalar.json.title}`));
      return parseList(scalar, value, context, []);
    })
    .describe(description);
}

/** A list, or a map of such lists under some keys. A list alone stands under the first key. */
export function listOrMap<T, K extends string>(
  scalar: Scalar<T>,
  keys: Readonly<Record<K, string>>,
  description: string,
) {
  const names = Object.keys(keys) as K[];
  const single = { anyOf: [scalar.json, { type: "array", items: scalar.json }] };
  const entries = names.map((key) => [
    key,
    { title: `${scalar.json.title} (list)`, description: keys[key], ...single },
  ]);
  const json = {
    title: `${scalar.json.title} (list), or map with ${names.map((name) => `\`${name}\``).join(", ")}`,
    anyOf: [
      ...single.anyOf,
      { type: "object", additionalProperties: false, minProperties: 1, properties: Object.fromEntries(entries) },
    ],
  };
  return z
    .unknown()
    .meta(json)
    .transform((value, context): Partial<Record<K, readonly T[]>> => {
      if (value === undefined) return refuse(context, missing);
      const known = `known here: ${names.join(", ")}`;
      if (!isMap(value)) return { [names[0]]: parseList(scalar, value, context, []) } as Record<K, readonly T[]>;
      if (Object.keys(value).length === 0) return refuse(context, new Refusal("the map is empty", known));
      const result: Partial<Record<K, readonly T[]>> = {};
      for (const [key, entry] of Object.entries(value)) {
        if (names.includes(key as K)) result[key as K] = parseList(scalar, entry ?? [], context, [key]);
        else refuse(context, new Refusal("is not a known key", suggestion(key, names) ?? known), [key]);
      }
      return result;
    })
    .describe(description);
}

function parseList<T>(scalar: Scalar<T>, value: unknown, context: Report, path: PropertyKey[]): readonly T[] {
  const parsed: T[] = [];
  for (const [index, item] of (Array.isArray(value) ? value : [value]).entries()) {
    const result = scalar.parse(item);
    if (result instanceof Refusal) refuse(context, result, Array.isArray(value) ? [...path, index] : path);
    else parsed.push(result);
  }
  return parsed;
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as the person wrote it, shortened. */
export function quote(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a map";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 56)}..."` : text;
}

export function integer(title: string, minimum: number, maximum: number, hint: string | null = null): Scalar<number> {
  return {
    json: { title, type: "integer", minimum, maximum },
    parse(value) {
      if (typeof value !== "number" || !Number.isInteger(value))
        return new Refusal(
          `${quote(value)} is not a whole number`,
          hint ?? `write a number from ${minimum} to ${maximum}`,
        );
      if (value < minimum || value > maximum)
        return new Refusal(`${value} is outside of ${minimum} to ${maximum}`, hint);
      return value;
    },
  };
}

export const boolean: Scalar<boolean> = {
  json: { title: "true or false", type: "boolean" },
  parse(value) {
    if (typeof value === "boolean") return value;
    return new Refusal(`${quote(value)} is neither true nor false`);
  },
};

/** One of some words, each standing for a value. */
export function word<T>(words: Readonly<Record<string, T>>): Scalar<T> {
  const names = Object.keys(words);
  return {
    json: { title: names.map((name) => `\`${name}\``).join(", "), type: "string", enum: names },
    parse(value) {
      if (typeof value === "string" && Object.hasOwn(words, value)) return words[value];
      return new Refusal(`${quote(value)} is not one of ${names.join(", ")}`, suggestion(value, names));
    },
  };
}

export function text(title: string, pattern: RegExp, hint: string): Scalar<string> {
  const article = /^[aeiou]/.test(title) ? "an" : "a";
  return {
    json: { title, type: "string", pattern: pattern.source },
    parse: (value) =>
      typeof value === "string" && pattern.test(value)
        ? value
        : new Refusal(`${quote(value)} is not ${article} ${title}`, hint),
  };
}

/** "did you mean ...?" when one of the names is near. */
export function suggestion(value: unknown, names: Iterable<string>): string | null {
  if (typeof value !== "string" || value.length > 64) return null;
  const plain = (name: string) => name.toLowerCase().replace(/[-_. ]/g, "");
  let best: string | null = null;
  let least = Math.max(1, Math.floor(value.length / 3)) + 1;
  for (const name of names) {
    const [said, known] = [plain(value), plain(name)];
    const begins = Math.min(said.length, known.length) >= 3 && (said.startsWith(known) || known.startsWith(said));
    const distance = begins ? 1 : editDistance(said, known);
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best === null ? null : `did you mean ${best}?`;
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.length];
}
