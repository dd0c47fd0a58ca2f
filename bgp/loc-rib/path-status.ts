// What becomes of every path of a prefix, for those who look: used, eligible, or rejected and why.
import type { PathStatus, RouteSource } from "./source.ts";

export interface PathLookup {
  /** Attributes after policy, 0: rejected. */
  imported(source: RouteSource): number;
  nextHopOf(source: RouteSource, attributes: number): number;
}

/** Best first, unused last. `order`: sources of the eligible paths, `used` of which come first and are in use. */
export function pathStatuses(
  id: number,
  sources: readonly RouteSource[],
  order: readonly RouteSource[],
  used: number,
  lookup: PathLookup,
): PathStatus[] {
  const paths: PathStatus[] = [];
  for (const source of sources) {
    const raw = source.adjRibIn.get(id);
    if (raw === 0) continue;
    const attributes = lookup.imported(source);
    const at = order.indexOf(source);
    let rejected: PathStatus["rejected"] = null;
    if (attributes === 0) rejected = source.filter.ineligible(raw, id) ?? "policy";
    else if (at < 0) rejected = "next hop";
    paths.push({
      source,
      raw,
      attributes,
      nextHop: attributes === 0 ? 0 : lookup.nextHopOf(source, attributes),
      best: at === 0,
      used: at >= 0 && at < used,
      multipath: at >= 0 && at < used && used > 1,
      stale: source.adjRibIn.isStale(id),
      rejected,
    });
  }
  const rank = (path: PathStatus): number => (path.used ? order.indexOf(path.source) : order.length);
  return paths.sort((a, b) => rank(a) - rank(b));
}
