// The kernel's own answer for a flow: RTM_GETROUTE once for the decision, and once for the route that it comes from.
import { errnoName } from "../../net/native.ts";
import { RouteFlag } from "../netlink/constants.ts";
import { NetlinkError } from "../netlink/error.ts";
import { decodeRoute, encodeRouteRequest, type Route } from "../netlink/route.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { KernelAnswer } from "./compare.ts";
import type { Flow } from "./types.ts";

export function askKernel(socket: NetlinkSocket, flow: Flow): KernelAnswer {
  const ask = (flags: number): Route | NetlinkError => {
    try {
      return socket.get((out) => encodeRouteRequest(out, { ...flow, flags }), decodeRoute, "route lookup")!;
    } catch (error) {
      if (error instanceof NetlinkError) return error;
      throw error;
    }
  };
  // An answer for IPv6 says the table always, and the question must not ask for it.
  const withTable = flow.family === 4 ? RouteFlag.lookupTable : 0;
  const decision = ask(withTable);
  if (decision instanceof NetlinkError)
    return { error: { code: errnoName(decision.errno), text: decision.message }, decision: null, match: null };
  const match = ask(withTable | RouteFlag.fibMatch);
  return { error: null, decision, match: match instanceof NetlinkError ? null : match };
}
