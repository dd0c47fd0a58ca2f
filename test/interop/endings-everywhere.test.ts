// What is said to end a session, to ask for routes again and around a restart, with those that the other tests leave
// out: BIRD, GoBGP, OpenBGPD and ExaBGP. Roles with OpenBGPD, extended messages with ExaBGP.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PeerView } from "../../bgp/views.ts";
import { Bird } from "./support/bird.ts";
import { Exabgp, REPORT } from "./support/exabgp.ts";
import { Gobgp } from "./support/gobgp.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { Openbgpd } from "./support/openbgpd.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const ASN = 65101;
const BLOCK = "10.244.1.0/26";
const links = { bird: 2, gobgp: 3, openbgpd: 4, exabgp: 5 } as const;
type Name = keyof typeof links;
const names = Object.keys(links) as Name[];
const asnOf = (name: Name) => 65000 + links[name];
const ours = (name: Name) => `10.${links[name]}.0.1`;
const theirs = (name: Name) => `10.${links[name]}.0.2`;
const own = (name: Name) => `198.51.100.${links[name]}/32`;
/** ExaBGP's, with attributes that do not fit into 4096 octets; it has a second session, to hear of it. */
const LONG = "203.0.113.1/32";
const LENGTH = 1_500;
const SECOND = { us: "10.15.0.1", them: "10.15.0.2", asn: 65015 };

const yaml = (role = "provider") => `
node: { name: node1, asn: ${ASN}, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK}] } }
peers:
${names
  .map((name) => {
    const more = name === "openbgpd" ? `, role: ${role}` : "";
    return `  ${name}: { address: ${theirs(name)}, asn: ${asnOf(name)}, import: all, export: all, connectRetry: 1s${more} }`;
  })
  .join("\n")}
  second: { address: ${SECOND.them}, asn: ${SECOND.asn}, import: all, export: all, connectRetry: 1s }
`;

const birdConfig = `
router id 10.0.0.2;
protocol device {}
protocol static { ipv4; route ${own("bird")} blackhole; }
protocol bgp node {
  local as ${asnOf("bird")}; neighbor ${ours("bird")} as ${ASN};
  connect retry time 1; connect delay time 1; error wait time 1, 5; enable route refresh on;
  ipv4 { import all; export where source = RTS_STATIC; };
}
`;
const gobgpConfig = `
[global.config]
  as = ${asnOf("gobgp")}
  router-id = "10.0.0.3"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${ours("gobgp")}"
    peer-as = ${ASN}
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
`;
const openbgpdConfig = `
AS ${asnOf("openbgpd")}
router-id 10.0.0.4
network ${own("openbgpd")}
neighbor ${ours("openbgpd")} {
  remote-as ${ASN}
  announce policy customer
}
allow from any
allow to any
`;
const exabgpConfig = `
neighbor ${ours("exabgp")} {
  router-id 10.0.0.5; local-address ${theirs("exabgp")}; local-as ${asnOf("exabgp")}; peer-as ${ASN};
  family { ipv4 unicast; }
  capability { route-refresh; extended-message; graceful-restart 120; }
  ${REPORT}
  static {
    route ${own("exabgp")} next-hop self;
    route ${LONG} next-hop self community [ ${Array.from({ length: LENGTH }, (_, i) => `65005:${i + 1}`).join(" ")} ];
  }
}
neighbor ${SECOND.us} {
  router-id 10.0.0.6; local-address ${SECOND.them}; local-as ${SECOND.asn}; peer-as ${ASN};
  family { ipv4 unicast; }
  capability { extended-message; }
  ${REPORT}
}
`;

let lab: Lab;
let underlay: Underlay;
let bird: Bird;
let gobgp: Gobgp;
let openbgpd: Openbgpd;
let exabgp: Exabgp;
const nodes = {} as Record<Name | "us", Node>;

beforeAll(async () => {
  lab = new Lab("endings");
  nodes.us = lab.addNode("us");
  for (const name of names) {
    nodes[name] = lab.addNode(name);
    lab.link(
      { node: nodes.us, name, addresses: [`${ours(name)}/24`] },
      { node: nodes[name], name: "eth0", addresses: [`${theirs(name)}/24`] },
    );
  }
  nodes.us.addAddress("exabgp", `${SECOND.us}/24`);
  nodes.exabgp.addAddress("eth0", `${SECOND.them}/24`);
  underlay = await Underlay.start(nodes.us, yaml());
  [bird, gobgp, openbgpd, exabgp] = await Promise.all([
    Bird.start(nodes.bird, birdConfig),
    Gobgp.start(nodes.gobgp, gobgpConfig),
    Openbgpd.start(nodes.openbgpd, openbgpdConfig),
    Exabgp.start(nodes.exabgp, exabgpConfig),
  ]);
  await gobgp.gobgp("global", "rib", "add", "-a", "ipv4", own("gobgp"), "origin", "igp");
  for (const name of [...names, "second"]) await underlay.waitEstablished(name, 60_000);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([bird, gobgp, openbgpd, exabgp].map((daemon) => daemon?.close()));
  await lab?.close();
});

const until = (name: string, what: string, condition: (peer: PeerView) => unknown, options = {}) =>
  waitFor(async () => condition(await underlay.peer(name)), `${name}: ${what}`, options).catch(async (error) => {
    throw new Error(`${error.message}; ${JSON.stringify(await underlay.peer(name))}`);
  });
const has = (name: string, prefix: string) =>
  waitFor(
    async () => (await underlay.received(name)).find((route) => route.prefix === prefix && route.rejected === null),
    `${prefix} of ${name}`,
  );

describe("once more", () => {
  // GoBGP's `softresetin` goes by its own copy of what we have told it: it is asked only.
  it("BIRD asks for our routes again, and both are asked (RFC 2918)", async () => {
    proves(["bird", "gobgp"], "route-refresh");
    for (const name of ["bird", "gobgp"] as const) {
      await has(name, own(name));
      expect((await underlay.peer(name)).capabilities).toContain("route refresh");
      const { updatesReceived } = (await underlay.peer(name)).messages;
      await underlay.ctl("refresh", name);
      await until(name, "its routes again", ({ messages }) => messages.updatesReceived > updatesReceived);
    }
    const { updatesSent } = (await underlay.peer("bird")).messages;
    await bird.birdc("reload in node");
    await until("bird", "ours again", ({ messages }) => messages.updatesSent > updatesSent);
  });

  it("ExaBGP hears where the answer begins and ends, and says so (RFC 7313)", async () => {
    proves("exabgp", "enhanced-refresh");
    expect((await underlay.peer("exabgp")).capabilities).toContain("enhanced route refresh");
    exabgp.command(`neighbor ${ours("exabgp")} announce route-refresh ipv4 unicast`);
    const heard = (word: string) =>
      exabgp
        .events()
        .some(({ type, neighbor }) => type === "refresh" && JSON.stringify(neighbor).includes(`"${word}"`));
    for (const word of ["begin", "end"])
      await waitFor(() => heard(word), `the ${word} of our answer`).catch((error) => {
        const refreshes = exabgp.events().filter(({ type }) => type === "refresh");
        throw new Error(`${error.message}; ${JSON.stringify(refreshes)}`);
      });
    const { received } = (await underlay.peer("exabgp")).messages;
    await underlay.ctl("refresh", "exabgp");
    // BoRR, a route each, EoRR.
    await until("exabgp", "its answer", ({ messages }) => messages.received >= received + 4);
    await has("exabgp", own("exabgp"));
    expect(underlay.log).not.toContain("no end of the refresh");
  });
});

it("messages of more than 4096 octets from and to ExaBGP (RFC 8654)", async () => {
  proves("exabgp", "extended-message");
  expect(await underlay.peer("exabgp")).toMatchObject({ maxMessage: 65535 });
  await has("exabgp", LONG);
  const [route] = await underlay.routes(LONG);
  expect(route.communities).toHaveLength(LENGTH);
  await waitFor(() => exabgp.attributes(SECOND.us, LONG), "it at the second session");
  expect(exabgp.attributes(SECOND.us, LONG)?.["community"]).toHaveLength(LENGTH);
  // Of those with shorter messages none is told.
  expect((await underlay.peer("openbgpd")).maxMessage).toBe(4096);
  expect(await openbgpd.prefixes()).not.toContain(LONG);
});

describe("roles (RFC 9234)", () => {
  it("OpenBGPD is our customer: what it hears is marked for customers only", async () => {
    proves("openbgpd", "roles");
    expect((await underlay.peer("openbgpd")).capabilities).toContain("role customer");
    await has("openbgpd", own("openbgpd"));
    await waitFor(async () => (await openbgpd.prefixes()).includes(BLOCK), "our block");
    expect(await openbgpd.bgpctl("show", "rib", "detail", BLOCK)).toContain(`OTC: ${ASN}`);
  });

  it("there is no session when they do not fit", async () => {
    proves("openbgpd", "roles");
    underlay.configure(yaml("peer"));
    await underlay.ctl("reload");
    await until("openbgpd", "the mismatch", ({ lastError }) => lastError?.includes("Role Mismatch"));
    underlay.configure(yaml());
    await underlay.ctl("reload");
    await openbgpd.bgpctl("neighbor", ours("openbgpd"), "clear");
    await underlay.waitEstablished("openbgpd", 90_000);
  });
});

describe("the end of a session", () => {
  it("the neighbour says why (RFC 4486, RFC 9003)", async () => {
    proves(["bird", "gobgp"], "cease-subcodes", "shutdown-communication");
    const say = {
      bird: [() => bird.birdc('disable node "rack move"'), () => bird.birdc("enable node")],
      gobgp: [
        () => gobgp.gobgp("neighbor", ours("gobgp"), "shutdown", "--reason", "rack move"),
        () => gobgp.gobgp("neighbor", ours("gobgp"), "enable"),
      ],
    };
    for (const name of ["bird", "gobgp"] as const) {
      const { establishedCount } = await underlay.peer(name);
      await say[name][0]();
      await until(name, "the reason", (peer) =>
        peer.notifications.received?.text.includes('Cease/Administrative Shutdown: "rack move"'),
      );
      await say[name][1]();
      await until(name, "the session again", (peer) => peer.establishedCount > establishedCount, { timeout: 60_000 });
    }
  });

  // ExaBGP 4.2 sends a text (its name for the subcode), and fails over one that it receives: ours is a subcode without.
  it("ExaBGP says its subcode with a text, and hears ours", async () => {
    proves("exabgp", "cease-subcodes", "shutdown-communication");
    const { establishedCount } = await underlay.peer("second");
    exabgp.command(`neighbor ${SECOND.us} teardown 4`);
    await until("second", "the reason", (peer) =>
      peer.notifications.received?.text.includes('Cease/Administrative Reset: "Administrative Reset"'),
    );
    await until("second", "the session again", (peer) => peer.establishedCount > establishedCount, { timeout: 60_000 });
    underlay.configure(yaml().replace(/^ +second:.*$/m, ""));
    await underlay.ctl("reload");
    const others = () =>
      exabgp.events().flatMap((event) => (["update", "open"].includes(event.type) ? [] : JSON.stringify(event)));
    await waitFor(
      () => others().some((text) => /"code":6,"subcode":3|received \(6,3\)/.test(text)),
      "our subcode",
    ).catch((error) => {
      throw new Error(`${error.message}; ${others().join("\n")}`);
    });
  });
});

describe("a graceful restart (RFC 4724)", () => {
  const gateways = async () =>
    (await underlay.kernel(4)).find(({ dst }) => dst === own("exabgp").replace("/32", ""))?.gateways ?? [];

  it("of ExaBGP: its routes stay in our kernel, and are good again when it is back", async () => {
    proves("exabgp", "gr-helper");
    await underlay.waitEstablished("exabgp", 60_000);
    await has("exabgp", own("exabgp"));
    await waitFor(async () => (await gateways()).length === 1, "its route in the kernel");
    const { establishedCount } = await underlay.peer("exabgp");
    await exabgp.stop("SIGKILL");
    await until("exabgp", "stale routes", ({ stale, state }) => stale > 0 && state !== "Established");
    expect(await gateways()).toEqual([theirs("exabgp")]);
    await exabgp.restart();
    await until("exabgp", "no stale route", (peer) => peer.stale === 0 && peer.establishedCount > establishedCount, {
      timeout: 60_000,
    });
    expect(await gateways()).toEqual([theirs("exabgp")]);
  });

  it("of ours: OpenBGPD has our block all the time", async () => {
    proves("openbgpd", "gr-restarting");
    await underlay.waitEstablished("openbgpd", 90_000);
    await waitFor(async () => (await openbgpd.prefixes()).includes(BLOCK), "our block");
    await underlay.stop("SIGKILL");
    await waitFor(async () => (await openbgpd.neighbor(ours("openbgpd")))?.state !== "Established", "the loss");
    expect(await openbgpd.prefixes()).toContain(BLOCK);
    expect(await openbgpd.bgpctl("show", "rib", "detail", BLOCK)).toMatch(/stale/i);
    await underlay.start();
    await underlay.waitEstablished("openbgpd", 90_000);
    await waitFor(async () => !/stale/i.test(await openbgpd.bgpctl("show", "rib", "detail", BLOCK)), "it to be fresh");
    expect(await openbgpd.prefixes()).toContain(BLOCK);
  });
});
