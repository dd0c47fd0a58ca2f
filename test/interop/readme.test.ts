// The README's first ten minutes, taken from its text: that YAML against that FRR configuration. And the commands of
// docs/operations.md that remove every trace.
import { afterAll, beforeAll, expect, it } from "vitest";
import { codeAfter } from "../support/doc-code.ts";
import { Frr } from "./support/frr.ts";
import { Lab } from "./support/namespace.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

let lab: Lab;
let frr: Frr;
let underlay: Underlay;

beforeAll(async () => {
  lab = new Lab("readme");
  const tor = lab.addNode("tor");
  const node = lab.addNode("node");
  lab.link(
    { node: tor, name: "swp1", addresses: ["192.168.10.1/24", "2001:db8:10::1/64"] },
    { node, name: "eth1", addresses: ["192.168.10.2/24", "2001:db8:10::2/64"] },
  );
  frr = await Frr.start(tor, codeAfter("README.md", "**3. Tell the ToR**"), { daemons: ["zebra", "bgpd"] });
  underlay = await Underlay.start(node, codeAfter("README.md", "**2. Configure.**"));
});

afterAll(async () => {
  await underlay?.stop();
  await frr?.close();
  await lab.close();
});

it("the first ten minutes work as the README has them", async () => {
  await underlay.waitEstablished("tor-a");
  for (const family of [4, 6] as const) {
    const hasDefault = async () => (await underlay.kernel(family)).some(({ dst }) => dst === "default");
    await waitFor(hasDefault, `the IPv${family} default route in table 7100`);
  }
  await waitFor(async () => (await frr.vtysh("show bgp ipv4 unicast")).includes("10.244.1.0/26"), "the IPv4 block");
  await waitFor(
    async () => (await frr.vtysh("show bgp ipv6 unicast")).includes("2001:db8:244:1::/122"),
    "the IPv6 block",
  );
});

it("what is said to remove every trace does", async () => {
  const traces = async () => {
    const show = "ip rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all; ip nexthop";
    const lines = (await underlay.node.exec("sh", "-c", show)).split("\n");
    return lines.filter((line) => /proto (201|underlay)/.test(line));
  };
  await underlay.stop();
  expect((await traces()).length).toBeGreaterThan(8);
  await underlay.node.exec("sh", "-c", codeAfter("docs/operations.md", "With neither daemon nor programs, by hand"));
  expect(await traces()).toEqual([]);
});
