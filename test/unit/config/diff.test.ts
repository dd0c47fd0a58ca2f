// What two configurations differ in, and what that does to a running daemon.
import { describe, expect, it } from "vitest";
import { diffConfig } from "../../../config/diff.ts";
import { parseConfig } from "../../../config/load.ts";
import type { Config } from "../../../config/types.ts";

const BASE = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools:
  default: { blocks: [10.244.1.0/26] }
peers:
  tor-a: { address: 192.0.2.1, asn: 65001, import: in, export: blocks }
  tor-b: { address: 192.0.2.3, asn: 65002, import: default-route, export: blocks }
policies:
  in:
    - match: { prefix: [10.0.0.0/8 le 26] }
      set: { localPref: 200 }
      then: accept
`;

const secret = (text: string) => () => ({ bytes: new TextEncoder().encode(text), worldReadable: false });
const load = (text: string, key = "k"): Config => parseConfig(text, "/etc/underlay.yaml", secret(key)).config;
const lines = (before: string, after: string) =>
  diffConfig(load(before), load(after)).changes.map(
    ({ kind, path, impact, from, to }) => `${kind} ${path} ${impact}${kind === "changed" ? `: ${from} -> ${to}` : ""}`,
  );

describe("diffConfig", () => {
  it("finds nothing in a file that says the same in other words", () => {
    const reordered = BASE.replace("asn: 65001,", "holdTime: 90s, port: 179, multihop: , asn: 65001,").replace(
      "address: 192.0.2.1, ",
      "families: [ipv4, ipv6], address: 192.0.2.1, ",
    );
    expect(diffConfig(load(BASE), load(reordered))).toEqual({ changes: [], peers: [], peerGroups: [], impact: null });
  });

  it.each([
    [
      "a peer's hold time",
      ["asn: 65001,", "asn: 65001, holdTime: 30s,"],
      ["changed peers.tor-a.holdTime reset: 90 -> 30"],
    ],
    [
      "its AS number under its name in the file",
      ["asn: 65001", "asn: external"],
      ["changed peers.tor-a.asn reset: 65001 -> external"],
    ],
    [
      "a policy, where it is used",
      ["localPref: 200", "localPref: 300"],
      ["changed policies.in live: null -> null", "changed peers.tor-a.import live: in -> in"],
    ],
    ["a peer more", ["  tor-b:", "  tor-c: { address: 192.0.2.5, asn: 65003 }\n  tor-b:"], ["added peers.tor-c live"]],
    ["a peer that has another name", ["tor-b", "tor-x"], ["added peers.tor-x live", "removed peers.tor-b live"]],
    [
      "a block more",
      ["10.244.1.0/26", "10.244.1.0/26, 10.244.2.0/26"],
      ["changed pools.default.blocks live: 10.244.1.0/26 -> 10.244.1.0/26, 10.244.2.0/26"],
    ],
    [
      "another node",
      ["routerId: 10.0.0.11", "routerId: 10.0.0.12"],
      [
        "changed node.routerId restart: 167772171 -> 167772172",
        "changed peers.tor-a.routerId reset: 167772171 -> 167772172",
        "changed peers.tor-b.routerId reset: 167772171 -> 167772172",
      ],
    ],
    [
      "tables that come, and what is done with a table",
      ["policies:", "tables: { fabric: { id: 7100, host: true, hostRoutes: last }, b: { id: 7200 } }\npolicies:"],
      [
        "changed tables.fabric.host live: false -> true",
        "changed tables.fabric.hostRoutes live: first -> last",
        "added tables.b live",
      ],
    ],
    [
      "a table under another number",
      ["policies:", "tables: { fabric: { id: 7101 } }\npolicies:"],
      [
        "changed pools.default.table live: 7100 -> 7101",
        "changed tables.fabric.id restart: 7100 -> 7101",
        "changed peers.tor-a.table reset: 7100 -> 7101",
        "changed peers.tor-b.table reset: 7100 -> 7101",
      ],
    ],
    [
      "a table under another name, which is the same to the kernel",
      ["policies:", "tables: { storage: { id: 7100 } }\npolicies:"],
      ["added tables.storage restart", "removed tables.fabric restart"],
    ],
    ["the log's level", ["policies:", "log: { level: debug }\npolicies:"], ["changed log.level live: info -> debug"]],
  ])("names %s", (_, [from, to], expected) => {
    expect(lines(BASE, BASE.replace(from, to))).toEqual(expected);
  });

  it("says that a secret is another one, and does not show it", () => {
    const text = BASE.replace("asn: 65001,", "asn: 65001, password: { file: k },");
    const { changes } = diffConfig(load(text, "old-secret"), load(text, "new-secret"));
    expect(changes).toHaveLength(1);
    expect(changes[0].path).toBe("peers.tor-a.password");
    expect(JSON.stringify(changes)).not.toMatch(/old-secret|new-secret/);
  });

  it("gives each peer, and the whole, the strongest impact", () => {
    const after = BASE.replace("asn: 65001, import: in", "asn: 65001, import: all, holdTime: 30s").replace(
      "asn: 65002, import: default-route",
      "asn: 65002, import: all",
    );
    const { peers, impact } = diffConfig(load(BASE), load(after));
    expect(peers.map(({ entry: peer, impact }) => [peer.name, impact])).toEqual([
      ["tor-a", "reset"],
      ["tor-b", "live"],
    ]);
    expect(impact).toBe("reset");
  });
});
