// Other forms of an AS path for a neighbour: without private AS numbers (RFC 6996), with the neighbour's own AS replaced.
// The same list comes back when there is nothing to change.
import { type AsSegment, AsSegmentType } from "../wire/path-attributes.ts";

function isPrivateAsn(asn: number): boolean {
  return (asn >= 64512 && asn <= 65534) || (asn >= 4200000000 && asn <= 4294967294);
}

/** Every `from` as `to`. */
export function replaceAsn(path: readonly AsSegment[], from: number, to: number): readonly AsSegment[] {
  return mapAsns(path, (asn) => (asn === from ? to : asn));
}

/**
 * Takes private AS numbers out, or writes `replacement` in their place. The neighbour's own stays: it has to see its loop.
 * Unless `all`, only where the path has private ones alone: a mixed one would tell a wrong story.
 */
export function removePrivateAsns(
  path: readonly AsSegment[],
  neighborAsn: number,
  { all, replacement }: { readonly all: boolean; readonly replacement: number | null },
): readonly AsSegment[] {
  if (!all && !path.every(({ asns }) => asns.every(isPrivateAsn))) return path;
  return mapAsns(path, (asn) => (isPrivateAsn(asn) && asn !== neighborAsn ? replacement : asn));
}

/** Null takes a number out; a segment without numbers goes too. */
function mapAsns(path: readonly AsSegment[], change: (asn: number) => number | null): readonly AsSegment[] {
  if (!path.some(({ asns }) => asns.some((asn) => change(asn) !== asn))) return path;
  const result: AsSegment[] = [];
  for (const { type, asns } of path) {
    const kept = asns.map(change).filter((asn) => asn !== null);
    const last = result.at(-1);
    // What stood on both sides of a segment that is gone belongs together.
    const joins = type === AsSegmentType.AS_SEQUENCE && last?.type === type && last.asns.length + kept.length <= 255;
    if (kept.length === 0) continue;
    if (joins) result[result.length - 1] = { type, asns: [...last.asns, ...kept] };
    else result.push({ type, asns: kept });
  }
  return result;
}
