// Extended communities (RFC 4360) as parts that patterns can look at, and as text.
//
//   two-octet AS    | type 0x00 | subtype | AS (2) | number (4)     rt:65001:100
//   four-octet AS   | type 0x02 | subtype | AS (4) | number (2)     rt:4200000001:100, rt:65001L:100 (RFC 5668)
//   IPv4 address    | type 0x01 | subtype | address (4) | number (2)    rt:10.0.0.1:100
//
// Link bandwidth is a two-octet AS one whose number is a float: octets per second (draft-ietf-idr-link-bandwidth). It is
// written with type 0x40, not transitive across ASes; neither patterns nor text look at that bit.
import { formatIpv4 } from "../../net/address.ts";
import type { ExtendedCommunity } from "./types.ts";

const ExtendedSubtype = { ROUTE_TARGET: 2, ROUTE_ORIGIN: 3, LINK_BANDWIDTH: 4 } as const;
/** AS forms are neighbours: a pattern for any AS is a range. */
export const ExtendedForm = { AS2: 0, AS4: 1, IPV4: 2 } as const;
/** In place of the subtype, for a pattern of bare octets: [RAW, 0, high, low]. */
export const RAW = 256;

const words: Readonly<Record<number, string>> = { 2: "rt", 3: "ro", 4: "bandwidth" };
const forms: Readonly<Record<number, number>> = { 0: ExtendedForm.AS2, 1: ExtendedForm.IPV4, 2: ExtendedForm.AS4 };
const NON_TRANSITIVE = 0x40;

export type ExtendedParts = readonly [subtype: number, form: number, global: number, local: number];

/** Null for a community of another structure. */
export function extendedParts([high, low]: ExtendedCommunity): ExtendedParts | null {
  const form = forms[(high >>> 24) & ~NON_TRANSITIVE];
  if (form === undefined) return null;
  const subtype = (high >>> 16) & 0xff;
  if (form !== ExtendedForm.AS2) return [subtype, form, (((high & 0xffff) << 16) | (low >>> 16)) >>> 0, low & 0xffff];
  return [subtype, form, high & 0xffff, subtype === ExtendedSubtype.LINK_BANDWIDTH ? float(low) : low];
}

/** As the configuration takes it: `rt:65001:1`, `bandwidth:65001:12500000`, 0x and 16 digits for the rest. */
export function formatExtendedCommunity(community: ExtendedCommunity): string {
  const parts = extendedParts(community);
  const word = parts && words[parts[0]];
  const inWords =
    parts?.[0] === ExtendedSubtype.LINK_BANDWIDTH ? isBandwidth(parts) : ((community[0] >>> 24) & NON_TRANSITIVE) === 0;
  if (!word || !parts || !inWords) return `0x${hex(community[0])}${hex(community[1])}`;
  const [, form, global, local] = parts;
  const owner =
    form === ExtendedForm.IPV4
      ? formatIpv4(global)
      : form === ExtendedForm.AS4 && global <= 0xffff
        ? `${global}L`
        : String(global);
  return `${word}:${owner}:${local}`;
}

/** Some send it transitive, which says the same. */
function isBandwidth([, form, , local]: ExtendedParts): boolean {
  return form === ExtendedForm.AS2 && local >= 0 && local < Number.POSITIVE_INFINITY;
}

const scratch = new DataView(new ArrayBuffer(4));

function float(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}

function hex(half: number): string {
  return half.toString(16).padStart(8, "0");
}
