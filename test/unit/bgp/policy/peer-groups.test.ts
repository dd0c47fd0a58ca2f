// Peer groups in `match: { peer: ... }`: who is meant, what the configuration says about names, what `policy test` shows, and
// that a group with other members is another condition for the routes that are there.
import { describe, expect, it } from "vitest";
import { CompiledPolicy } from "../../../../bgp/policy/compile.ts";
import { tracePolicy } from "../../../../bgp/policy/trace.ts";
import { emptyAttributes } from "../../../../bgp/wire/path-attributes.ts";
import { diffConfig } from "../../../../config/diff.ts";
import { ConfigError, parseConfig } from "../../../../config/load.ts";
import { requestedPolicy } from "../../../../config/policy-request.ts";
import { prefix } from "../../../../net/prefix.ts";
import { Ipv4PrefixTable } from "../../../../net/prefix-table.ts";
import { Simulation } from "../simulation.ts";

const load = (text: string) => parseConfig(`node: { name: n, asn: 65000, routerId: 10.0.0.1 }\n${text}`, "f");

const rack = (match: string, more = "") => `peerGroups:
  fabric: { import: all, export: all }
  leafs: { group: fabric, asn: 65002, listen: [10.9.0.0/24] }
  spines: { group: fabric, asn: 65001 }
  idle: { asn: 65009, import: all, export: all }
peers:
  s1: { group: spines, address: 192.0.2.1 }
  s2: { group: spines, address: 192.0.2.2 }
  alone: { address: 192.0.2.3, asn: 65003, import: all, export: p }
${more}policies:
  p: [{ match: { peer: ${match} }, then: accept }]
`;

/** Who of them is meant. */
function matched(match: string, more = ""): string[] {
  const { config } = load(rack(match, more));
  const compiled = new CompiledPolicy(config.policies[0]);
  const { bytes } = prefix("10.1.0.0/16");
  const table = new Ipv4PrefixTable();
  const id = table.intern(bytes, 0, 16);
  const everyone = ["s1", "s2", "alone", "leafs/10.9.0.7", "leafs2/10.9.0.7", "leafs", "local"];
  return everyone.filter(
    (peer) => compiled.evaluate(compiled.classify(table, id, peer), { ...emptyAttributes }) !== null,
  );
}

describe("a peer group", () => {
  it.each([
    ["leafs", ["leafs/10.9.0.7"]],
    ["spines", ["s1", "s2"]],
    ["fabric", ["s1", "s2", "leafs/10.9.0.7"]],
    ["[leafs, alone, local]", ["alone", "leafs/10.9.0.7", "local"]],
    ["idle", []],
  ])("%s is all its peers, those of groups within it too", (match, who) => {
    expect(matched(match)).toEqual(who);
  });

  it("has to be there; one that nobody is in, and one whose name a peer has, is warned of", () => {
    expect(() => load(rack("leaf"))).toThrow(ConfigError);
    expect(() => load(rack("leaf"))).toThrow('there is no peer or peer group "leaf"\n  hint: did you mean leafs?');
    expect(load(rack("leafs")).warnings).toEqual([]);
    expect(load(rack("idle")).warnings.map(String)).toEqual([
      expect.stringContaining("matches nothing: peer group idle has neither peers nor listen ranges"),
    ]);
    const namesake = "  leafs: { address: 192.0.2.9, asn: 65009, import: all, export: all }\n";
    expect(load(rack("leafs", namesake)).warnings.map(String)).toEqual([
      expect.stringContaining("leafs is the name of a peer and of a peer group: the peer is meant"),
    ]);
    expect(matched("leafs", namesake)).toEqual(["leafs"]);
  });

  it("is named by policy test, which takes peers out of ranges", () => {
    const { config } = load(rack("leafs").replace("alone: {", "alone: { group: leafs,"));
    const trace = (peer: string) =>
      tracePolicy(
        requestedPolicy(config, { export: "alone", prefix: "10.1.0.0/16" }),
        { prefix: prefix("10.1.0.0/16"), peer, attributes: emptyAttributes },
        { community: String, table: String },
      );
    expect(trace("leafs/10.9.0.7")).toMatchObject({
      verdict: "accept",
      policies: [
        { statements: [{ conditions: [{ condition: "peer", wanted: "group leafs", actual: "leafs/10.9.0.7" }] }] },
      ],
    });
    expect(trace("s1").verdict).toBe("reject");
    const [group] = config.peerGroups;
    for (const name of ["leafs", "leafs/10.9.0.7"])
      expect(requestedPolicy(config, { import: name, prefix: "10.1.0.0/16" })).toBe(group.import);
    expect(() => requestedPolicy(config, { import: "spines/10.9.0.7", prefix: "10.1.0.0/16" })).toThrow("no peer");
  });

  it("with another member: what is there is evaluated anew", async () => {
    const [one, two] = [
      rack("spines"),
      rack("spines").replace("group: spines, address: 192.0.2.2", "group: leafs, address: 192.0.2.2"),
    ].map((text) => load(text).config);
    const simulation = new Simulation();
    const s1 = simulation.peer("s1", "192.0.2.1", 65001, { export: "none" });
    const s2 = simulation.peer("s2", "192.0.2.2", 65001, { export: "none" });
    const leaf = simulation.peer("leafs/10.9.0.7", "10.9.0.7", 65002, { export: "none" });
    const exportOf = (config: typeof one) => config.peers[2].export;
    const alone = simulation.peer("alone", "192.0.2.3", 65003, { import: "none", export: exportOf(one) });
    s1.announce(["10.1.0.0/16"]);
    s2.announce(["10.2.0.0/16"]);
    leaf.announce(["10.3.0.0/16"]);
    await simulation.settle();
    expect([...alone.table.keys()].sort()).toEqual(["10.1.0.0/16", "10.2.0.0/16"]);

    const { changes } = diffConfig(one, two);
    expect(changes.map(({ path, impact }) => `${path} ${impact}`)).toEqual(
      expect.arrayContaining(["policies.p live", "peers.alone.export live"]),
    );
    simulation.rib.setPolicies({ ...alone.options, export: exportOf(two) });
    await simulation.settle();
    expect([...alone.table.keys()]).toEqual(["10.1.0.0/16"]);
    const three = load(rack("[leafs]")).config;
    simulation.rib.setPolicies({ ...alone.options, export: exportOf(three) });
    await simulation.settle();
    expect([...alone.table.keys()]).toEqual(["10.3.0.0/16"]);
  });
});
