// An attachment -> the result that ADD reports: host end first and without sandbox, then the pod's interface.
import { formatMac, GATEWAY_IPV4, GATEWAY_IPV6, HOST_MAC } from "./attach/gateway.ts";
import type { PodRecord } from "./ipam/records.ts";
import type { JsonObject } from "./protocol/json.ts";
import type { CniResult } from "./protocol/result.ts";

export function buildResult(record: PodRecord, mtu: number, dns: JsonObject): CniResult {
  const gateway = (address: string) => (address.includes(":") ? GATEWAY_IPV6 : GATEWAY_IPV4);
  return {
    interfaces: [
      { name: record.hostInterface, mac: formatMac(HOST_MAC), mtu },
      { name: record.ifname, mac: record.mac, mtu, sandbox: record.netns },
    ],
    ips: record.addresses.map((address) => ({
      address: `${address}/${address.includes(":") ? 128 : 32}`,
      gateway: gateway(address),
      interface: 1,
    })),
    routes: record.addresses.map((address) => ({
      dst: address.includes(":") ? "::/0" : "0.0.0.0/0",
      gw: gateway(address),
    })),
    dns,
  };
}
