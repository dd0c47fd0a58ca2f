// A configuration that changes under a running daemon, with FRR as neighbour: every row of the impact table is what FRR
// sees, policies change what is announced and believed without a word on the session, and a bad file changes nothing.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { fileKeys, peerImpact } from "../../config/impact.ts";
import type { PlanView } from "../../daemon/reload.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

type PeerKey = keyof typeof peerImpact;

const FRR = "10.1.0.2";
const US = "10.1.0.1";
const base: Readonly<Record<string, string>> = {
  address: FRR,
  asn: "65001",
  import: "all",
  export: "blocks",
  connectRetry: "1s",
};

let lab: Lab;
let us: Node;
let underlay: Underlay;
let frr: Frr;

const yaml = (peer: Readonly<Record<string, string>>, rest = "") => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26, 10.244.2.0/26] } }
tables: { fabric: { id: 7100 }, storage: { id: 7200 } }
policies:
  no-routes: [{ then: reject }]
  first-block: [{ match: { prefix: [10.244.1.0/26], peer: [local] }, then: accept }]
  prefer: [{ set: { localPref: 333 }, then: accept }]
peerGroups: { tors: {} }
peers:
  tor: { ${Object.entries(peer)
    .map(([key, value]) => `${key}: ${value}`)
    .join(", ")} }
${rest}`;

/** Writes the file and reloads; resolves with what was reported. */
async function reload(text: string): Promise<PlanView> {
  underlay.configure(text);
  return underlay.ctl<PlanView>("reload");
}

const sessions = async () => (await frr.neighbor(US)).connectionsEstablished;
const fromUs = async () =>
  Object.keys((await frr.json<{ routes: object }>("show bgp ipv4 unicast neighbors 10.1.0.1 routes")).routes).sort();

beforeAll(async () => {
  lab = new Lab("reload");
  us = lab.addNode("us");
  const tor = lab.addNode("frr");
  lab.link({ node: us, name: "eth0", addresses: [`${US}/24`] }, { node: tor, name: "eth0", addresses: [`${FRR}/24`] });
  frr = await Frr.start(
    tor,
    `
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor ${US} remote-as 65101
 neighbor ${US} timers connect 1
 neighbor ${US} capability extended-nexthop
 address-family ipv4 unicast
  network 198.51.100.0/24
 exit-address-family
`,
  );
  underlay = await Underlay.start(us, yaml(base));
  await underlay.waitEstablished("tor");
});

afterAll(async () => {
  await underlay?.stop();
  await frr?.close();
  await lab.close();
});

/**
 * One changed key each, one after the other on the same session; a key that FRR would have to change too ends it for
 * good.
 */
const cases: readonly { readonly key: PeerKey; readonly value: string; readonly ends?: true }[] = [
  { key: "port", value: "1790" },
  { key: "passive", value: "true" },
  { key: "connectRetry", value: "2s" },
  { key: "import", value: "prefer" },
  { key: "export", value: "first-block" },
  { key: "defaultOriginate", value: "{ while: default-route }" },
  { key: "maxPrefixes", value: "100" },
  { key: "maxPrefixesOut", value: "100" },
  { key: "bfd", value: "true" },
  { key: "allowAsIn", value: "1" },
  { key: "enforceFirstAs", value: "false" },
  { key: "allowAsSets", value: "true" },
  { key: "allowMartians", value: "true" },
  { key: "asOverride", value: "true" },
  { key: "removePrivateAs", value: "all" },
  { key: "gracefulShutdown", value: "true" },
  { key: "honorGracefulShutdown", value: "false" },
  { key: "monitored", value: "false" },
  { key: "holdTime", value: "30s" },
  { key: "families", value: "[ipv4]" },
  { key: "extendedNextHop", value: "true" },
  { key: "multihop", value: "2" },
  { key: "group", value: "tors" },
  { key: "extendedMessages", value: "false" },
  { key: "hostname", value: "true" },
  { key: "gracefulRestart", value: "{ time: 60s }" },
  { key: "addPath", value: "receive" },
  { key: "role", value: "customer" },
  { key: "localAddress", value: US },
  { key: "interface", value: "eth0" },
  { key: "table", value: "storage" },
  { key: "remoteAsn", value: "external" },
  { key: "requireRole", value: "true", ends: true },
  { key: "password", value: "{ file: key }", ends: true },
  { key: "ttlSecurity", value: "true", ends: true },
  { key: "address", value: "10.1.0.3", ends: true },
];
/** Follow from node, whose change takes a restart. */
const derived: readonly PeerKey[] = ["localAsn", "routerId"];
/**
 * What takes both ends (session-md5.test.ts, as-paths.test.ts), another kind of peer (unnumbered.test.ts), or one AS
 * (reflection.test.ts).
 */
const elsewhere: readonly PeerKey[] = [
  "acceptedPasswords",
  "prependReceived",
  "hideNodeAsn",
  "routerAdvertisements",
  "nextHopSelf",
  "routeReflectorClient",
];

describe("a reload", () => {
  it("has a case for every key of a peer", () => {
    expect([...cases.map(({ key }) => key), ...derived, ...elsewhere].sort()).toEqual(Object.keys(peerImpact).sort());
  });

  it("does to the session what the table says, key by key", async () => {
    await us.exec("sh", "-c", `echo secret > ${underlay.directory}/key && chmod 600 ${underlay.directory}/key`);
    let peer: Record<string, string> = { ...base, passive: "false" };
    for (const { key, value, ends } of cases) {
      const before = await sessions();
      const name = fileKeys[key] ?? key;
      const next: Record<string, string> = { ...peer, [name]: value };
      if (key === "ttlSecurity") delete next["multihop"];
      const report = await reload(yaml(next));
      expect(report.changes.map(({ path }) => path)).toContain(`peers.tor.${name}`);
      expect(report.impact, key).toBe(peerImpact[key]);
      if (peerImpact[key] === "live") {
        expect((await underlay.peer("tor")).state, key).toBe("Established");
        expect(await sessions(), key).toBe(before);
        peer = next;
        continue;
      }
      await waitFor(async () => {
        const { lastErrorCodeSubcode, connectionsDropped } = await frr.neighbor(US);
        return lastErrorCodeSubcode === "0606" && Number(connectionsDropped) >= before;
      }, `FRR to hear Cease/6 after a change of ${key}`);
      if (ends) await reload(yaml(peer));
      else peer = next;
      await underlay.waitEstablished("tor");
      expect(await sessions(), key).toBeGreaterThan(before);
    }
  }, 180_000);

  it("changes policies on the routes that are there, without touching the session", async () => {
    proves("frr", "policy-change", "policy");
    await reload(yaml(base));
    await underlay.waitEstablished("tor");
    const before = await sessions();
    await waitFor(async () => (await fromUs()).length === 2, "FRR to have both blocks");
    const route = async () => (await underlay.routes("198.51.100.0/24"))[0];
    await waitFor(async () => (await route())?.localPref === null, "the route as FRR sent it");

    await reload(yaml({ ...base, import: "prefer", export: "first-block" }));
    await waitFor(async () => (await fromUs()).join() === "10.244.1.0/26", "FRR to have lost the second block");
    await waitFor(async () => (await route())?.localPref === 333, "the new preference");

    await reload(yaml({ ...base, import: "no-routes", export: "none" }));
    await waitFor(async () => (await fromUs()).length === 0, "FRR to have no block");
    await waitFor(async () => (await underlay.kernel(4)).length === 0, "the kernel's table to be empty");

    await reload(yaml(base));
    await waitFor(async () => (await fromUs()).length === 2, "FRR to have both blocks again");
    await waitFor(async () => (await underlay.kernel(4)).length === 1, "the route to be back in the kernel");
    expect(await sessions()).toBe(before);
  });

  it("lets peers come and go without touching the others", async () => {
    const before = await sessions();
    const other = "  other: { address: 10.1.0.9, asn: 65009, import: all, export: blocks }";
    expect((await reload(yaml(base, other))).changes).toMatchObject([{ kind: "added", path: "peers.other" }]);
    expect((await underlay.ctl<{ name: string }[]>("peers")).map(({ name }) => name)).toEqual(["tor", "other"]);
    expect((await reload(yaml(base))).changes).toMatchObject([{ kind: "removed", path: "peers.other" }]);
    expect((await underlay.ctl<{ name: string }[]>("peers")).map(({ name }) => name)).toEqual(["tor"]);
    expect(await sessions()).toBe(before);
  });

  it("refuses a file with a fault, and one that takes a restart, as a whole", async () => {
    const before = await sessions();
    const command = [
      process.execPath,
      `${import.meta.dirname}/../../dist/underlayctl.cjs`,
      "--socket",
      underlay.socket,
    ];
    const refused = async (text: string, verb: string) => {
      underlay.configure(text);
      const error = await us.exec("sh", "-c", '"$@" 2>&1; echo "exit $?"', "sh", ...command, verb);
      expect(error).toContain("exit 1");
      return error;
    };
    const typo = yaml({ ...base, holdtime: "30s" }, "  other: { address: 10.1.0.9, asn: 65009 }");
    expect(await refused(typo, "reload")).toMatch(/:\d+:\d+: peers\.tor\.holdtime: is not a known key/);
    const restart = yaml({ ...base, import: "none" }).replace("10.0.0.11", "10.0.0.12");
    expect(await refused(restart, "reload")).toContain("node.routerId");
    expect((await underlay.ctl<{ name: string }[]>("peers")).map(({ name }) => name)).toEqual(["tor"]);
    expect((await underlay.peer("tor")).import).toBe("all");
    expect(await sessions()).toBe(before);
    expect(underlay.log).toContain("the old one stays in force");
    await reload(yaml(base));
  });

  it("is refused as a whole when BFD cannot have its port, and BFD is as it was", async () => {
    const before = await sessions();
    await reload(yaml({ ...base, multihop: "2" }));
    await underlay.waitEstablished("tor");
    // Multihop BFD has a port of its own (RFC 5883 §5); somebody else is there already.
    const taker = us.spawn(
      process.execPath,
      ["-e", "require('dgram').createSocket('udp4').bind(4784, () => console.log('bound'))"],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    onTestFinished(() => void taker.kill());
    await new Promise<void>((resolve, reject) => {
      taker.stdout?.once("data", () => resolve());
      taker.once("exit", () => reject(new Error("port 4784 is taken already")));
    });
    underlay.configure(yaml({ ...base, multihop: "2", bfd: "true", import: "none" }));
    const command = [
      process.execPath,
      `${import.meta.dirname}/../../dist/underlayctl.cjs`,
      "--socket",
      underlay.socket,
    ];
    const said = await us.exec("sh", "-c", '"$@" 2>&1; echo "exit $?"', "sh", ...command, "reload");
    expect(said).toMatch(/nothing was changed: .*4784[\s\S]*exit 1/);
    const { import: policy, bfd, state } = await underlay.peer("tor");
    expect({ policy, bfd, state }).toEqual({ policy: "all", bfd: null, state: "Established" });
    taker.kill();
    await reload(yaml(base));
    await underlay.waitEstablished("tor");
    expect(await sessions()).toBeGreaterThan(before);
  });

  it("reloads on SIGHUP, and plans without doing", async () => {
    const before = await sessions();
    const file = `${underlay.directory}/other.yaml`;
    await us.exec("sh", "-c", 'printf "%s" "$1" > "$2"', "sh", yaml({ ...base, holdTime: "30s" }), file);
    const plan = await underlay.ctl<PlanView>("plan", file);
    expect(plan.changes.map(({ path, impact }) => `${path} ${impact}`)).toContain("peers.tor.holdTime reset");
    expect(await sessions()).toBe(before);
    underlay.configure(yaml({ ...base, import: "prefer" }));
    underlay.signal("SIGHUP");
    await waitFor(async () => (await underlay.peer("tor")).import === "prefer", "the policy after SIGHUP");
    expect(await sessions()).toBe(before);
  });
});
