// Sessions end at once when what they run over is gone.
import { expect, it } from "vitest";
import { FastFailover } from "../../../daemon/fast-failover.ts";
import { parseAddress } from "../../../net/address.ts";
import type { LinkInfo } from "../../../routing/types.ts";

const address = (text: string) => parseAddress(text) as Uint8Array;

function link(ifindex: number, name: string, addresses: readonly string[], up = true): LinkInfo {
  return {
    ifindex,
    name,
    up,
    mtu: 1500,
    mac: new Uint8Array(6),
    addresses: addresses.map((text) => ({ address: address(text), length: text.includes(":") ? 64 : 24 })),
  };
}

const present = [
  link(1, "lo", ["10.0.0.1"]),
  link(2, "eth1", ["fe80::1", "192.0.2.1"]),
  link(3, "eth2", ["fe80::1", "fe80::2"]),
];

it.each([
  ["nothing", present, []],
  ["the link", [present[0], link(2, "eth1", ["fe80::1", "192.0.2.1"], false), present[2]], ["a", "b", "c"]],
  ["the interface", [present[0], present[2]], ["a", "b", "c"]],
  ["the link-local address, which eth2 has too", [present[0], link(2, "eth1", ["192.0.2.1"]), present[2]], ["a reset"]],
  ["the IPv4 address", [present[0], link(2, "eth1", ["fe80::1"]), present[2]], ["b reset"]],
  ["the loopback's address", [link(1, "lo", []), present[1], present[2]], ["c reset"]],
])("lost: %s", (_, links, lost) => {
  let notify = () => {};
  const reset: string[] = [];
  new FastFailover(
    {
      links: () => links,
      onLinks: (listener) => {
        notify = listener;
      },
    },
    {
      establishedInterfaces: () => [
        { peer: "a", ifindex: 2, localAddress: address("fe80::1") },
        { peer: "b", ifindex: 2, localAddress: address("192.0.2.1") },
        { peer: "c", ifindex: 2, localAddress: address("10.0.0.1") },
      ],
      resetPeer: (peer) => reset.push(`${peer} reset`),
      pathLost: (peer) => reset.push(peer),
    },
  );
  notify();
  expect(reset).toEqual(lost);
});
