// Scalars that only peers and their groups have: the neighbour's AS, and ranges to listen for.
import type { RemoteAsn } from "../bgp/session/types.ts";
import { isLinkLocal } from "../net/address.ts";
import { formatPrefix, type Prefix } from "../net/prefix.ts";
import { quote, Refusal, type Scalar } from "./scalar.ts";
import { asn, interfaceName, readPrefix } from "./scalars.ts";

interface AsnRange {
  readonly from: number;
  readonly to: number;
}

const RANGE = /^(\d{1,10})\s*-\s*(\d{1,10})$/;

/** A number, `external`, `internal`, or a list of numbers and ranges. A list of one number is that number. */
export const remoteAsn: Scalar<RemoteAsn> = {
  json: {
    title: "AS number (or list), `external` or `internal`",
    anyOf: [
      asn.json,
      { type: "string", pattern: `external|internal|${RANGE.source}` },
      { type: "array", minItems: 1, items: { anyOf: [asn.json, { type: "string", pattern: RANGE.source }] } },
    ],
  },
  parse(value) {
    if (value === "external" || value === "internal") return value;
    const ranges: AsnRange[] = [];
    if (Array.isArray(value) && value.length === 0)
      return new Refusal("the list is empty", "write the neighbour's AS number, external or internal");
    for (const item of Array.isArray(value) ? value : [value]) {
      const range = asnOrRange(item);
      if (range instanceof Refusal) return range;
      ranges.push(range);
    }
    return ranges.length === 1 && ranges[0].from === ranges[0].to ? ranges[0].from : ranges;
  },
};

function asnOrRange(value: unknown): AsnRange | Refusal {
  const range = typeof value === "string" ? RANGE.exec(value) : null;
  if (range) {
    const [from, to] = [asn.parse(Number(range[1])), asn.parse(Number(range[2]))];
    if (from instanceof Refusal) return from;
    if (to instanceof Refusal) return to;
    return from <= to ? { from, to } : new Refusal(`${quote(value)} ends before it begins`, `write ${to}-${from}`);
  }
  const parsed = asn.parse(value);
  if (!(parsed instanceof Refusal)) return { from: parsed, to: parsed };
  return typeof value === "string" && !/\d/.test(value)
    ? new Refusal(parsed.message, "write the neighbour's AS number, external or internal")
    : parsed;
}

/** A prefix of unicast addresses; on one interface, or (null) wherever they come from. */
export interface ParsedRange {
  readonly prefix: Prefix;
  readonly interface: string | null;
}

export const listenRange: Scalar<ParsedRange> = {
  json: { title: "prefix", type: "string", pattern: "^[0-9A-Fa-f:.]+/[0-9]{1,3}(%[^%/]+)?$" },
  parse(value) {
    const zone = typeof value === "string" ? /^([^%]+)%(.*)$/.exec(value) : null;
    const prefix = readPrefix(zone ? zone[1] : value, "a range");
    if (prefix instanceof Refusal) return prefix;
    const name = zone ? interfaceName.parse(zone[2]) : null;
    if (name instanceof Refusal) return name;
    const [first] = prefix.bytes;
    if (prefix.length > 0 && (prefix.family === 4 ? first >= 224 : first === 0xff))
      return new Refusal(`${quote(value)} is multicast`, "neighbours connect from unicast addresses");
    return { prefix, interface: name };
  },
};

export function rangeText({ prefix, interface: name }: ParsedRange): string {
  return formatPrefix(prefix) + (name === null ? "" : `%${name}`);
}

/** All of its addresses are link-local ones. */
export function isLinkLocalRange({ prefix }: ParsedRange): boolean {
  return prefix.family === 6 && prefix.length >= 10 && isLinkLocal(prefix.bytes);
}

/** `true`, `false`, or a number of hops. */
export const hopsOrBoolean: Scalar<boolean | number> = {
  json: {
    title: "true, false or a number of hops",
    anyOf: [{ type: "boolean" }, { type: "integer", minimum: 1, maximum: 254 }],
  },
  parse(value) {
    if (typeof value === "boolean") return value;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 254) return value;
    return new Refusal(
      `${quote(value)} is neither true, false nor a number of hops`,
      "write true, or hops from 1 to 254",
    );
  },
};
