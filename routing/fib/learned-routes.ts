// Learned routes as the worker knows them to be in the kernel, for a question about one address: a lookup per prefix length
// instead of a dump of the table.
import type { Family } from "../../net/address.ts";
import { maskBytes } from "../../net/prefix.ts";
import type { LearnedRoutes } from "../explain/collect.ts";
import { RouteType, Scope } from "../netlink/constants.ts";
import type { Route } from "../netlink/route.ts";
import { METRIC } from "../ownership.ts";
import type { Routes } from "./routes.ts";

/** A table with fewer routes is read from the kernel, which has routes of others in it too. */
const WORTH_A_LOOKUP = 20_000;

export function learnedRoutes(routes: Routes, protocol: number, worth = WORTH_A_LOOKUP): LearnedRoutes {
  return {
    covering(family: Family, table: number, address: Uint8Array): readonly Route[] | null {
      const found = routes.find(family, table);
      if (!found || found.installedCount + found.staleCount < worth) return null;
      const covering: Route[] = [];
      for (let length = address.length * 8; length >= 0; length--) {
        const destination = maskBytes(address, length);
        const id = found.find(destination, 0, length);
        if (id < 0 || found.kernel[id] === 0) continue;
        covering.push({
          family,
          table,
          destination,
          length,
          source: null,
          sourceLength: 0,
          tos: 0,
          type: RouteType.unicast,
          scope: Scope.universe,
          protocol,
          priority: METRIC,
          nextHopId: found.kernel[id],
          hops: [],
          preferredSource: null,
          preference: 0,
        });
      }
      return covering;
    },
  };
}
