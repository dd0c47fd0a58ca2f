// The conditions of a statement that look at path attributes. Those that look at the route's key (prefix, family, peer)
// are apart, in compile.ts, because attributes are shared by many routes and evaluated once for all of them.
import { sameBytes } from "../../net/address.ts";
import { maskBytes } from "../../net/prefix.ts";
import type { PathAttributes } from "../wire/path-attributes.ts";
import { AsPathExpression } from "./as-path-expression.ts";
import { formatAsPath } from "./as-path-text.ts";
import type { CommunityPattern, LargeCommunityPattern, PolicyMatch } from "./types.ts";

export type AttributeCondition = (attributes: PathAttributes) => boolean;

/** All attribute conditions of a match as one; null when there is none. */
export function attributeCondition(match: PolicyMatch): AttributeCondition | null {
  const conditions: AttributeCondition[] = [];
  const { community, largeCommunity, asPath, asPathContains, nextHop, origin } = match;
  if (origin) conditions.push((attributes) => origin.includes(attributes.origin));
  if (community)
    conditions.push(({ communities }) =>
      communities.some((value) => community.some((p) => matchesCommunity(value, p))),
    );
  if (largeCommunity) {
    conditions.push(({ largeCommunities }) =>
      largeCommunities.some((value) => largeCommunity.some((p) => matchesLargeCommunity(value, p))),
    );
  }
  if (asPathContains)
    conditions.push((attributes) =>
      attributes.asPath.some(({ asns }) => asPathContains.some((asn) => asns.includes(asn))),
    );
  if (nextHop) {
    conditions.push(({ nextHop: address }) =>
      nextHop.some(
        ({ bytes, length }) =>
          address !== null && address.length === bytes.length && sameBytes(maskBytes(address, length), bytes),
      ),
    );
  }
  if (asPath) {
    const expressions = asPath.map((source) => new AsPathExpression(source));
    conditions.push((attributes) => {
      const text = formatAsPath(attributes.asPath);
      return expressions.some((expression) => expression.test(text));
    });
  }
  if (conditions.length === 0) return null;
  return (attributes) => conditions.every((condition) => condition(attributes));
}

export function matchesCommunity(value: number, [high, low]: CommunityPattern): boolean {
  return (high === null || high === value >>> 16) && (low === null || low === (value & 0xffff));
}

export function matchesLargeCommunity(
  value: readonly [number, number, number],
  pattern: LargeCommunityPattern,
): boolean {
  return pattern.every((part, index) => part === null || part === value[index]);
}
