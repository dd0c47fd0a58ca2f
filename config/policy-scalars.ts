// The scalars of routing policy but communities: prefix ranges, AS path expressions, values that attributes are compared
// with, changes of attributes.
import type { PrefixMatch, Range, Relative, ValueMatch } from "../bgp/policy/types.ts";
import { hostPrefix, type Prefix } from "../net/prefix.ts";
import { asPathFault, LONGEST_AS_PATH_EXPRESSION } from "./as-path-syntax.ts";
import { Reference, SET_NAME } from "./community-scalars.ts";
import { integer, isMap, quote, Refusal, type Scalar } from "./scalar.ts";
import { address, asn, MAX_U32, readPrefix, unicastAddress } from "./scalars.ts";

/** `10.0.0.0/8`, `10.0.0.0/8 le 26`, `10.0.0.0/8 ge 16`, `10.0.0.0/8 ge 16 le 26` */
export const prefixMatch: Scalar<PrefixMatch> = {
  json: {
    title: "prefix, or prefix with `ge N` and `le N`",
    type: "string",
    pattern: "^[0-9A-Fa-f:.]+/[0-9]{1,3}( +ge +[0-9]{1,3})?( +le +[0-9]{1,3})?$",
  },
  parse(value) {
    const match = typeof value === "string" && /^(\S+)(?:\s+ge\s+(\d{1,3}))?(?:\s+le\s+(\d{1,3}))?$/.exec(value.trim());
    if (!match)
      return new Refusal(`${quote(value)} is not a prefix with a range of lengths`, "write 10.0.0.0/8 ge 16 le 26");
    const parsed = readPrefix(match[1], "a prefix");
    if (parsed instanceof Refusal) return parsed;
    const bits = parsed.bytes.length * 8;
    const le = match[3] ? Number(match[3]) : match[2] ? bits : parsed.length;
    const ge = match[2] ? Number(match[2]) : parsed.length;
    if (ge < parsed.length || ge > le || le > bits)
      return new Refusal(
        `${quote(value)} matches no prefix: ${ge} to ${le}`,
        `lengths go from ${parsed.length} (the prefix) to ${bits}, ge before le`,
      );
    return { prefix: parsed, ge, le };
  },
};

/** A regular expression over the AS path's text; `_` is a boundary. */
export const asPathExpression: Scalar<string> = {
  json: { title: "regular expression", type: "string", maxLength: LONGEST_AS_PATH_EXPRESSION },
  parse(value) {
    if (typeof value === "number" && Number.isInteger(value)) return String(value);
    if (typeof value !== "string") return new Refusal(`${quote(value)} is not a regular expression`, 'write "^65001_"');
    const fault = asPathFault(value);
    return fault === null ? value : new Refusal(`${quote(value)} is not a regular expression: ${fault}`);
  },
};

/** A prefix, or an address as its full-length prefix. */
export const nextHopMatch: Scalar<Prefix> = {
  json: { title: "address or prefix", type: "string" },
  parse(value) {
    if (typeof value === "string" && value.includes("/")) return readPrefix(value, "an address or a prefix");
    const parsed = address.parse(value);
    return parsed instanceof Refusal ? parsed : hostPrefix(parsed);
  },
};

/** As asPathExpression; a word is the name of a set: no AS path has letters in it. */
export const asPathElement: Scalar<string | Reference> = {
  json: { title: "regular expression, or name of a set", type: "string", maxLength: LONGEST_AS_PATH_EXPRESSION },
  parse: (value) =>
    typeof value === "string" && SET_NAME.test(value) ? new Reference(value) : asPathExpression.parse(value),
};

/** `3`, or `{ ge: 2, le: 5 }`. */
export function range(title: string, maximum: number): Scalar<Range> {
  const number = { type: "integer", minimum: 0, maximum };
  return {
    json: {
      title: `${title}, or map with \`ge\` and \`le\``,
      anyOf: [
        number,
        { type: "object", additionalProperties: false, minProperties: 1, properties: { ge: number, le: number } },
      ],
    },
    parse(value) {
      const isNumber = (entry: unknown): entry is number =>
        typeof entry === "number" && Number.isInteger(entry) && entry >= 0 && entry <= maximum;
      if (isNumber(value)) return { ge: value, le: value };
      if (typeof value === "number") return integer("number", 0, maximum).parse(value) as Refusal;
      const said = `${quote(value)} is not a ${title}`;
      const hint = `write a number from 0 to ${maximum}, or { ge: 2, le: 5 }`;
      if (!isMap(value)) return new Refusal(said, hint);
      const { ge = 0, le = maximum, ...rest } = value;
      const [unknown] = Object.keys(rest);
      if (unknown !== undefined) return new Refusal(`there is no ${unknown}`, hint);
      if (value["ge"] === undefined && value["le"] === undefined) return new Refusal("the map is empty", hint);
      if (!isNumber(ge) || !isNumber(le)) return new Refusal(`ge and le are not both a ${title}`, hint);
      return ge <= le ? { ge, le } : new Refusal(`${ge} to ${le} is an empty range`, "ge comes before le");
    },
  };
}

/** `none`, `any`, a number or a range. */
export function valueMatch(title: string): Scalar<ValueMatch> {
  const numbers = range(title, MAX_U32);
  return {
    json: {
      ...numbers.json,
      title: `${numbers.json.title}, \`any\` or \`none\``,
      anyOf: [numbers.json, { enum: ["any", "none"] }],
    },
    parse(value) {
      if (value === "none" || value === "any") return value;
      const parsed = numbers.parse(value);
      return parsed instanceof Refusal ? new Refusal(parsed.message, `${parsed.hint}, any or none`) : parsed;
    },
  };
}

/** A number, or `{ add: n }` or `{ subtract: n }`. */
export function numberOrChange(title: string): Scalar<number | Relative> {
  const number = { type: "integer", minimum: 0, maximum: MAX_U32 };
  const change = (key: string) => ({
    type: "object",
    additionalProperties: false,
    required: [key],
    properties: { [key]: number },
  });
  return {
    json: { title: "number, or map with `add` or `subtract`", anyOf: [number, change("add"), change("subtract")] },
    parse(value) {
      const isNumber = (entry: unknown): entry is number =>
        typeof entry === "number" && Number.isInteger(entry) && entry >= 0 && entry <= MAX_U32;
      if (typeof value === "number") return integer("number", 0, MAX_U32).parse(value);
      const hint = `write a number from 0 to ${MAX_U32}, { add: 10 } or { subtract: 10 }`;
      const [[key, by], ...rest] = isMap(value) ? [...Object.entries(value), ["", null]] : [["", null]];
      if ((key !== "add" && key !== "subtract") || !isNumber(by) || rest.length > 1)
        return new Refusal(`${quote(value)} is not a ${title}`, hint);
      return { add: key === "add" ? by : -by };
    },
  };
}

const medChange = numberOrChange("MED");

/** `none` removes the attribute. */
export const med: Scalar<number | null | Relative> = {
  json: {
    ...medChange.json,
    title: `${medChange.json.title}, or \`none\``,
    anyOf: [medChange.json, { const: "none" }],
  },
  parse(value) {
    if (value === "none") return null;
    const parsed = medChange.parse(value);
    return parsed instanceof Refusal ? new Refusal(parsed.message, `${parsed.hint}, or none to remove it`) : parsed;
  },
};

const nextHopWords = ["self", "unchanged", "peer-address"] as const;

export const nextHop: Scalar<"self" | "unchanged" | "peer" | Uint8Array> = {
  json: { title: "`self`, `unchanged`, `peer-address` or address", type: "string" },
  parse(value) {
    if (value === "self" || value === "unchanged") return value;
    if (value === "peer-address") return "peer";
    const parsed = unicastAddress.parse(value);
    return parsed instanceof Refusal
      ? new Refusal(parsed.message, `write ${nextHopWords.join(", ")} or an address`)
      : parsed;
  },
};

const MAX_PREPEND = 25;

export type Prepend = number | readonly number[] | { readonly lastAs: number };

/** A number n: n times our own AS; a list: these, first one outermost; `lastAs`: the path's own first one again. */
export const prepend: Scalar<Prepend> = {
  json: {
    title: "number of times, list of AS numbers, or map with `lastAs`",
    anyOf: [
      { type: "integer", minimum: 1, maximum: MAX_PREPEND },
      { type: "array", items: asn.json, minItems: 1, maxItems: MAX_PREPEND },
      {
        type: "object",
        additionalProperties: false,
        required: ["lastAs"],
        properties: { lastAs: { type: "integer", minimum: 1, maximum: MAX_PREPEND } },
      },
    ],
  },
  parse(value) {
    const hint = `write how many times to put the node's own AS in front, 1 to ${MAX_PREPEND}, or a list of AS numbers, or { lastAs: 2 }`;
    const isTimes = (entry: unknown): entry is number =>
      typeof entry === "number" && Number.isInteger(entry) && entry >= 1 && entry <= MAX_PREPEND;
    if (isTimes(value)) return value;
    if (isMap(value) && Object.keys(value).join() === "lastAs" && isTimes(value["lastAs"]))
      return { lastAs: value["lastAs"] };
    if (!Array.isArray(value)) return new Refusal(`${quote(value)} cannot be prepended`, hint);
    if (value.length === 0 || value.length > MAX_PREPEND)
      return new Refusal(`a list of ${value.length} cannot be prepended`, hint);
    const numbers: number[] = [];
    for (const item of value) {
      const parsed = asn.parse(item);
      if (parsed instanceof Refusal) return parsed;
      numbers.push(parsed);
    }
    return numbers;
  },
};

/** RFC 6996. */
const PRIVATE: readonly Range[] = [
  { ge: 64512, le: 65534 },
  { ge: 4200000000, le: 4294967294 },
];

/** An AS number, or `private` for all of them. */
export const removedAs: Scalar<readonly (number | Range)[]> = {
  json: { title: "AS number or `private`", anyOf: [asn.json, { const: "private" }] },
  parse(value) {
    if (value === "private") return PRIVATE;
    const parsed = asn.parse(value);
    return parsed instanceof Refusal ? new Refusal(parsed.message, `${parsed.hint}, or private`) : [parsed];
  },
};
