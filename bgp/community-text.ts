// Communities of all three kinds in words, as the API and the CLI show them.
import { formatExtendedCommunity } from "./policy/extended-community.ts";
import type { PathAttributes } from "./wire/path-attributes.ts";
import { communityNames } from "./wire/registry.ts";

export function formatCommunities(attributes: PathAttributes): string[] {
  return [
    ...attributes.communities.map(formatCommunity),
    ...attributes.largeCommunities.map((parts) => parts.join(":")),
    ...attributes.extendedCommunities.map(formatExtendedCommunity),
  ];
}

/** `65001:100`, or the name of a well-known one, as in the configuration. */
export function formatCommunity(value: number): string {
  return communityNames[value] ?? `${value >>> 16}:${value & 0xffff}`;
}

const float = new DataView(new ArrayBuffer(4));

/** Bytes per second of a link bandwidth community, transitive or not; null: it is not one, or makes no sense. */
export function linkBandwidth(high: number, low: number): number | null {
  if ((high & 0xbfff0000) !== 0x0004_0000) return null;
  float.setUint32(0, low);
  const bandwidth = float.getFloat32(0);
  return bandwidth >= 0 && bandwidth < Number.POSITIVE_INFINITY ? bandwidth : null;
}
