import { describe, expect, it } from "vitest";
import { findEndpoints, type Interfaces } from "../../../../bgp/session/local-addresses.ts";
import { parseAddress } from "../../../../net/address.ts";

const base = { netmask: "", mac: "", internal: false };
const interfaces: Interfaces = {
  lo: [{ ...base, address: "10.255.0.1", family: "IPv4", cidr: "10.255.0.1/32" }],
  eth0: [
    { ...base, address: "10.0.0.1", family: "IPv4", cidr: "10.0.0.1/24" },
    { ...base, address: "2001:db8::1", family: "IPv6", cidr: "2001:db8::1/64", scopeid: 0 },
    { ...base, address: "fe80::1", family: "IPv6", cidr: "fe80::1/64", scopeid: 2 },
  ],
  eth1: [
    { ...base, address: "fe80::1", family: "IPv6", cidr: "fe80::1/64", scopeid: 3 },
    { ...base, address: "10.0.1.1", family: "IPv4", cidr: "10.0.1.1/31" },
  ],
};
const index: Record<string, number> = { lo: 1, eth0: 2, eth1: 3 };
const bytes = (text: string) => parseAddress(text)!;

describe("addresses of a session's interface", () => {
  it.each([
    ["over IPv4", "10.0.0.1", 0, "10.0.0.9", null, "fe80::1", "2001:db8::1", "10.0.0.1", 2],
    ["over IPv6", "2001:db8::1", 0, "2001:db8::2", null, "fe80::1", "2001:db8::1", "10.0.0.1", 2],
    ["link-local by scope", "fe80::1", 3, "fe80::2", null, "fe80::1", null, "10.0.1.1", 3],
    ["link-local by device", "fe80::1", 2, "fe80::2", "eth0", "fe80::1", "2001:db8::1", "10.0.0.1", 2],
    ["multihop: no interface, no link-local", "10.255.0.1", 0, "10.9.9.9", null, null, null, "10.255.0.1", 0],
    ["gone meanwhile", "192.0.2.1", 0, "192.0.2.2", null, null, null, "192.0.2.1", 0],
  ] as const)("%s", (_, local, scope, remote, device, linkLocal, six, four, ifindex) => {
    const found = findEndpoints(
      { address: bytes(local), port: 1, scope },
      { address: bytes(remote), port: 2, scope },
      device,
      interfaces,
      (name) => index[name],
    );
    expect(found).toEqual({
      localAddress: bytes(local),
      remoteAddress: bytes(remote),
      localLinkLocal: linkLocal && bytes(linkLocal),
      localAddress6: six && bytes(six),
      localAddress4: four && bytes(four),
      ifindex,
    });
  });
});
