// Explaining a packet through the fib worker: with a table of many learned routes, which is not dumped for it, with routes
// of others in that table, and where a foreign table is too long to be read.

import { closeSync, openSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { formatAddress, parseAddress } from "../../net/address.ts";
import { collect } from "../../routing/explain/collect.ts";
import { explainLive } from "../../routing/explain/live.ts";
import type { Flow } from "../../routing/explain/types.ts";
import type { FibClient } from "../../routing/fib/client.ts";
import { NetlinkSocket } from "../../routing/netlink/socket.ts";
import { batch, member, Namespace, owned } from "./routing-namespace.ts";

const ROUTES = 25_000;

let ns: Namespace;
let client: FibClient;
beforeAll(async () => {
  ns = new Namespace();
  client = ns.client();
  await client.start();
  const up = ns.ifindex("up0");
  client.setNextHopSet(1, [member(`192.0.0.9%${up}`), member(`192.0.1.9%${ns.ifindex("up1")}*3`)]);
  client.setNextHopSet(2, [member(`2001:db8::9%${up}`)]);
  await client.setOwned(owned);
  const four = Array.from({ length: ROUTES }, (_, i) => [`10.${i >> 8}.${i & 255}.0/24`, 1] as const);
  client.apply(batch(7100, Object.fromEntries([...four, ["0.0.0.0/0", 1]])));
  client.apply(batch(7100, { "2001:db8:9::/48": 2, "::/0": 2 }));
  await client.flush();
});
afterAll(() => ns.remove());

function flow(source: string, destination: string, iif: string): Flow {
  const address = parseAddress(destination)!;
  const family = address.length === 4 ? 4 : 6;
  const plain = {
    oif: 0,
    mark: 0,
    tos: 0,
    uid: 0,
    ipProtocol: family === 4 ? 17 : 0,
    sourcePort: 0,
    destinationPort: 0,
  };
  return { ...plain, family, source: parseAddress(source), destination: address, iif: ns.ifindex(iif) };
}

it("finds learned routes of a large table without a dump", async () => {
  const { explanation, difference, partial, answer } = await client.explain(flow("10.244.1.5", "10.7.3.9", "up1"));
  expect(difference).toBeNull();
  expect(partial).toContain(7100);
  const [verdict] = explanation.verdicts;
  expect(verdict.route).toMatchObject({ table: 7100, length: 24, protocol: 201 });
  expect(verdict.members.map(({ gateway, weight }) => [formatAddress(gateway!), weight])).toEqual([
    ["192.0.0.9", 1],
    ["192.0.1.9", 3],
  ]);
  expect(answer.match?.nextHopId).toBe(verdict.route?.nextHopId);
});

it("takes the kernel's word for a route of somebody else in it", async () => {
  ns.run("ip route add 10.7.3.9/32 via 192.0.1.77 dev up1 table 7100 proto bird");
  const { explanation, difference } = await client.explain(flow("10.244.1.5", "10.7.3.9", "up0"));
  expect(difference).toBeNull();
  expect(explanation.verdicts[0].route).toMatchObject({ length: 32, protocol: 12 });
});

it("says so when it cannot have seen what the kernel went by", async () => {
  ns.run("ip route add throw 10.7.4.0/25 table 7100 proto bird; ip route add default via 192.0.0.3 dev up0");
  const { difference, answer } = await client.explain(flow("10.244.1.5", "10.7.4.9", "up1"));
  expect(answer.match).toMatchObject({ table: 254 });
  expect(difference).toMatch(/^table 7100 expected, the kernel says 254$/);
});

it("reads a small table as a whole", async () => {
  ns.run("ip -6 route add 2001:db8:9::9/128 via 2001:db8:1::77 dev up1 table 7100 proto bird");
  const { explanation, difference, partial } = await client.explain(flow("2001:db8:244:1::5", "2001:db8:9::9", "up0"));
  expect({ difference, partial }).toEqual({ difference: null, partial: [] });
  expect(explanation.verdicts[0].route).toMatchObject({ length: 128, protocol: 12 });
});

it("gives up a table that is too long, and still answers", async () => {
  const fd = openSync(ns.path, "r");
  const options = {
    open: () => new NetlinkSocket({ netnsFd: fd }),
    learned: { covering: () => null },
    tableLimit: 1000,
    read: (of: number, name: string, setting: string) =>
      Number(ns.run(`cat /proc/sys/net/ipv${of}/conf/${name}/${setting} 2>/dev/null || echo 0`)),
  };
  try {
    const asked = flow("10.244.1.5", "10.96.3.9", "up1");
    const { partial, snapshot } = await collect(asked, options);
    expect(partial).toEqual([7100]);
    expect(snapshot.tables.get(254)?.length).toBeGreaterThan(0);
    const { explanation, difference } = await explainLive(asked, options);
    expect(difference).toBeNull();
    expect(explanation.verdicts[0].route).toMatchObject({ table: 7100, length: 24 });
  } finally {
    closeSync(fd);
  }
});
