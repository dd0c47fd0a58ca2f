// Default routes in table main that lead nowhere. `suppress_prefixlength` skips routes that lead somewhere only: at
// such a one the kernel ends, before any learned route. In: a netlink socket. Out: those there are; the kernel picks by
// type and table.
import { type Family, formatAddress } from "../net/address.ts";
import { RouteType, RT_TABLE_MAIN } from "./netlink/constants.ts";
import type { NetlinkSocket } from "./netlink/socket.ts";
import { dumpTable } from "./netlink/table-dump.ts";
import { LIKE_DEFAULT } from "./ownership.ts";

export interface DeadDefault {
  readonly family: Family;
  /** As `ip route` takes it: `unreachable 0.0.0.0/0 metric 9000`. */
  readonly text: string;
}

const types = [
  [RouteType.blackhole, "blackhole"],
  [RouteType.unreachable, "unreachable"],
  [RouteType.prohibit, "prohibit"],
] as const;

export function readDeadDefaults(socket: NetlinkSocket): DeadDefault[] {
  return ([4, 6] as const).flatMap((family) =>
    types.flatMap(([type, name]) =>
      dumpTable(socket, family, RT_TABLE_MAIN, { type })
        .filter((route) => route.type === type && route.length <= LIKE_DEFAULT[family])
        .map(({ destination, length, priority }) => ({
          family,
          text: `${name} ${formatAddress(destination)}/${length}${priority > 0 ? ` metric ${priority}` : ""}`,
        })),
    ),
  );
}
