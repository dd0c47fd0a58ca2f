// Results in every version, byte for byte as parsed JSON, and prevResult back from each.
import { describe, expect, it } from "vitest";
import { buildResult } from "../../../cni/attach-result.ts";
import { appendResult, formatResult, parsePrevResult } from "../../../cni/protocol/result.ts";
import { supportedVersions } from "../../../cni/protocol/version.ts";

const record = {
  network: "net",
  containerId: "c1",
  ifname: "eth0",
  pool: "default",
  addresses: ["10.1.2.3", "2001:db8::3"],
  netns: "/run/netns/x",
  netnsId: "4:5",
  hostInterface: "ul0123456789abc",
  mac: "02:00:00:00:00:03",
  pod: null,
};
const result = buildResult({ record }, 1400, { nameservers: ["10.0.0.53"] });

const routes = [
  { dst: "0.0.0.0/0", gw: "169.254.1.1" },
  { dst: "::/0", gw: "fe80::1" },
];
const dns = { nameservers: ["10.0.0.53"] };
const old = {
  ip4: { ip: "10.1.2.3/32", gateway: "169.254.1.1", routes: [routes[0]] },
  ip6: { ip: "2001:db8::3/128", gateway: "fe80::1", routes: [routes[1]] },
  dns,
};
const mtu = { mtu: 1400 };
const modern = (version: object, link: object) => ({
  interfaces: [
    { name: "ul0123456789abc", mac: "ee:ee:ee:ee:ee:ee", ...link },
    { name: "eth0", mac: "02:00:00:00:00:03", ...link, sandbox: "/run/netns/x" },
  ],
  ips: [
    { ...("version" in version ? { version: "4" } : {}), interface: 1, address: "10.1.2.3/32", gateway: "169.254.1.1" },
    { ...("version" in version ? { version: "6" } : {}), interface: 1, address: "2001:db8::3/128", gateway: "fe80::1" },
  ],
  routes,
  dns,
});

const expected = {
  "0.1.0": old,
  "0.2.0": old,
  "0.3.0": modern({ version: true }, {}),
  "0.3.1": modern({ version: true }, {}),
  "0.4.0": modern({ version: true }, {}),
  "1.0.0": modern({}, {}),
  "1.1.0": modern({}, mtu),
};

describe("CNI results", () => {
  it.each(supportedVersions)("in version %s, and back", (version) => {
    const text = JSON.parse(formatResult(result, version)) as object;
    expect(text).toEqual({ cniVersion: version, ...expected[version] });
    const parsed = parsePrevResult(text, version);
    expect(JSON.parse(formatResult(parsed, version))).toEqual(text);
  });

  it("names the routes and the DNS settings that came with the addresses", () => {
    const given = { record: { ...record, routes: ["10.0.0.0/8"] }, dns: { search: ["a"] } };
    expect(buildResult(given, 1400, {})).toMatchObject({
      routes: [{ dst: "10.0.0.0/8", gw: "169.254.1.1" }],
      dns: { search: ["a"] },
    });
    expect(buildResult(given, 1400, { domain: "b" }).dns).toEqual({ domain: "b" });
  });

  it("follows the result of an earlier plugin, with shifted indexes", () => {
    const previous = parsePrevResult(
      { interfaces: [{ name: "lo", sandbox: "/x" }], ips: [{ address: "127.0.0.1/8", interface: 0 }] },
      "1.0.0",
    );
    const both = appendResult(previous, result);
    expect(both.interfaces.map((entry) => entry.name)).toEqual(["lo", "ul0123456789abc", "eth0"]);
    expect(both.ips.map((ip) => ip.interface)).toEqual([0, 2, 2]);
  });

  it("reads what Go programs write: names in another case, null for nothing, IPv4 in IPv6", () => {
    const written = {
      CNIVersion: "0.4.0",
      Interfaces: null,
      IPs: [{ Address: "::ffff:10.0.0.1/128", Gateway: null }],
      dns: { Nameservers: null, search: ["a"], options: [] },
    };
    const parsed = parsePrevResult(written, "0.4.0");
    expect(JSON.parse(formatResult(parsed, "0.4.0"))).toEqual({
      cniVersion: "0.4.0",
      interfaces: [],
      ips: [{ version: "4", address: "::ffff:10.0.0.1/128" }],
      routes: [],
      dns: { search: ["a"] },
    });
  });

  it.each([
    ["no object", 5],
    ["another shape", { cniVersion: "0.2.0", ip4: { ip: "10.0.0.1/24" } }],
    ["an unknown version", { cniVersion: "7.0.0" }],
    ["no CIDR", { ips: [{ address: "10.0.0.1" }] }],
    ["a length of 33", { ips: [{ address: "10.0.0.1/33" }] }],
    ["an index outside", { interfaces: [], ips: [{ address: "10.0.0.1/24", interface: 0 }] }],
    ["a route without destination", { routes: [{}] }],
    ["a list that is none", { ips: {} }],
  ])("prevResult with %s is refused with code 6", (_what, value) => {
    expect(() => parsePrevResult(value, "1.0.0")).toThrow(expect.objectContaining({ code: 6 }) as Error);
  });
});
