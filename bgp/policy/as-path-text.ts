// The AS path as a router's CLI writes it: `65001 65002 {65003,65004}`, confederation segments in parentheses.
import type { AsSegment, AsSegmentType } from "../wire/path-attributes.ts";

/** RFC 4271 §4.3 b and RFC 5065 §3; policies take types from the wire, not values. */
export const AS_SET = 1 satisfies AsSegmentType;
export const AS_SEQUENCE = 2 satisfies AsSegmentType;
export const AS_CONFED_SEQUENCE = 3 satisfies AsSegmentType;
export const AS_CONFED_SET = 4 satisfies AsSegmentType;

export function formatAsPath(path: readonly AsSegment[]): string {
  return path.map(formatSegment).join(" ");
}

function formatSegment({ type, asns }: AsSegment): string {
  switch (type) {
    case AS_SET:
      return `{${asns.join(",")}}`;
    case AS_CONFED_SEQUENCE:
      return `(${asns.join(" ")})`;
    case AS_CONFED_SET:
      return `({${asns.join(",")}})`;
    default:
      return asns.join(" ");
  }
}
