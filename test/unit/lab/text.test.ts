// biome-ignore-all lint/suspicious/noTemplateCurlyInString: what topology files say, not templates
// The lab's small readers and writers of text: variables, command lines, ping, GoBGP's table, tables for the terminal.
import { describe, expect, it } from "vitest";
import { formatTable } from "../../../lab/demo/report.ts";
import { expandVariables } from "../../../lab/environment.ts";
import { readPing } from "../../../lab/ping.ts";
import { pluginConfiguration } from "../../../lab/pods.ts";
import { missingPackages } from "../../../lab/requirements.ts";
import { quote, splitWords } from "../../../lab/runner/command.ts";
import { bestNextHops, routeChanges } from "../../../lab/runner/gobgp-fib.ts";

describe("variables in topology files", () => {
  const environment = { SET: "value", EMPTY: "" };
  it.each([
    ["$SET and ${SET}", "value and value"],
    ["${UNSET:=default} ${UNSET:-default} ${UNSET-default} ${UNSET=default}", "default default default default"],
    ["${EMPTY:=default} [${EMPTY-default}]", "default []"],
    ["${SET:=default}", "value"],
    ["[${UNSET}] [$UNSET]", "[] []"],
    ["$$SET 5$", "$SET 5$"],
    ["${IMAGE:=quay.io/frrouting/frr:10.2.1}", "quay.io/frrouting/frr:10.2.1"],
  ])("%s", (text, expected) => expect(expandVariables(text, environment)).toBe(expected));
});

describe("command lines", () => {
  it.each<[string, string[]]>([
    ["ip addr add 10.0.0.1/32 dev lo", ["ip", "addr", "add", "10.0.0.1/32", "dev", "lo"]],
    [`vtysh -c "show bgp summary"`, ["vtysh", "-c", "show bgp summary"]],
    [`sh -c 'echo "a b"; exit 1'`, ["sh", "-c", 'echo "a b"; exit 1']],
    [String.raw`a\ b "c\"d" e'f'g`, ["a b", 'c"d', "efg"]],
    ["", []],
  ])("%s", (line, words) => expect(splitWords(line)).toEqual(words));

  it.each(["plain", "two words", "it's", "$HOME", "a;b", ""])("quotes <%s> so that it comes back", (word) =>
    expect(splitWords(quote(word)).join("")).toBe(word),
  );
});

describe("ping's report", () => {
  const header = "--- 10.0.0.1 ping statistics ---\n";
  it("with answers", () =>
    expect(
      readPing(
        `${header}3 packets transmitted, 2 received, 33% packet loss, time 102ms\nrtt min/avg/max/mdev = 0.029/0.063/0.114/0.036 ms`,
      ),
    ).toEqual({ sent: 3, received: 2, average: 0.063 }));
  it("without", () =>
    expect(readPing(`${header}3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2s`)).toEqual({
      sent: 3,
      received: 0,
      average: null,
    }));
  it("of a ping that did not start", () => expect(readPing("")).toEqual({ sent: 0, received: 0, average: null }));
});

describe("GoBGP's table to kernel routes", () => {
  const path = (nexthop: string, best: boolean, type = 3) => ({ best, attrs: [{ type: 1 }, { type, nexthop }] });
  it("takes the best path's next hop, and leaves out what GoBGP originates", () => {
    const rib = {
      "10.244.1.0/26": [path("10.1.1.2", false), path("10.1.2.2", true)],
      "2001:db8::/64": [path("2001:db8:1::2", true, 14)],
      "0.0.0.0/0": [path("0.0.0.0", true)],
      "::/0": [path("::", true, 14)],
    };
    expect([...bestNextHops(JSON.stringify(rib))]).toEqual([
      ["10.244.1.0/26", "10.1.2.2"],
      ["2001:db8::/64", "2001:db8:1::2"],
    ]);
    expect(bestNextHops("{}").size).toBe(0);
  });

  it("tells the kernel the difference only", () => {
    const before = new Map([
      ["a", "1"],
      ["b", "1"],
      ["c", "1"],
    ]);
    const after = new Map([
      ["b", "1"],
      ["c", "2"],
      ["d", "3"],
    ]);
    expect(routeChanges(before, after)).toEqual([
      "route del a proto bgp",
      "route replace c via 2 proto bgp",
      "route replace d via 3 proto bgp",
    ]);
  });
});

it("a plugin is given its entry of the conflist with the list's name and version", () => {
  const conflist = { cniVersion: "1.0.0", name: "net", plugins: [{ type: "underlay", pool: "default" }] };
  const { type, json } = pluginConfiguration(JSON.stringify(conflist));
  expect(type).toBe("underlay");
  expect(JSON.parse(json)).toEqual({ cniVersion: "1.0.0", name: "net", type: "underlay", pool: "default" });
});

it("names the Debian packages of what is missing, each once", () => {
  expect(missingPackages("underlay", () => true)).toEqual([]);
  expect(missingPackages("gobgp", (program) => !/gobgp|nsenter|unshare/.test(program))).toEqual([
    "util-linux",
    "gobgpd",
  ]);
  expect(missingPackages("frr", (program) => !program.includes("frr"))).toEqual(["frr"]);
});

it("columns are as wide as their widest cell", () => {
  expect(formatTable(["a", "long"], [["wide cell", "x"]])).toEqual(["a          long", "wide cell  x"]);
});
