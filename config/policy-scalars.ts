// The scalars of routing policy: prefix ranges, communities and their patterns, AS path expressions, prepends.
import type { CommunityPattern, LargeCommunityPattern, PrefixMatch } from "../bgp/policy/types.ts";
import { hostPrefix, type Prefix } from "../net/prefix.ts";
import { asPathFault, LONGEST_AS_PATH_EXPRESSION } from "./as-path-syntax.ts";
import { quote, Refusal, type Scalar } from "./scalar.ts";
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

/** RFC 1997, RFC 7999, RFC 8326, RFC 3765, RFC 9494. */
const wellKnown: Readonly<Record<string, number>> = {
  "graceful-shutdown": 0xffff0000,
  "accept-own": 0xffff0001,
  "llgr-stale": 0xffff0006,
  "no-llgr": 0xffff0007,
  blackhole: 0xffff029a,
  "no-export": 0xffffff01,
  "no-advertise": 0xffffff02,
  "no-export-subconfed": 0xffffff03,
  "local-as": 0xffffff03,
  "no-peer": 0xffffff04,
};

/** Parts separated by colons, each a number up to `maximum` or, in a pattern, `*`. */
function parts(value: unknown, count: number, maximum: number, pattern: boolean): (number | null)[] | null {
  if (typeof value !== "string") return null;
  const fields = value.split(":");
  if (fields.length !== count) return null;
  const numbers = fields.map((field) =>
    field === "*" && pattern ? null : /^\d{1,10}$/.test(field) ? Number(field) : -1,
  );
  return numbers.every((number) => number === null || (number >= 0 && number <= maximum)) ? numbers : null;
}

const communityHint = (large: boolean) =>
  large
    ? "write 65101:1:1, three numbers up to 4294967295"
    : `write 65001:100, two numbers up to 65535, or ${Object.keys(wellKnown).join(", ")}`;

export const community: Scalar<number> = {
  json: { title: "community", type: "string" },
  parse(value) {
    if (typeof value === "string" && Object.hasOwn(wellKnown, value)) return wellKnown[value];
    const numbers = parts(value, 2, 65535, false) as number[] | null;
    if (numbers) return ((numbers[0] << 16) | numbers[1]) >>> 0;
    const isPattern = parts(value, 2, 65535, true) !== null;
    return new Refusal(
      `${quote(value)} is not a community`,
      isPattern ? "* stands for anything in match and remove only" : communityHint(false),
    );
  },
};

export const communityPattern: Scalar<CommunityPattern> = {
  json: { title: "community, `*` for any part", type: "string" },
  parse(value) {
    if (typeof value === "string" && Object.hasOwn(wellKnown, value))
      return [wellKnown[value] >>> 16, wellKnown[value] & 0xffff];
    const numbers = parts(value, 2, 65535, true);
    if (numbers) return [numbers[0], numbers[1]];
    return new Refusal(
      `${quote(value)} is not a community`,
      `${communityHint(false)}; * stands for a whole part: 65001:*`,
    );
  },
};

export const largeCommunity: Scalar<readonly [number, number, number]> = {
  json: { title: "large community", type: "string", pattern: "^[0-9]+:[0-9]+:[0-9]+$" },
  parse(value) {
    const numbers = parts(value, 3, MAX_U32, false) as number[] | null;
    if (numbers) return [numbers[0], numbers[1], numbers[2]];
    return new Refusal(`${quote(value)} is not a large community`, communityHint(true));
  },
};

export const largeCommunityPattern: Scalar<LargeCommunityPattern> = {
  json: { title: "large community, `*` for any part", type: "string", pattern: "^([0-9]+|\\*)(:([0-9]+|\\*)){2}$" },
  parse(value) {
    const numbers = parts(value, 3, MAX_U32, true);
    if (numbers) return [numbers[0], numbers[1], numbers[2]];
    return new Refusal(`${quote(value)} is not a large community`, `${communityHint(true)}; * stands for a whole part`);
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

export const nextHop: Scalar<"self" | "unchanged" | Uint8Array> = {
  json: { title: "`self`, `unchanged` or address", type: "string" },
  parse(value) {
    if (value === "self" || value === "unchanged") return value;
    const parsed = unicastAddress.parse(value);
    return parsed instanceof Refusal ? new Refusal(parsed.message, "write self, unchanged or an address") : parsed;
  },
};

const MAX_PREPEND = 25;

/** A number n: n times our own AS; a list: these, first one outermost. */
export const prepend: Scalar<number | readonly number[]> = {
  json: {
    title: "number of times, or list of AS numbers",
    anyOf: [
      { type: "integer", minimum: 1, maximum: MAX_PREPEND },
      { type: "array", items: asn.json, minItems: 1, maxItems: MAX_PREPEND },
    ],
  },
  parse(value) {
    const hint = `write how many times to put the node's own AS in front, 1 to ${MAX_PREPEND}, or a list of AS numbers`;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= MAX_PREPEND) return value;
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

/** `none` removes the attribute. */
export const med: Scalar<number | null> = {
  json: { title: "number or `none`", anyOf: [{ type: "integer", minimum: 0, maximum: MAX_U32 }, { const: "none" }] },
  parse(value) {
    if (value === "none") return null;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_U32) return value;
    return new Refusal(`${quote(value)} is not a MED`, `write a number from 0 to ${MAX_U32}, or none to remove it`);
  },
};
