// One underlayd and four daemons, of which session.test.ts and its neighbours show only a part, each with a session per
// feature: who connects and to which port, 4-octet AS numbers, neighbours out of a range, TCP MD5, GTSM, through a
// router, over link-local addresses; connections that collide; a neighbour that falls silent; one with our own
// identifier.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Exabgp, REPORT } from "./support/exabgp.ts";
import { Frr } from "./support/frr.ts";
import { Gobgp } from "./support/gobgp.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { Openbgpd } from "./support/openbgpd.ts";
import { proves } from "./support/proofs.ts";
import * as configs from "./support/session-configs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const ASN = 4200000001;
/** All of them are in one AS, and have one router id: that of another AS is nobody's business (RFC 6286). */
const THEIRS = 4200000002;
const ROUTER_ID = "10.0.0.2";
const PORT = 1790;
const SECRET = "Sesame-1";

const links = { frr: 1, gobgp: 3, openbgpd: 4, exabgp: 5 } as const;
type Name = keyof typeof links;
const names = Object.keys(links) as Name[];
const but = (...without: Name[]) => names.filter((name) => !without.includes(name));

/** 10.<link>.<subnet>.1 is us, .2 them; `own` is within their AS, and a session only once we are. */
const subnets = { active: 0, range: 1, md5: 2, gtsm: 3, both: 4, hold: 5, own: 6 } as const;
type Kind = keyof typeof subnets | "multihop" | "local";
/** What FRR has been shown elsewhere, and what a daemon cannot do: ExaBGP has no zones in addresses. */
const kinds: Record<Kind, readonly Name[]> = {
  active: names,
  range: names,
  md5: but("frr"),
  gtsm: but("frr"),
  multihop: but("frr"),
  local: but("frr", "exabgp"),
  both: ["frr"],
  hold: but("frr"),
  own: but("frr"),
};
const US = "10.100.0.1";
function ends(name: Name, kind: Kind): { us: string; them: string } {
  if (kind === "multihop") return { us: US, them: `10.${links[name]}.99.2` };
  if (kind === "local") return { us: "fe80::1", them: "fe80::2" };
  const subnet = `10.${links[name]}.${subnets[kind]}`;
  return { us: `${subnet}.1`, them: `${subnet}.2` };
}

/** How they see us. */
const theirs: Record<Kind, Partial<configs.Session>> = {
  active: { passive: true },
  range: {},
  md5: { password: SECRET },
  gtsm: { ttlSecurity: true },
  multihop: { multihop: 2 },
  local: { interface: "eth0" },
  both: {},
  hold: {},
  own: { asn: THEIRS, passive: true },
};
const speaker = (name: Name): configs.Speaker => ({
  asn: THEIRS,
  routerId: ROUTER_ID,
  port: PORT,
  sessions: (Object.keys(kinds) as Kind[])
    .filter((kind) => kinds[kind].includes(name))
    .map((kind) => ({ name: kind, asn: ASN, ...ends(name, kind), ...theirs[kind] })),
});

/** How we see them. */
const ours: Record<Exclude<Kind, "range" | "own">, string> = {
  active: "",
  md5: "password: { file: key }",
  gtsm: "ttlSecurity: true",
  multihop: `multihop: 2, localAddress: ${US}`,
  local: "families: [ipv4, ipv6]",
  both: "",
  hold: "holdTime: 3s",
};
/** FRR and GoBGP listen on one port only, so all they can hear is there. */
const port = (name: Name, kind: Kind) =>
  kind === "active" || kind === "own" || name === "frr" || name === "gobgp" ? `port: ${PORT}` : "";
const peer = (name: Name, kind: Kind, more: string) => {
  const zone = kind === "local" ? `interface: ${name}` : "";
  const keys = [`address: "${ends(name, kind).them}"`, zone, port(name, kind), more].filter(Boolean).join(", ");
  return `  ${name}-${kind}: { group: all, ${keys} }`;
};
const yaml = (directory: string) => `
node: { name: node1, asn: ${ASN}, routerId: 10.0.0.1 }
peerGroups:
  all: { asn: ${THEIRS}, import: all, export: all, connectRetry: 1s }
${names.map((name) => `  range-${name}: { group: all, listen: [10.${links[name]}.1.0/24] }`).join("\n")}
peers:
${(Object.keys(ours) as (keyof typeof ours)[])
  .flatMap((kind) => kinds[kind].map((name) => peer(name, kind, ours[kind].replace("key", `${directory}/key`))))
  .join("\n")}
`;
const sameYaml = `
node: { name: node1, asn: ${THEIRS}, routerId: ${ROUTER_ID} }
peerGroups: { all: { asn: internal, connectRetry: 1s } }
peers:
${kinds.own.map((name) => peer(name, "own", "")).join("\n")}
`;
const peerName = (name: Name, kind: Kind) =>
  kind === "range" ? `range-${name}/${ends(name, kind).them}` : `${name}-${kind}`;

let lab: Lab;
let us: Node;
const nodes = {} as Record<Name, Node>;
let underlay: Underlay;
let frr: Frr;
let gobgp: Gobgp;
let openbgpd: Openbgpd;
let exabgp: Exabgp;

beforeAll(async () => {
  lab = new Lab("everywhere");
  us = lab.addNode("us");
  const router = lab.addNode("router");
  lab.link(
    { node: us, name: "north", addresses: [`${US}/24`] },
    { node: router, name: "south", addresses: ["10.100.0.254/24"] },
  );
  await router.exec("sysctl", "-qw", "net.ipv4.ip_forward=1");
  for (const name of names) {
    nodes[name] = lab.addNode(name);
    const addresses = (side: 1 | 2) => [
      ...Object.values(subnets).map((subnet) => `10.${links[name]}.${subnet}.${side}/24`),
      `fe80::${side}/64`,
    ];
    lab.link({ node: us, name, addresses: addresses(1) }, { node: nodes[name], name: "eth0", addresses: addresses(2) });
    const far = `10.${links[name]}.99`;
    lab.link(
      { node: router, name, addresses: [`${far}.254/24`] },
      { node: nodes[name], name: "eth1", addresses: [`${far}.2/24`] },
    );
    us.ip("route", "add", `${far}.0/24`, "via", "10.100.0.254");
    nodes[name].ip("route", "add", "10.100.0.0/24", "via", `${far}.254`);
  }
  writeFileSync(join(lab.directory, "key"), SECRET, { mode: 0o600 });
  // First of all: OpenBGPD tries again after 120 s only.
  underlay = await Underlay.start(us, yaml(lab.directory));
  [frr, gobgp, openbgpd, exabgp] = await Promise.all([
    Frr.start(nodes.frr, configs.frr(speaker("frr")), { port: PORT }),
    Gobgp.start(nodes.gobgp, configs.gobgp(speaker("gobgp"))),
    Openbgpd.start(nodes.openbgpd, configs.openbgpd(speaker("openbgpd"))),
    Exabgp.start(nodes.exabgp, configs.exabgp(speaker("exabgp"), REPORT)),
  ]);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr, gobgp, openbgpd, exabgp].map((daemon) => daemon?.close()));
  await lab?.close();
});

/** What they say about the session with us. */
const theySay: Record<Name, (kind: Kind) => Promise<unknown>> = {
  frr: (kind) => frr.waitEstablished(ends("frr", kind).us),
  gobgp: (kind) => gobgp.waitEstablished(`${ends("gobgp", kind).us}${kind === "local" ? "%eth0" : ""}`),
  openbgpd: (kind) => openbgpd.waitEstablished(`${ends("openbgpd", kind).us}${kind === "local" ? "%eth0" : ""}`),
  exabgp: (kind) =>
    waitFor(() => {
      const { us: address } = ends("exabgp", kind);
      const changes = exabgp.events().filter(({ neighbor }) => JSON.stringify(neighbor).includes(`"${address}"`));
      return changes.findLast(({ type }) => type === "state")?.neighbor.state === "up";
    }, "ExaBGP to be up"),
};
async function up(name: Name, kind: Kind) {
  await waitFor(
    async () => (await underlay.peer(peerName(name, kind)))?.state === "Established",
    `our session with ${peerName(name, kind)}`,
    {
      timeout: 60_000,
    },
  ).catch(async (error) => {
    throw new Error(
      `${error.message}; ${await underlay.peer(peerName(name, kind)).then((peer) => peer.lastError, String)}`,
    );
  });
  await theySay[name](kind);
  return underlay.peer(peerName(name, kind));
}

describe("a session", () => {
  it.each(names)("%s: that we open, on another port, with 4-octet AS numbers", async (name) => {
    proves(name, "active", "other-port", "as4");
    expect(await up(name, "active")).toMatchObject({ asn: THEIRS, remotePort: PORT, remoteRouterId: ROUTER_ID });
  });

  it.each(names)("%s: that they open, out of a range", async (name) => {
    proves(name, "passive", "listen-range");
    expect(await up(name, "range")).toMatchObject({ dynamic: true, localPort: 179, group: `range-${name}` });
  });

  it.each(kinds.md5)("%s: with TCP MD5", async (name) => {
    proves(name, "md5");
    expect(await up(name, "md5")).toMatchObject({ md5: "password" });
  });

  // What is not sent with a TTL of 255 does not get in: by default it is 1.
  it.each(kinds.gtsm)("%s: with GTSM", async (name) => {
    proves(name, "gtsm");
    await up(name, "gtsm");
  });

  it.each(kinds.multihop)("%s: through a router", async (name) => {
    proves(name, "multihop");
    expect(await up(name, "multihop")).toMatchObject({ localAddress: US });
  });

  it.each(kinds.local)("%s: over link-local addresses", async (name) => {
    proves(name, "link-local");
    expect(await up(name, "local")).toMatchObject({ address: `fe80::2%${name}`, localAddress: "fe80::1" });
  });
});

async function freeze(name: Name, signal: "SIGSTOP" | "SIGCONT") {
  const pids = (await us.exec("ip", "netns", "pids", nodes[name].netns)).split("\n").filter(Boolean);
  for (const pid of pids) process.kill(Number(pid), signal);
}

describe("two connections at once", () => {
  // First no connection gets through, then both do, but nothing that is said on them; then the OPENs of both arrive.
  // (BIRD: session.test.ts.)
  it("frr: one of them stays", async () => {
    proves("frr", "collision");
    const { us: here, them } = ends("frr", "both");
    const drop = (flags: string) =>
      us.exec(
        "nft",
        `flush ruleset; table ip hold {
          chain in { type filter hook input priority 0; ip saddr ${them} tcp flags ${flags} drop; }
          chain out { type filter hook output priority 0; ip daddr ${them} tcp flags ${flags} drop; }
        }`,
      );
    const open = async () =>
      (await us.exec("ss", "-tnH", "state", "established", "dst", them)).split("\n").filter(Boolean).length;
    await up("frr", "both");
    try {
      await drop("& (syn | ack) == syn");
      await underlay.ctl("reset", "frr-both");
      await waitFor(async () => (await open()) === 0, "the session to end");
      await waitFor(async () => (await frr.neighbor(here)).bgpState !== "Established", "FRR to know");
      await drop("psh");
      await waitFor(async () => (await open()) === 2, "two connections", { timeout: 60_000 });
    } finally {
      await us.exec("nft", "flush", "ruleset");
    }
    const collided = () =>
      underlay.log.split("\n").some((line) => line.includes('"frr-both"') && line.includes("ollision"));
    await waitFor(collided, "one of them to end as a collision");
    await up("frr", "both");
    await waitFor(async () => (await open()) === 1, "one connection");
  });
});

describe("the end of a session", () => {
  it("a neighbour that is silent for the hold time is gone, and may come back", async () => {
    proves(kinds.hold, "hold-time");
    const before = await Promise.all(kinds.hold.map((name) => up(name, "hold")));
    for (const { timers } of before) expect(timers).toMatchObject({ keepalive: 1, holdTime: { negotiated: 3 } });
    await Promise.all(kinds.hold.map((name) => freeze(name, "SIGSTOP")));
    try {
      for (const name of kinds.hold)
        await waitFor(
          async () => (await underlay.peer(`${name}-hold`)).lastError?.includes("hold timer expired"),
          `the hold timer of ${name}`,
        );
    } finally {
      await Promise.all(kinds.hold.map((name) => freeze(name, "SIGCONT")));
    }
    for (const name of kinds.hold) await up(name, "hold");
  });

  it("a neighbour in our AS has our identifier: there is none", async () => {
    proves(kinds.own, "bgp-identifier");
    await underlay.stop();
    underlay.configure(sameYaml);
    await underlay.start();
    for (const name of kinds.own)
      await waitFor(
        async () => /router id|Bad BGP Identifier/.test((await underlay.peer(`${name}-own`)).lastError ?? ""),
        `the complaint of ${name} or ours`,
      ).catch(async (error) => {
        throw new Error(`${error.message}; ${(await underlay.peer(`${name}-own`)).lastError}`);
      });
    for (const name of kinds.own) expect((await underlay.peer(`${name}-own`)).establishedCount).toBe(0);
  });
});
