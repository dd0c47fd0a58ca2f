// A walk in order over the prefixes that have a path from any source.
import type { RouteSource } from "./source.ts";

/**
 * A function that returns the first prefix from `from` on that has a path, or -1. It remembers where each source goes on,
 * because a sparse one would be searched through again for every prefix of a full one; what comes behind that point
 * meanwhile is not seen.
 */
export function walkPaths(sources: readonly ({ readonly source: RouteSource } | null)[]): (from: number) => number {
  const positions = new Map<RouteSource, number>();
  return (from) => {
    let next = Number.POSITIVE_INFINITY;
    for (const state of sources) {
      if (!state) continue;
      let at = positions.get(state.source) ?? -1;
      if (at < from) {
        at = state.source.adjRibIn.next(from);
        if (at < 0) at = Number.POSITIVE_INFINITY;
        positions.set(state.source, at);
      }
      if (at < next) next = at;
    }
    return next === Number.POSITIVE_INFINITY ? -1 : next;
  };
}
