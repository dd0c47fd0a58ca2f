// Unnumbered sessions with what protects them: TCP MD5 for an address that is learned late, GTSM, BFD over link-local, and
// graceful restart on both sides. With FRR, and with another underlayd.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { frrUnnumbered, linkLocal, nextHopsOf } from "./support/unnumbered.ts";
import { sleep, waitFor } from "./support/wait.ts";

const SHARED = "198.51.100.0/24";
/** Of one neighbour alone. */
const own = { frr: "203.0.113.0/25", other: "203.0.113.128/25" } as const;
const BLOCK = "10.244.1.0/26";
const keys = (more = "", key = "key") =>
  `asn: external, import: all, export: blocks, connectRetry: 1s, ttlSecurity: true, password: { file: ${key} }, bfd: { interval: 300ms, multiplier: 3 }${more}`;
const yaml = (more = "", key = "key") => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK}] } }
peers:
  frr: { interface: eth1, ${keys(more, key)} }
  other: { interface: eth2, ${keys()} }
`;
const otherYaml = `
node: { name: node2, asn: 65102, routerId: 10.0.0.12 }
pools: { default: { blocks: [${SHARED}, ${own.other}] } }
peers: { node1: { interface: eth0, ${keys()} } }
`;

let lab: Lab;
let us: Node;
let nodes: { frr: Node; other: Node };
let frr: Frr;
let other: Underlay;
let underlay: Underlay;

/** Relative to the configuration, which Underlay puts into a directory of the lab. */
function secrets(node: Node): void {
  for (const [name, secret] of [
    ["key", "sesame"],
    ["wrong", "poppy"],
  ])
    writeFileSync(join(lab.directory, `${node.name}.underlay`, name), `${secret}\n`, { mode: 0o600 });
}

beforeAll(async () => {
  lab = new Lab("unnump");
  us = lab.addNode("us");
  nodes = { frr: lab.addNode("frr"), other: lab.addNode("other") };
  lab.link({ node: us, name: "eth1" }, { node: nodes.frr, name: "swp1" });
  lab.link({ node: us, name: "eth2" }, { node: nodes.other, name: "eth0" });
  us.capture();
  for (const node of [us, nodes.other]) {
    mkdirSync(join(lab.directory, `${node.name}.underlay`), { recursive: true });
    secrets(node);
  }
  [frr, other, underlay] = await Promise.all([
    Frr.start(
      nodes.frr,
      `bfd
 profile fast
  transmit-interval 300
  receive-interval 300
${frrUnnumbered(65001, ["swp1"], {
  networks: [SHARED, own.frr],
  more: [
    "bgp graceful-restart",
    "bgp graceful-restart preserve-fw-state",
    "neighbor swp1 password sesame",
    "neighbor swp1 ttl-security hops 1",
    "neighbor swp1 bfd profile fast",
  ],
})}`,
      { daemons: ["zebra", "bgpd", "bfdd"] },
    ),
    Underlay.start(nodes.other, otherYaml),
    Underlay.start(us, yaml()),
  ]);
});

afterAll(async () => {
  await Promise.all([underlay?.stop(), other?.stop()]);
  await frr?.close();
  await lab.close();
});

const peers = ["frr", "other"] as const;
const protectedBy = (name: string) =>
  waitFor(
    async () => {
      const { state, bfd } = await underlay.peer(name);
      return state === "Established" && bfd?.state === "Up";
    },
    `${name} Established, with BFD`,
    { timeout: 60_000 },
  ).catch(async (error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await underlay.peer(name))}\n${underlay.log.slice(-3000)}`);
  });

describe("unnumbered sessions, protected", () => {
  it("come up with TCP MD5, GTSM and BFD over link-local", async () => {
    proves("frr", "unnumbered", "md5", "gtsm", "bfd");
    await Promise.all(peers.map(protectedBy));
    expect((await underlay.peer("frr")).bfd).toMatchObject({ interval: 300, remoteState: "Up" });
    const [session] = await frr.json<{ peer: string; interface: string; status: string }[]>("show bfd peers json");
    expect(session).toMatchObject({ peer: await linkLocal(us, "eth1"), interface: "swp1", status: "up" });
  });

  it.each([
    ["we are passive", ", passive: true", "no neighbor swp1 passive"],
    ["FRR is passive", "", "neighbor swp1 passive"],
    ["nobody is", "", "no neighbor swp1 passive"],
  ])("come up signed whoever connects: %s", async (_, ours, theirs) => {
    await frr.configure(`router bgp 65001\n ${theirs}\n`);
    underlay.configure(yaml(ours));
    await underlay.restart();
    await protectedBy("frr");
  });

  it("do not come up with another key, and do again with the right one", async () => {
    underlay.configure(yaml("", "wrong"));
    await underlay.restart();
    await underlay.waitEstablished("other", 60_000);
    await waitFor(async () => (await underlay.peer("frr")).address !== null, "the neighbour to be found");
    await sleep(3_000);
    expect((await underlay.peer("frr")).establishedCount).toBe(0);
    underlay.configure(yaml());
    await underlay.ctl("reload");
    await protectedBy("frr");
  });

  it.each([
    ["frr", "eth1"],
    ["other", "eth2"],
  ])("end with %s when packets no longer pass, by BFD, and come back", async (name, device) => {
    await Promise.all(peers.map(protectedBy));
    await waitFor(async () => (await nextHopsOf(us, SHARED)).length === 2, "both next hops");
    const start = performance.now();
    await us.exec(
      "nft",
      `add table netdev t; add chain netdev t c { type filter hook ingress device ${device} priority 0; }; add rule netdev t c drop`,
    );
    try {
      await waitFor(async () => (await nextHopsOf(us, SHARED)).length === 1, "one next hop", { interval: 20 });
      expect(performance.now() - start).toBeLessThan(3_000);
      expect((await underlay.peer(name)).lastReset?.reason).toContain("BFD");
    } finally {
      await us.exec("nft", "flush", "ruleset");
    }
    await protectedBy(name);
  });

  it.each(peers)("keep the routes of %s while it restarts, and it has its address again", async (name) => {
    if (name === "frr") proves("frr", "gr-helper");
    await Promise.all(peers.map(protectedBy));
    await waitFor(async () => (await nextHopsOf(us, SHARED)).length === 2, "both next hops");
    const { address, establishedCount } = await underlay.peer(name);
    const neighbour = name === "frr" ? frr : other;
    // BFD of FRR is a program of its own, and ours says AdminDown when it stops: neither is a failure of the path.
    await neighbour.stop(name === "frr" ? "SIGKILL" : "SIGTERM");
    const kept = [`${address?.split("%")[0]} ${name === "frr" ? "eth1" : "eth2"}`];
    try {
      await waitFor(async () => (await underlay.peer(name)).state !== "Established", "the session to be lost");
      expect((await underlay.peer(name)).stale).toBeGreaterThan(0);
      expect(await nextHopsOf(us, own[name])).toEqual(kept);
    } finally {
      if (name === "frr") await frr.restart();
      else await other.start();
    }
    await protectedBy(name);
    expect(await underlay.peer(name)).toMatchObject({ address, establishedCount: establishedCount + 1 });
    await waitFor(async () => (await nextHopsOf(us, SHARED)).length === 2, "both next hops again");
    expect(await nextHopsOf(us, own[name])).toEqual(kept);
  });

  it("are kept by both neighbours while we restart", async () => {
    proves("frr", "gr-restarting");
    await Promise.all(peers.map(protectedBy));
    const theirs = async () =>
      (await nodes.frr.exec("ip", "route")).includes(BLOCK) && (await nextHopsOf(nodes.other, BLOCK)).length === 1;
    await waitFor(theirs, "our block in both kernels");
    await underlay.stop();
    await sleep(1_500);
    expect(await theirs()).toBe(true);
    await underlay.start();
    await Promise.all(peers.map(protectedBy));
    expect(await theirs()).toBe(true);
  });
});
