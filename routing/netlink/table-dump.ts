// All routes of one table.
import type { Family } from "../../net/address.ts";
import { NetlinkError } from "./error.ts";
import { decodeRoute, encodeRouteDump, type Route } from "./route.ts";
import type { NetlinkSocket } from "./socket.ts";

/**
 * A table that never had a route is an error to the kernel, and an empty one here: in a new network namespace even table
 * main is none.
 */
export function dumpTable(
  socket: NetlinkSocket,
  family: Family,
  table: number,
  { protocol = 0, type = 0 }: { readonly protocol?: number; readonly type?: number } = {},
): Route[] {
  try {
    return socket.dump((out) => encodeRouteDump(out, family, table, protocol, type), decodeRoute);
  } catch (error) {
    if (error instanceof NetlinkError && error.code === "ENOENT") return [];
    throw error;
  }
}
