// The shipped rack's configurations: good ones, and the switches' say the same in every program's language.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../../config/load.ts";
import { parseTopology } from "../../../lab/clab.ts";

const directory = join(import.meta.dirname, "../../../lab/topologies/dual-tor");
const switches = ["tor1", "tor2"];

it.each([...switches, "node1", "node2", "node3"])("%s/underlay.yaml is good, without warnings", (name) => {
  const { config, warnings } = loadConfig(join(directory, name, "underlay.yaml"));
  expect(warnings).toEqual([]);
  expect(config.node.name).toBe(name);
});

describe.each(switches)("%s", (name) => {
  const { config } = loadConfig(join(directory, name, "underlay.yaml"));
  const neighbours = config.peers.map(({ address, remoteAsn }) => `${address?.join(".")} ${remoteAsn}`);

  it.each([
    ["frr.conf", /neighbor (\S+) remote-as (\d+)/g],
    ["bird.conf", /neighbor (\S+) as (\d+)/g],
    ["gobgpd.toml", /neighbor-address = "(\S+)"\n\s+peer-as = (\d+)/g],
  ])("%s has the neighbours of underlay.yaml, its AS and its blocks", (file, pattern) => {
    const text = readFileSync(join(directory, name, file), "utf8");
    expect([...text.matchAll(pattern)].map(([, address, asn]) => `${address} ${asn}`)).toEqual(neighbours);
    expect(text).toMatch(new RegExp(`\\b${config.node.asn}\\b`));
    for (const block of config.pools.flatMap(({ blocks }) => blocks)) expect(text).toContain(block);
  });
});

it("a node without a value is a node with what its layers say", () => {
  const text = "name: t\ntopology:\n  defaults: { kind: linux, image: d }\n  nodes:\n    a:\n";
  expect(parseTopology(text, "t.clab.yml").nodes.get("a")?.image).toBe("d");
});
