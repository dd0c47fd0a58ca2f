// Topology files: the one that is shipped, how layers merge, and every refusal with its line.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadTopology, parseTopology } from "../../../lab/clab.ts";
import { TopologyError } from "../../../lab/clab-problems.ts";

const shipped = join(import.meta.dirname, "../../../lab/topologies/dual-tor.clab.yml");

const problemsOf = (text: string): readonly string[] => {
  try {
    parseTopology(text, "t.clab.yml");
    return [];
  } catch (error) {
    if (error instanceof TopologyError) return error.problems;
    throw error;
  }
};

describe("the shipped topology", () => {
  const topology = loadTopology(shipped, {});

  it("has two switches, three nodes with a link to each of them, and files that are there", () => {
    const names = [...topology.nodes.values()].map(({ name, group }) => `${group}:${name}`);
    expect(names).toEqual(["tor:tor1", "tor:tor2", "node:node1", "node:node2", "node:node3"]);
    const links = topology.links.map(({ endpoints }) => endpoints.map((end) => end.node).join("-")).sort();
    expect(links).toEqual(["tor1-node1", "tor1-node2", "tor1-node3", "tor2-node1", "tor2-node2", "tor2-node3"]);
    for (const { binds } of topology.nodes.values())
      for (const { source } of binds) expect(existsSync(source), source).toBe(true);
  });

  it("takes its images from the environment", () => {
    const image = (environment: Record<string, string>) =>
      ["tor1", "node1"].map((name) => loadTopology(shipped, environment).nodes.get(name)?.image);
    expect(image({})).toEqual(["quay.io/frrouting/frr:10.2.1", "underlay/node:latest"]);
    expect(image({ FRR_IMAGE: "a", NODE_IMAGE: "b" })).toEqual(["a", "b"]);
  });
});

it("merges defaults < kinds < groups < node", () => {
  const { nodes } = parseTopology(
    `name: t
topology:
  defaults: { kind: linux, image: d, env: { A: d, B: d }, exec: [one] }
  kinds: { linux: { image: k, env: { B: k, C: k }, binds: ["x:/etc/x", "y:/etc/y"] } }
  groups: { g: { env: { C: g, D: g }, exec: [two], sysctls: { net.ipv4.ip_forward: 1 } } }
  nodes:
    a: { group: g, image: n, env: { D: n }, exec: [three, one], binds: ["z:/etc/x:ro"] }
    b: {}
`,
    "/lab/t.clab.yml",
  );
  expect(nodes.get("a")).toMatchObject({
    image: "n",
    env: { A: "d", B: "k", C: "g", D: "n" },
    exec: ["one", "two", "three"],
    sysctls: { "net.ipv4.ip_forward": "1" },
    binds: [
      { source: "/lab/z", target: "/etc/x", readOnly: true },
      { source: "/lab/y", target: "/etc/y", readOnly: false },
    ],
  });
  expect(nodes.get("b")).toMatchObject({ image: "k", group: null, exec: ["one"] });
});

const base = (links: string, nodes = "a: {}\n    b: {}") =>
  `name: t\ntopology:\n  defaults: { kind: linux }\n  nodes:\n    ${nodes}\n  links:\n    - ${links}\n`;
const lastLine = 8;

const refused: [what: string, text: string, ...problems: string[]][] = [
  ["no name", "topology: { nodes: { a: { kind: linux } } }", "t.clab.yml: name: the lab needs a name"],
  ["not a map", "- a", "must be a map"],
  ["broken YAML", "name: [", "t.clab.yml:1:"],
  ["an unknown key", "name: t\ntopologie: {}", 't.clab.yml:2: the file has no key "topologie"'],
  ["an unknown node key", base('endpoints: ["a:eth1", "b:eth1"]', "a: { bindz: [] }\n    b: {}"), '"bindz"'],
  [
    "a kind that needs containerlab",
    base('endpoints: ["a:eth1", "b:eth1"]', "a: { kind: srl }\n    b: {}"),
    "kind srl",
  ],
  ["a group that is not there", base('endpoints: ["a:eth1", "b:eth1"]', "a: { group: g }\n    b: {}"), 'no group "g"'],
  ["a relative bind target", base('endpoints: ["a:eth1", "b:eth1"]', 'a: { binds: ["x:y"] }\n    b: {}'), '"x:y"'],
  ["one endpoint", base('endpoints: ["a:eth1"]'), `t.clab.yml:${lastLine}: links[0] has 1 endpoints; a link has two`],
  ["three endpoints", base('endpoints: ["a:eth1", "b:eth1", "a:eth2"]'), "has 3 endpoints"],
  ["no endpoints", base("mtu: 1500"), 'needs endpoints: ["a:eth1", "b:eth1"]'],
  ["a node that is not there", base('endpoints: ["a:eth1", "c:eth1"]'), 'there is no node "c"; nodes: a, b'],
  ["no interface", base('endpoints: ["a", "b:eth1"]'), '"a" is not NODE:INTERFACE'],
  ["the management interface", base('endpoints: ["a:eth0", "b:eth1"]'), "a:eth0: eth0 is the management interface"],
  ["a long name", base('endpoints: ["a:abcdefghijklmnop", "b:eth1"]'), "longer than 15 characters"],
  ["a slash", base('endpoints: ["a:e/1", "b:eth1"]'), '"e/1" is not an interface name'],
  [
    "an interface used twice",
    base('endpoints: ["a:eth1", "b:eth1"]\n    - endpoints: ["a:eth1", "b:eth2"]'),
    `t.clab.yml:${lastLine + 1}: links[1]: a:eth1 is used by links[0] already`,
  ],
  ["another type of link", base('type: macvlan\n      endpoints: ["a:eth1", "b:eth1"]'), "only veth links"],
  ["an MTU that none is", base('endpoints: ["a:eth1", "b:eth1"]\n      mtu: big'), "links[0].mtu must be a number"],
  [
    "all that is wrong at once",
    base('endpoints: ["a:eth0", "c:eth1"]', "a: { bindz: [] }\n    b: {}"),
    '"bindz"',
    "eth0",
    '"c"',
  ],
];

describe("refuses", () => {
  it.each(refused)("%s", (_what, text, ...expected) => {
    const problems = problemsOf(text);
    expect(problems.length).toBeGreaterThan(0);
    for (const words of expected) expect(problems.join("\n")).toContain(words);
  });

  it("a file that is not there", () => {
    expect(() => loadTopology("/nonexistent.clab.yml", {})).toThrow("/nonexistent.clab.yml: cannot be read (ENOENT)");
  });
});
