// Communities of all three kinds in words, as the API and the CLI show them.
import { formatIpv4 } from "../net/address.ts";
import type { PathAttributes } from "./wire/path-attributes.ts";
import { communityNames } from "./wire/registry.ts";

export function formatCommunities(attributes: PathAttributes): string[] {
  return [
    ...attributes.communities.map(formatCommunity),
    ...attributes.largeCommunities.map((parts) => parts.join(":")),
    ...attributes.extendedCommunities.map(([high, low]) => formatExtended(high, low)),
  ];
}

/** `65001:100`, or the name of a well-known one, as in the configuration. */
export function formatCommunity(value: number): string {
  return communityNames[value] ?? `${value >>> 16}:${value & 0xffff}`;
}

/**
 * Route targets and origins (RFC 4360 §4, RFC 5668) and link bandwidth in bytes per second
 * (draft-ietf-idr-link-bandwidth) in words, the others as 16 hexadecimal digits.
 */
function formatExtended(high: number, low: number): string {
  const type = (high >>> 24) & 0xbf;
  const subtype = (high >>> 16) & 0xff;
  const name = { 2: "rt", 3: "ro" }[subtype];
  if (name && type === 0) return `${name}:${high & 0xffff}:${low}`;
  if (name && type === 1)
    return `${name}:${formatIpv4((((high & 0xffff) << 16) | (low >>> 16)) >>> 0)}:${low & 0xffff}`;
  if (name && type === 2) return `${name}:${(((high & 0xffff) << 16) | (low >>> 16)) >>> 0}:${low & 0xffff}`;
  const bandwidth = linkBandwidth(high, low);
  if (bandwidth !== null) return `bandwidth:${high & 0xffff}:${bandwidth}`;
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}

const float = new DataView(new ArrayBuffer(4));

/** Bytes per second of a link bandwidth community, transitive or not; null: it is not one, or makes no sense. */
export function linkBandwidth(high: number, low: number): number | null {
  if ((high & 0xbfff0000) !== 0x0004_0000) return null;
  float.setUint32(0, low);
  const bandwidth = float.getFloat32(0);
  return bandwidth >= 0 && bandwidth < Number.POSITIVE_INFINITY ? bandwidth : null;
}
