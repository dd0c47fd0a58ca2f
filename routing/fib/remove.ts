// Leaves no trace: rules first, so that no packet finds a half-empty table, then next hops (their routes go with them),
// then every other route with our number.
import type { MessageWriter } from "../netlink/message.ts";
import { decodeRoute, encodeDelRoute, encodeRouteDump, type Route } from "../netlink/route.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { Ownership } from "../ownership.ts";
import type { NextHops } from "./next-hops.ts";
import type { Rules } from "./rules.ts";

/** Routes per system call. */
const BATCH = 256;

/** Throws what the kernel said when something of ours stays. */
export function removeEverything(socket: NetlinkSocket, ownership: Ownership, rules: Rules, nextHops: NextHops): void {
  rules.removeAll();
  nextHops.removeAll();
  for (const family of [4, 6] as const) {
    const routes = socket
      .dump((out) => encodeRouteDump(out, family, 0, ownership.protocol), decodeRoute)
      .filter((route) => ownership.ownsProtocol(route.protocol));
    for (let from = 0; from < routes.length; from += BATCH) {
      const { out } = socket;
      out.reset();
      for (const route of routes.slice(from, from + BATCH)) encodeDelete(out, route);
      const failure = socket.flush().find(({ text }) => !text.startsWith("ESRCH"));
      if (failure) throw new Error(`a route of ours could not be removed: ${failure.text}`);
    }
  }
}

function encodeDelete(out: MessageWriter, route: Route): void {
  encodeDelRoute(out, {
    family: route.family,
    table: route.table,
    destination: route.destination,
    length: route.length,
    type: route.type,
    scope: route.scope,
    protocol: route.protocol,
    priority: route.priority,
  });
}
