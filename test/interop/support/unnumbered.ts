// What the tests without addresses share: configurations of FRR and BIRD, and the kernel's next hops with their devices.
import type { Node } from "./namespace.ts";

/** Neighbours on these interfaces, found by router advertisements; needs zebra. */
export const frrUnnumbered = (
  asn: number,
  devices: readonly string[],
  { networks = [], more = [] }: { networks?: readonly string[]; more?: readonly string[] } = {},
): string => `
router bgp ${asn}
 bgp router-id 10.0.${asn >> 8}.${asn & 255}
 no bgp ebgp-requires-policy
 no bgp network import-check
${devices.map((device) => ` neighbor ${device} interface remote-as external\n neighbor ${device} timers connect 1`).join("\n")}
${more.map((line) => ` ${line}`).join("\n")}
 address-family ipv4 unicast
${networks
  .filter((prefix) => !prefix.includes(":"))
  .map((prefix) => `  network ${prefix}`)
  .join("\n")}
 exit-address-family
 address-family ipv6 unicast
${networks
  .filter((prefix) => prefix.includes(":"))
  .map((prefix) => `  network ${prefix}`)
  .join("\n")}
${devices.map((device) => `  neighbor ${device} activate`).join("\n")}
 exit-address-family
`;

/** `neighbor`: what stands after the keyword. */
export const birdUnnumbered = (
  asn: number,
  device: string,
  neighbor: string,
  { networks = [], more = "" }: { networks?: readonly string[]; more?: string } = {},
): string => `
router id 10.0.${asn >> 8}.${asn & 255};
protocol device { scan time 1; }
protocol radv { interface "${device}" { min ra interval 3; max ra interval 4; default lifetime 0; }; }
protocol static s4 { ipv4; ${networks
  .filter((prefix) => !prefix.includes(":"))
  .map((prefix) => `route ${prefix} blackhole;`)
  .join(" ")} }
protocol static s6 { ipv6; ${networks
  .filter((prefix) => prefix.includes(":"))
  .map((prefix) => `route ${prefix} blackhole;`)
  .join(" ")} }
protocol bgp node {
  local as ${asn}; neighbor ${neighbor}; interface "${device}"; direct; ${more}
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; extended next hop on; };
  ipv6 { import all; export where source = RTS_STATIC; };
}
`;

interface IpNexthop {
  readonly id: number;
  readonly dev?: string;
  readonly gateway?: string;
  readonly group?: readonly { readonly id: number }[];
}

/** `fe80::1 eth1` for each next hop of a prefix in the fabric table, sorted; empty when it is not there. */
export async function nextHopsOf(node: Node, prefix: string): Promise<string[]> {
  const list = async <T>(...args: string[]) => JSON.parse((await node.exec("ip", "-j", ...args)).trim() || "[]") as T[];
  const family = prefix.includes(":") ? "-6" : "-4";
  const routes = await list<{ dst: string; nhid?: number }>(family, "route", "show", "table", "7100").catch(() => []);
  const objects = new Map((await list<IpNexthop>("nexthop")).map((object) => [object.id, object]));
  const hops = (id: number): string[] => {
    const { group, gateway, dev } = objects.get(id) ?? {};
    return group ? group.flatMap((member) => hops(member.id)) : [`${gateway} ${dev}`];
  };
  const id = routes.find(({ dst }) => dst === prefix)?.nhid;
  return id === undefined ? [] : hops(id).sort();
}

/** The link-local address of an interface that has one. */
export async function linkLocal(node: Node, device: string): Promise<string> {
  const text = await node.exec("ip", "-j", "-6", "address", "show", "dev", device, "scope", "link");
  const [{ addr_info: addresses }] = JSON.parse(text) as { addr_info: { local: string }[] }[];
  return addresses[0].local;
}
