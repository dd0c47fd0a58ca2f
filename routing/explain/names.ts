// Numbers of the kernel by the names that `ip` gives them.
import { RouteType } from "../netlink/constants.ts";

/** RTPROT_* as in iproute2's rt_protos, and of programs that are met beside us. */
const PROTOCOLS = new Map([
  [0, "unspec"],
  [1, "redirect"],
  [2, "kernel"],
  [3, "boot"],
  [4, "static"],
  [8, "gated"],
  [9, "ra"],
  [10, "mrt"],
  [11, "zebra"],
  [12, "bird"],
  [14, "xorp"],
  [16, "dhcp"],
  [17, "mrouted"],
  [18, "keepalived"],
  [42, "babel"],
  [84, "ovn"],
  [99, "openr"],
  [186, "bgp"],
  [187, "isis"],
  [188, "ospf"],
  [189, "rip"],
  [192, "eigrp"],
]);

/** `bird`, or the number. */
export function protocolName(protocol: number, ours: number): string {
  return protocol === ours ? "underlay" : (PROTOCOLS.get(protocol) ?? String(protocol));
}

const TYPES = new Map<number, string>(Object.entries(RouteType).map(([name, type]) => [type, name]));

export function typeName(type: number): string {
  return TYPES.get(type) ?? String(type);
}
