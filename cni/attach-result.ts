// An attachment -> the result that ADD reports: host end first and without sandbox, then the pod's interface.
import { hostPrefixText } from "../net/prefix.ts";
import { formatMac, GATEWAY_IPV4, GATEWAY_IPV6, HOST_MAC } from "./attach/gateway.ts";
import { type Attachment, defaultRoutes } from "./attachment.ts";
import type { JsonObject } from "./protocol/json.ts";
import type { CniResult } from "./protocol/result.ts";

/** `dns` of the configuration goes before what came with the addresses. */
export function buildResult(
  { record, dns: given = {} }: Pick<Attachment, "record" | "dns">,
  mtu: number,
  dns: JsonObject,
): CniResult {
  const gateway = (address: string) => (address.includes(":") ? GATEWAY_IPV6 : GATEWAY_IPV4);
  return {
    interfaces: [
      { name: record.hostInterface, mac: formatMac(HOST_MAC), mtu },
      { name: record.ifname, mac: record.mac, mtu, sandbox: record.netns },
    ],
    ips: record.addresses.map((address) => ({
      address: hostPrefixText(address),
      gateway: gateway(address),
      interface: 1,
    })),
    routes: (record.routes ?? defaultRoutes(record.addresses)).map((dst) => ({ dst, gw: gateway(dst) })),
    dns: Object.keys(dns).length > 0 ? dns : given,
  };
}
