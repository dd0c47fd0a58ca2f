// The rules that a configuration stands for, and the connected networks that some of them name.
import { describe, expect, it } from "vitest";
import { formatAddress, parseAddress } from "../../../net/address.ts";
import { formatPrefix, prefix } from "../../../net/prefix.ts";
import { connectedNetworks } from "../../../routing/connected-networks.ts";
import { Ownership } from "../../../routing/ownership.ts";
import type { LinkInfo, OwnedState, RoutingOptions } from "../../../routing/types.ts";

const options: RoutingOptions = {
  install: true,
  protocol: 201,
  localTable: 7000,
  rulePriority: { local: 1000, hostRoutes: 1005, block: 1010, host: 1090 },
  nextHopIds: { base: 1, count: 1 },
  staleTime: 1,
  sysctls: false,
};

/** IPv4 rules as `ip rule` has them. */
function rules(owned: OwnedState, networks: readonly string[] = []): string[] {
  return new Ownership(options)
    .rules(owned, () => networks.map(prefix))
    .filter(({ family }) => family === 4)
    .sort((a, b) => a.priority - b.priority)
    .map((rule) => {
      const from = rule.source ? `${formatAddress(rule.source)}/${rule.sourceLength}` : "all";
      const to = rule.destination ? ` to ${formatAddress(rule.destination)}/${rule.destinationLength}` : "";
      const iif = rule.iif ? ` iif ${rule.iif}` : "";
      const what =
        rule.action === 6
          ? "blackhole"
          : rule.action === 7
            ? "unreachable"
            : rule.table === 254
              ? "main"
              : `${rule.table}`;
      return `${rule.priority} ${from}${to}${iif} ${what}${rule.table === 254 ? `>${rule.suppressPrefixLength}` : ""}`;
    });
}

const table = (id: number, changes: Partial<OwnedState["tables"][number]> = {}) => ({
  name: `t${id}`,
  id,
  host: false,
  fallback: "host" as const,
  hostRoutes: "first" as const,
  ...changes,
});

describe("addresses of a block that pods of other nodes have", () => {
  const blocks = [{ prefix: "10.1.0.0/24", table: 7100 }];
  const owned = { blocks, tables: [table(7100)], elsewhere: ["10.1.0.7/32", "2001:db8::7/128"] };

  it("are holes in it, and what the fabric sends for them is dropped", () => {
    expect(rules({ ...owned, uplinks: ["eth1", "eth2"] })).toEqual([
      "1000 all 7000",
      "1001 all to 10.1.0.7/32 iif eth1 blackhole",
      "1001 all to 10.1.0.7/32 iif eth2 blackhole",
      "1005 10.1.0.0/24 main>1",
      "1010 10.1.0.0/24 7100",
    ]);
    const routes = new Ownership(options).routes(owned);
    expect(routes.map(({ type, length, table: id, priority }) => [type, length, id, priority])).toEqual([
      [9, 32, 7000, 65535],
      [9, 128, 7000, 65535],
      [6, 24, 7000, 65535],
    ]);
  });

  it("are no holes when they are here", () => {
    const here = { ...owned, blocks: [...blocks, { prefix: "10.1.0.7/32", table: 7100 }] };
    const routes = new Ownership(options).routes(here);
    expect(routes.map(({ type, length }) => `${type} /${length}`)).toEqual(["6 /32", "9 /128", "6 /24"]);
  });
});

describe("rules", () => {
  it("ask the host's own routes before the learned ones of each block", () => {
    const blocks = [
      { prefix: "10.1.0.0/24", table: 7100 },
      { prefix: "10.2.0.0/24", table: 7200 },
    ];
    const tables = [table(7100), table(7200, { hostRoutes: "last", fallback: "unreachable" })];
    expect(rules({ blocks, tables }, ["192.0.2.0/24", "fe80::/10", "198.51.100.0/24"])).toEqual([
      "1000 all 7000",
      "1005 10.1.0.0/24 main>1",
      "1005 10.2.0.0/24 to 192.0.2.0/24 main>1",
      "1005 10.2.0.0/24 to 198.51.100.0/24 main>1",
      "1010 10.1.0.0/24 7100",
      "1010 10.2.0.0/24 7200",
      "1011 10.2.0.0/24 unreachable",
    ]);
  });

  it.each([
    ["first, first", "first", "first", ["1089 all main>1", "1090 all 7100", "1092 all 7200"]],
    ["first, last", "first", "last", ["1089 all main>1", "1090 all 7100", "1092 all 7200"]],
    [
      "last, first",
      "last",
      "first",
      ["1089 all to 192.0.2.0/24 main>1", "1090 all 7100", "1091 all main>1", "1092 all 7200"],
    ],
    ["last, last", "last", "last", ["1089 all to 192.0.2.0/24 main>1", "1090 all 7100", "1092 all 7200"]],
  ] as const)("ask them once for the host's own traffic: %s", (_, one, two, expected) => {
    const tables = [
      table(7100, { host: true, hostRoutes: one }),
      table(7150),
      table(7200, { host: true, hostRoutes: two, fallback: "unreachable" }),
    ];
    expect(rules({ blocks: [], tables }, ["192.0.2.0/24"])).toEqual(["1000 all 7000", ...expected]);
  });
});

describe("connected networks", () => {
  const link = (name: string, ...addresses: string[]): LinkInfo => ({
    ifindex: 1,
    name,
    up: false,
    mtu: 1500,
    mac: new Uint8Array(6),
    addresses: addresses.map((text) => {
      const [address, peer, length] = text.split(/[ /]/).length === 3 ? text.split(/[ /]/) : ["", "", ""];
      if (peer) return { address: parseAddress(address)!, peer: parseAddress(peer)!, length: Number(length) };
      const [own, bits] = text.split("/");
      return { address: parseAddress(own)!, peer: parseAddress(own)!, length: Number(bits) };
    }),
  });

  it("are those of the host's addresses, each once, the narrower ones left out", () => {
    const links = [
      link("lo", "127.0.0.1/8", "10.0.0.1/32", "::1/128"),
      link("eth0", "192.0.2.129/25", "192.0.2.5/24", "2001:db8::1/64", "fe80::1/64"),
      link("eth1", "192.0.2.6/24", "10.255.0.1/32", "169.254.0.1/31"),
      link("ppp0", "10.9.0.1 10.9.0.2/32"),
    ];
    expect(connectedNetworks(links).map(formatPrefix)).toEqual([
      "192.0.2.0/24",
      "169.254.0.0/31",
      "10.9.0.2/32",
      "fe80::/10",
      "2001:db8::/64",
    ]);
  });
});
