// The shipped rack's configurations: good ones, and the switches' say the same in every program's language.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../../config/load.ts";
import { parseTopology } from "../../../lab/clab.ts";

const topologies = join(import.meta.dirname, "../../../lab/topologies");
const directory = join(topologies, "dual-tor");
const unnumbered = join(topologies, "unnumbered");
const switches = ["tor1", "tor2"];

const places = [directory, unnumbered].flatMap((place) =>
  [...switches, "node1", "node2", "node3"].map((name) => [place.slice(topologies.length + 1), name]),
);

it.each(places)("%s/%s/underlay.yaml is good, without warnings", (place, name) => {
  const { config, warnings } = loadConfig(join(topologies, place, name, "underlay.yaml"));
  expect(warnings).toEqual([]);
  expect(config.node.name).toBe(name);
});

describe("the rack without addresses", () => {
  const file = join(topologies, "unnumbered.clab.yml");
  const topology = parseTopology(readFileSync(file, "utf8"), file);

  it("has the nodes, links, loopbacks and blocks of the one with addresses, and no address on a link", () => {
    const numbered = parseTopology(readFileSync(`${directory}.clab.yml`, "utf8"), `${directory}.clab.yml`);
    expect(topology.links).toEqual(numbered.links);
    for (const [name, { exec }] of numbered.nodes)
      expect(topology.nodes.get(name)?.exec).toEqual(exec.filter((line) => line.endsWith(" dev lo")));
    for (const [, name] of places) {
      const [with_, without] = [directory, unnumbered].map((place) => loadConfig(join(place, name, "underlay.yaml")));
      expect(without.config.pools).toEqual(with_.config.pools);
      expect(without.config.peers.map(({ address }) => address)).toEqual(with_.config.peers.map(() => null));
    }
  });

  it.each(switches)("has a neighbour on each port of %s, in every program's language", (name) => {
    const { config } = loadConfig(join(unnumbered, name, "underlay.yaml"));
    const ports = config.peers.map((peer) => peer.interface);
    expect(ports).toEqual(["eth1", "eth2", "eth3"]);
    for (const [program, pattern] of [
      ["frr.conf", /neighbor (\S+) interface peer-group NODES/g],
      ["bird.conf", /neighbor range fe80::\/10 as \d+; interface "(\S+)";/g],
    ] as const) {
      const text = readFileSync(join(unnumbered, name, program), "utf8");
      expect([...text.matchAll(pattern)].map(([, port]) => port)).toEqual(ports);
      expect(text).toMatch(new RegExp(`\\b${config.node.asn}\\b`));
      for (const block of config.pools.flatMap(({ blocks }) => blocks)) expect(text).toContain(block);
    }
  });
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
