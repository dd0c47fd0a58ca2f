// One way through all the decoders, as a session and the RIB take it, and what an UPDATE says in one line per route.

import type { WireContext } from "../../bgp/wire/context.ts";
import { checkNlri, receivesPathIds } from "../../bgp/wire/nlri.ts";
import type { PathAttributes } from "../../bgp/wire/path-attributes.ts";
import { type DecodedAttributes, decodeAttributes, layoutUpdate, type UpdateLayout } from "../../bgp/wire/update.ts";
import { formatAddress } from "../../net/address.ts";
import { formatPrefix, type Prefix } from "../../net/prefix.ts";

export function wireContext(changes: Partial<WireContext> = {}): WireContext {
  return { as4: true, ebgp: true, families: [4, 6], extendedNextHop: false, maxMessage: 4096, ...changes };
}

export interface DecodedUpdate {
  readonly layout: UpdateLayout;
  /** Null for an UPDATE without attributes. */
  readonly decoded: DecodedAttributes | null;
}

/** The body of an UPDATE. Throws WireError when it calls for a reset. */
export function decodeUpdate(buffer: Uint8Array, start: number, end: number, context: WireContext): DecodedUpdate {
  const layout = { withdrawnStart: 0, withdrawnEnd: 0, attributesStart: 0, attributesEnd: 0, nlriStart: 0, nlriEnd: 0 };
  layoutUpdate(buffer, start, end, layout);
  const { attributesStart, attributesEnd, nlriStart, nlriEnd } = layout;
  const pathIds = receivesPathIds(context, 4);
  checkNlri(buffer, layout.withdrawnStart, layout.withdrawnEnd, 32, pathIds);
  checkNlri(buffer, nlriStart, nlriEnd, 32, pathIds);
  const hasNlri = nlriEnd > nlriStart;
  const decoded =
    attributesEnd > attributesStart || hasNlri
      ? decodeAttributes(buffer, attributesStart, attributesEnd, context, hasNlri)
      : null;
  return { layout, decoded };
}

/** Reads checked NLRI. */
export function readPrefixes(buffer: Uint8Array, start: number, end: number, family: 4 | 6): Prefix[] {
  const prefixes: Prefix[] = [];
  for (let at = start; at < end; ) {
    const length = buffer[at++];
    const bytes = new Uint8Array(family === 4 ? 4 : 16);
    const size = (length + 7) >>> 3;
    bytes.set(buffer.subarray(at, at + size));
    at += size;
    prefixes.push({ family, bytes, length });
  }
  return prefixes;
}

/** `+ 10.0.0.0/8 via 10.9.0.1 path 65001 ...`, `- 10.0.0.0/8`, `end of 4`. */
export function describeUpdate(buffer: Uint8Array, { layout, decoded }: DecodedUpdate): string[] {
  const lines: string[] = [];
  const add = (sign: string, start: number, end: number, family: 4 | 6, rest = "") => {
    for (const prefix of readPrefixes(buffer, start, end, family)) lines.push(`${sign} ${formatPrefix(prefix)}${rest}`);
  };
  add("-", layout.withdrawnStart, layout.withdrawnEnd, 4);
  const unreach = decoded?.mpUnreach;
  const reach = decoded?.mpReach;
  if (unreach?.family) add("-", unreach.nlriStart, unreach.nlriEnd, unreach.family);
  if (decoded?.attributes) {
    const text = ` ${describeAttributes(decoded.attributes)}`;
    add("+", layout.nlriStart, layout.nlriEnd, 4, text);
    if (reach?.family) add("+", reach.nlriStart, reach.nlriEnd, reach.family, text);
  }
  if (lines.length > 0) return lines;
  return [`end of ${unreach?.family ?? 4}`];
}

function describeAttributes(attributes: PathAttributes): string {
  const { asPath, nextHop, med, aggregator, communities, extendedCommunities, largeCommunities } = attributes;
  const parts = [
    `via ${nextHop ? formatAddress(nextHop) : "nothing"}`,
    `path ${asPath.map(({ type, asns }) => (type === 1 ? `{${asns.join()}}` : asns.join(" "))).join(" ")}`,
    ["igp", "egp", "incomplete"][attributes.origin],
  ];
  if (med !== null) parts.push(`med ${med}`);
  if (attributes.atomicAggregate) parts.push("atomic");
  if (aggregator) parts.push(`aggregator ${aggregator.asn}`);
  for (const community of communities) parts.push(`${community >>> 16}:${community & 0xffff}`);
  for (const [high, low] of extendedCommunities) parts.push(`${high.toString(16)}:${low.toString(16)}`);
  for (const community of largeCommunities) parts.push(community.join(":"));
  for (const { code, value } of attributes.unknown) parts.push(`unknown ${code} ${Buffer.from(value).toString("hex")}`);
  return parts.join(" ");
}
