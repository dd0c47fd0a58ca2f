// The AS path as a router's CLI writes it: `65001 65002 {65003,65004}`, confederation segments in parentheses.
import { type AsSegment, AsSegmentType } from "../wire/path-attributes.ts";

export function formatAsPath(path: readonly AsSegment[]): string {
  return path.map(formatSegment).join(" ");
}

function formatSegment({ type, asns }: AsSegment): string {
  switch (type) {
    case AsSegmentType.AS_SET:
      return `{${asns.join(",")}}`;
    case AsSegmentType.AS_CONFED_SEQUENCE:
      return `(${asns.join(" ")})`;
    case AsSegmentType.AS_CONFED_SET:
      return `({${asns.join(",")}})`;
    default:
      return asns.join(" ");
  }
}
