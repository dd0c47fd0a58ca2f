// Which connected network a next hop is on.
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../net/address.ts";
import { InterfaceTable } from "../../../routing/interfaces.ts";
import type { LinkInfo } from "../../../routing/types.ts";

const address = (text: string) => parseAddress(text)!;

function link(ifindex: number, name: string, addresses: readonly string[], changes: Partial<LinkInfo> = {}): LinkInfo {
  return {
    ifindex,
    name,
    up: true,
    mtu: 1500,
    mac: new Uint8Array(6),
    addresses: addresses.map((text) => {
      const [own, length, peer] = text.split("/");
      return { address: address(own), length: Number(length), ...(peer ? { peer: address(peer) } : {}) };
    }),
    ...changes,
  };
}

function table(links: readonly LinkInfo[]) {
  let present = links;
  let notify = () => {};
  const interfaces = new InterfaceTable({
    links: () => present,
    onLinks: (listener) => {
      notify = listener;
    },
  });
  const set = (next: readonly LinkInfo[]) => {
    present = next;
    notify();
  };
  return { interfaces, set };
}

const links = [
  link(1, "lo", ["127.0.0.1/8", "10.0.0.11/32", "::1/128"]),
  link(2, "eth0", ["192.168.10.11/24", "fe80::11/64", "2001:db8:10::11/64"]),
  link(3, "eth1", ["192.168.20.1/31", "fe80::12/64"]),
  link(4, "eth2", ["10.9.9.1/32/10.9.9.2"]),
  link(5, "eth3", ["192.168.30.1/24"], { up: false }),
  link(6, "eth4", ["192.168.10.128/25"]),
  link(7, "eth5", ["192.168.10.12/24"]),
];

describe("next-hop resolution", () => {
  it.each([
    // address, session's interface, expected interface
    ["192.168.10.1", 0, 2],
    ["192.168.10.1", 7, 7],
    ["192.168.10.1", 5, 2],
    ["192.168.10.200", 0, 6],
    ["192.168.10.200", 2, 6],
    ["192.168.20.0", 0, 3],
    ["10.9.9.2", 0, 4],
    ["2001:db8:10::1", 0, 2],
    ["fe80::1", 3, 3],
    ["fe80::11", 2, null],
    ["fe80::11", 3, 3],
    ["fe80::1", 0, null],
    ["fe80::1", 5, null],
    ["fe80::1", 99, null],
    ["192.168.30.9", 0, null],
    ["192.168.10.11", 0, null],
    ["10.0.0.11", 0, null],
    ["10.0.0.12", 0, null],
    ["10.9.9.3", 0, null],
    ["8.8.8.8", 0, null],
    ["192.168.10.255", 0, null],
    ["192.168.10.0", 0, null],
    ["0.0.0.0", 0, null],
    ["::", 0, null],
    ["127.0.0.9", 0, null],
    ["2001:db8:11::1", 0, null],
  ])("%s with session interface %i: %s", (text, hint, expected) => {
    const resolved = table(links).interfaces.resolve(address(text), hint);
    expect(resolved?.ifindex ?? null).toBe(expected);
    if (resolved) expect(resolved.gateway).toEqual(address(text));
  });

  it("tells of changes that matter, and of no others", () => {
    const { interfaces, set } = table(links);
    let changes = 0;
    interfaces.onChange(() => changes++);
    set([...links]);
    set(links.map((entry) => ({ ...entry, mtu: 9000 })));
    expect(changes).toBe(0);
    set(links.map((entry) => (entry.ifindex === 2 ? { ...entry, up: false } : entry)));
    expect(changes).toBe(1);
    expect(interfaces.resolve(address("2001:db8:10::1"), 0)).toBeNull();
    set(links);
    set([...links, link(8, "eth6", ["172.16.0.1/16"])]);
    expect(changes).toBe(3);
    expect(interfaces.resolve(address("172.16.9.9"), 0)?.ifindex).toBe(8);
  });

  it("takes the MTU of the links in use, or else of those with an address", () => {
    const { interfaces } = table([
      link(2, "eth0", ["192.168.10.11/24"], { mtu: 9000 }),
      link(3, "docker0", ["172.17.0.1/16"], { mtu: 1450 }),
      link(4, "veth1", ["fe80::1/64"], { mtu: 1200 }),
    ]);
    expect(interfaces.smallestUplinkMtu()).toBe(1450);
    interfaces.resolve(address("192.168.10.1"), 0);
    expect(interfaces.smallestUplinkMtu()).toBe(9000);
    expect(table([]).interfaces.smallestUplinkMtu()).toBe(1500);
  });

  it("takes the MTU of links without addresses that peers are configured on, before there are any routes", () => {
    const { interfaces } = table([
      link(2, "eth0", ["192.168.10.11/24"], { mtu: 1400 }),
      link(3, "eth1", ["fe80::1/64"], { mtu: 9000 }),
      link(4, "eth2", ["fe80::1/64"], { mtu: 1300, up: false }),
    ]);
    expect(interfaces.smallestUplinkMtu(["eth1", "eth2"])).toBe(9000);
    expect(interfaces.smallestUplinkMtu(["eth9"])).toBe(1400);
  });
});
