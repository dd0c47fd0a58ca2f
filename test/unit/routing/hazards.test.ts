// Each hazard from the smallest difference to a host where all is well.
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../net/address.ts";
import { prefix } from "../../../net/prefix.ts";
import { findHazards, type HazardInputs } from "../../../routing/hazards.ts";
import type { Rule } from "../../../routing/netlink/rule.ts";
import { networkdSettings, readNetworkd } from "../../../routing/networkd.ts";
import { plainRule } from "../../support/rule.ts";

const settings: Record<string, string> = {
  "net/ipv4/ip_forward": "1",
  "net/ipv6/conf/all/forwarding": "1",
  "net/ipv4/conf/all/rp_filter": "0",
  "net/ipv4/conf/up0/rp_filter": "2",
  "net/ipv4/conf/up0/forwarding": "1",
  "net/ipv4/conf/up1.7/rp_filter": "0",
  "net/ipv6/conf/all/disable_ipv6": "0",
  "net/ipv6/conf/up0/accept_ra": "1",
  "net/ipv6/conf/up0/forwarding": "1",
  "net/ipv6/route/max_size": "2147483647",
};

function rule(text: string, changes: Partial<Rule> = {}): Rule {
  const [, priority, source, destination, table] = /^(\d+): from (\S+)(?: to (\S+))? lookup (\d+)$/.exec(text)!;
  const parsed = (block?: string) => {
    const [address, length] = (block ?? "all").split("/");
    return { address: parseAddress(address), length: Number(length ?? 0) };
  };
  return plainRule({
    priority: Number(priority),
    source: parsed(source).address,
    sourceLength: parsed(source).length,
    destination: parsed(destination).address,
    destinationLength: parsed(destination).length,
    table: Number(table),
    ...changes,
  });
}

const ours = [
  rule("0: from all lookup 255", { protocol: 2 }),
  rule("1000: from all lookup 7000", { protocol: 201 }),
  rule("1010: from 10.244.1.0/26 lookup 7100", { protocol: 201 }),
  rule("32766: from all lookup 254", { protocol: 2 }),
];

function find(changes: Partial<Omit<HazardInputs, "sysctl">> & { sysctl?: Record<string, string> }): string[] {
  const values = { ...settings, ...changes.sysctl };
  return findHazards({
    protocol: 201,
    localTable: 7000,
    tables: [7100],
    blocks: [prefix("10.244.1.0/26"), prefix("2001:db8:244:1::/122")],
    lastPriority: 1010,
    rules: ours,
    foreignRoutes: [],
    deadDefaults: [],
    overflows: [],
    uplinks: ["up0", "up1.7"],
    ipv6Routes: 1,
    networkd: null,
    ...changes,
    sysctl: (path) => values[path] ?? null,
  }).map(({ kind, severity, subject, cure }) => {
    expect(cure).not.toBe("");
    return `${severity} ${kind} ${subject}`;
  });
}

const withRule = (text: string, changes: Partial<Rule> = {}) =>
  find({ rules: [...ours, rule(text, changes)].sort((a, b) => a.priority - b.priority) });

describe("rules of others", () => {
  it("matter when they decide first about pods' traffic", () => {
    expect(find({})).toEqual([]);
    for (const text of ["500: from 10.244.0.0/16 lookup 254", "500: from all lookup 254", "1010: from all lookup 100"])
      expect(withRule(text)).toEqual([`problem rulePrecedes IPv4 rule ${text.replace("254", "main")}`]);
    expect(withRule("500: from all to 10.244.1.5/32 lookup 9")).toHaveLength(1);
    expect(withRule("500: from 192.0.2.0/24 lookup 9")).toHaveLength(1); // what it sends to pods
  });

  it("do not matter behind ours, for the host alone, or for other addresses on both sides", () => {
    expect(withRule("1011: from all lookup 254")).toEqual([]);
    expect(withRule("500: from all lookup 255")).toEqual([]);
    expect(withRule("500: from all lookup 9", { iif: "lo" })).toEqual([]);
    expect(withRule("500: from 192.0.2.0/24 to 198.51.100.0/24 lookup 9")).toEqual([]);
  });

  it("are notes when they select by mark, or only more specific routes", () => {
    expect(withRule("500: from all lookup 9", { fwmark: 0x200, fwmask: 0xf00 })[0]).toMatch(/^note rulePrecedes/);
    expect(withRule("500: from all lookup 254", { suppressPrefixLength: 0 })[0]).toMatch(/^note rulePrecedes/);
    expect(withRule("500: from all lookup 9", { fwmark: 0x200, invert: true })[0]).toMatch(/^problem rulePrecedes/);
  });

  it("must not lead into our tables, wherever they are", () => {
    for (const text of ["20000: from all lookup 7100", "5: from 192.0.2.1/32 lookup 7000"])
      expect(withRule(text)).toEqual([`problem ruleIntoTable IPv4 rule ${text}`]);
  });
});

it("routes of others in our tables", () => {
  const foreignRoutes = [{ table: 7100, count: 3, more: false, example: "10.9.0.0/16 of protocol 99" }];
  expect(find({ foreignRoutes })).toEqual(["problem foreignRoutes table 7100"]);
});

it("a default route in main that leads nowhere ends the lookup before ours", () => {
  const deadDefaults = [{ family: 6 as const, text: "unreachable ::/0 metric 9000" }];
  expect(find({ deadDefaults })).toEqual(["problem defaultEndsLookup IPv6 unreachable ::/0 metric 9000"]);
});

describe("settings", () => {
  it("strict reverse path filters matter with several uplinks, and the larger value counts", () => {
    expect(find({ sysctl: { "net/ipv4/conf/all/rp_filter": "1" } })).toEqual(["problem rpFilterStrict up1.7"]);
    expect(find({ sysctl: { "net/ipv4/conf/up1.7/rp_filter": "1" } })).toEqual(["problem rpFilterStrict up1.7"]);
    expect(find({ sysctl: { "net/ipv4/conf/all/rp_filter": "1" }, uplinks: ["up1.7"] })).toEqual([]);
    const [hazard] = findHazards({
      protocol: 201,
      localTable: 7000,
      tables: [],
      blocks: [],
      lastPriority: 0,
      rules: [],
      foreignRoutes: [],
      deadDefaults: [],
      overflows: [],
      uplinks: ["up0", "up1.7"],
      ipv6Routes: 0,
      networkd: null,
      sysctl: (path) => (path === "net/ipv4/conf/up1.7/rp_filter" ? "1" : "0"),
    });
    expect(hazard.cure).toContain("sysctl -w net.ipv4.conf.up1/7.rp_filter=2");
  });

  it("forwarding, IPv6 and its limits", () => {
    expect(find({ sysctl: { "net/ipv4/conf/up0/forwarding": "0" } })).toEqual(["problem forwardingOff up0"]);
    expect(find({ sysctl: { "net/ipv6/conf/all/forwarding": "0" } })).toEqual(["problem forwardingOff IPv6"]);
    expect(find({ sysctl: { "net/ipv6/conf/all/disable_ipv6": "1" } })).toEqual(["problem ipv6Disabled all"]);
    expect(find({ sysctl: { "net/ipv6/conf/all/disable_ipv6": "1" }, blocks: [] })).toEqual([]);
    expect(find({ sysctl: { "net/ipv6/route/max_size": "4096" }, ipv6Routes: 4000 })).toEqual([
      "problem ipv6RouteLimit net.ipv6.route.max_size",
    ]);
    expect(find({ sysctl: { "net/ipv6/conf/up0/accept_ra": "2", "net/ipv4/conf/default/forwarding": "0" } })).toEqual([
      "problem forwardingOff new interfaces",
      "note acceptRa up0",
    ]);
  });
});

it("a full neighbour table matters, for IPv6 when a gateway of ours has no place in it", () => {
  const overflow = { limit: 1024, count: 3, since: 1_700_000_000, gateways: [] };
  expect(find({ overflows: [{ ...overflow, family: 4 }] })).toEqual(["problem neighbourTableFull IPv4"]);
  expect(find({ overflows: [{ ...overflow, family: 6 }] })).toEqual(["note neighbourTableFull IPv6"]);
  expect(find({ overflows: [{ ...overflow, family: 6, gateways: ["fe80::1 on up0"] }] })).toEqual([
    "problem neighbourTableFull IPv6",
  ]);
});

describe("systemd-networkd", () => {
  const files = (contents: Record<string, string>) => ({
    read: (path: string) => contents[path] ?? null,
    list: (path: string) =>
      Object.keys(contents)
        .filter((file) => file.startsWith(`${path}/`) && !file.slice(path.length + 1).includes("/"))
        .map((file) => file.slice(path.length + 1)),
  });
  const all = (value: boolean) => ({
    manageForeignRoutes: value,
    manageForeignRoutingPolicyRules: value,
    manageForeignNextHops: value,
  });
  const off =
    "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=off\n ManageForeignNextHops = FALSE\n";

  it("removes what it did not make unless told otherwise, by the last word of its files", () => {
    expect(networkdSettings(files({}))).toEqual(all(true));
    expect(networkdSettings(files({ "/etc/systemd/networkd.conf": off }))).toEqual(all(false));
    expect(networkdSettings(files({ "/etc/systemd/networkd.conf": off.replace("[Network]", "[DHCPv4]") }))).toEqual(
      all(true),
    );
    const yes = "[Network]\n# ManageForeignRoutes=no\nManageForeignRoutes=yes\n";
    expect(
      networkdSettings(
        files({
          "/usr/lib/systemd/networkd.conf.d/20-x.conf": yes,
          "/etc/systemd/networkd.conf.d/10-underlay.conf": off,
        }),
      ),
    ).toEqual({ ...all(false), manageForeignRoutes: true });
    // The same name in /etc hides the other one.
    expect(
      networkdSettings(
        files({
          "/usr/lib/systemd/networkd.conf.d/20-x.conf": yes,
          "/etc/systemd/networkd.conf.d/20-x.conf": off,
        }),
      ),
    ).toEqual(all(false));
  });

  it("is a hazard only when it runs, and the shipped drop-in cures it", async () => {
    const { readFileSync } = await import("node:fs");
    const running = { "/run/systemd/units/invocation:systemd-networkd.service": "" };
    expect(readNetworkd(files({}))).toBeNull();
    expect(find({ networkd: readNetworkd(files(running)) })).toEqual(["problem networkd systemd-networkd"]);
    const shipped = readFileSync(
      new URL("../../../daemon/systemd/networkd.conf.d/10-underlay.conf", import.meta.url),
      "utf8",
    );
    const cured = { ...running, "/etc/systemd/networkd.conf.d/10-underlay.conf": shipped };
    expect(find({ networkd: readNetworkd(files(cured)) })).toEqual([]);
  });
});
