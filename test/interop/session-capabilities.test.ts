// What OPENs agree on beyond the basics, with daemons that have it: messages of 65535 octets, the marks around a refresh,
// long lists of capabilities. underlayd passes on what BIRD and a neighbour made of a bare socket announce.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PeerView } from "../../bgp/views.ts";
import { KEEPALIVE } from "../../bgp/wire/message.ts";
import { decodeOpen, encodeOpen } from "../../bgp/wire/open.ts";
import { Bird } from "./support/bird.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { Openbgpd } from "./support/openbgpd.ts";
import { proves } from "./support/proofs.ts";
import { openMessage, RawPeer } from "./support/raw-peer.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const COMMUNITIES = 1_500;
const subnets = { frr: 1, bird: 2, openbgpd: 3, short: 6 } as const;
type Name = keyof typeof subnets;

let lab: Lab;
let us: Node;
const nodes = {} as Record<Name, Node>;
let underlay: Underlay;
let frr: Frr;
let bird: Bird;
const closing: (() => Promise<unknown>)[] = [];

const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
peerGroups:
  all: { asn: external, import: all, export: all, connectRetry: 1s }
peers:
  ${(Object.keys(subnets) as Name[]).map((name) => `${name}: { group: all, address: 10.${subnets[name]}.0.2 }`).join("\n  ")}
`;

/** A route whose attributes do not fit into 4096 octets, and one beside it. */
const birdConfig = (long: boolean) => `
router id 10.0.0.2;
protocol device {}
protocol static big { ipv4; route 198.51.100.0/24 blackhole { ${long ? Array.from({ length: COMMUNITIES }, (_, i) => `bgp_community.add((65002,${i + 1}));`).join(" ") : ""} }; }
protocol static small { ipv4; route 203.0.113.0/24 blackhole; }
protocol bgp underlay {
  local 10.2.0.2 as 65002; neighbor 10.2.0.1 as 65101; enable extended messages on;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; };
}`;

beforeAll(async () => {
  lab = new Lab("capabilities");
  us = lab.addNode("us");
  for (const name of Object.keys(subnets) as Name[]) {
    nodes[name] = lab.addNode(name);
    lab.link(
      { node: us, name, addresses: [`10.${subnets[name]}.0.1/24`] },
      { node: nodes[name], name: "eth0", addresses: [`10.${subnets[name]}.0.2/24`] },
    );
  }
  underlay = await Underlay.start(us, yaml);
  frr = await Frr.start(
    nodes.frr,
    `
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.1.0.1 remote-as 65101
 neighbor 10.1.0.1 timers connect 1
 address-family ipv4 unicast
  network 192.0.2.0/24
 exit-address-family
`,
  );
  bird = await Bird.start(nodes.bird, birdConfig(true));
  closing.push(
    () => frr.close(),
    () => bird.close(),
  );
  await Promise.all([frr.waitEstablished("10.1.0.1"), bird.waitEstablished("underlay")]);
});

afterAll(async () => {
  await underlay?.stop();
  for (const close of closing) await close();
  await lab.close();
});

const peer = (name: Name): Promise<PeerView> => underlay.peer(name);

/** Runs in the namespace of a node. */
async function within<T>(node: Node, work: () => Promise<T>): Promise<T> {
  const leave = node.enter();
  try {
    return await work();
  } finally {
    leave();
  }
}

describe("extended messages (RFC 8654)", () => {
  let short: RawPeer;

  it("are agreed on, come in and go out; a neighbour without them is not told what does not fit", async () => {
    proves(["frr", "bird"], "extended-message");
    short = await within(nodes.short, () => RawPeer.connect("10.6.0.1", "10.6.0.2"));
    closing.push(async () => short.close());
    short.send(openMessage({ asn: 65006 }), KEEPALIVE);

    expect(await peer("bird")).toMatchObject({ maxMessage: 65535 });
    expect(await peer("frr")).toMatchObject({ maxMessage: 65535 });
    expect(await bird.protocol("underlay")).toMatch(/Neighbor capabilities[\s\S]*Extended message/);
    await waitFor(async () => (await underlay.received("bird")).length === 2, "both routes of BIRD");
    const [long] = await underlay.routes("198.51.100.0/24");
    expect(long.communities).toHaveLength(COMMUNITIES);

    const atFrr = async () =>
      (await frr.json<{ paths: { community?: { list: string[] } }[] }>("show bgp ipv4 unicast 198.51.100.0/24")).paths;
    await waitFor(async () => (await atFrr()).length === 1, "FRR to have the long route");
    expect((await atFrr())[0].community?.list).toHaveLength(COMMUNITIES);

    await waitFor(
      () => short.received.some(({ body }) => body.includes(Buffer.from([24, 203, 0, 113]))),
      "the short route",
    );
    expect(short.received.some(({ body }) => body.includes(Buffer.from([24, 198, 51, 100])))).toBe(false);
    expect(Math.max(...short.received.map(({ body }) => body.length))).toBeLessThanOrEqual(4096 - 19);
    expect(await peer("short")).toMatchObject({ maxMessage: 4096, state: "Established" });
    expect(underlay.log).toContain("attributes too long");
  });

  it("a route that becomes short is told to all", async () => {
    await bird.configure(birdConfig(false));
    await waitFor(() => short.received.some(({ body }) => body.includes(Buffer.from([24, 198, 51, 100]))), "the route");
  });
});

describe("enhanced route refresh (RFC 7313)", () => {
  it("FRR: our answer stands between BoRR and EoRR, and so does theirs", async () => {
    proves("frr", "enhanced-refresh");
    expect((await peer("frr")).capabilities).toContain("enhanced route refresh");
    const received = async () =>
      (await frr.neighbor("10.1.0.1"))["messageStats"] as { routeRefreshRecv: number; routeRefreshSent: number };
    const before = await received();
    await frr.vtysh("clear bgp ipv4 unicast 10.1.0.1 in");
    await waitFor(
      async () => (await received()).routeRefreshRecv === before.routeRefreshRecv + 2,
      "FRR to have both marks",
    );
    await underlay.ctl("refresh", "frr");
    await waitFor(
      async () => (await received()).routeRefreshSent === before.routeRefreshSent + 3,
      "FRR to send its two marks after its request",
    );
    expect(await underlay.routes("192.0.2.0/24")).toMatchObject([{ peer: "frr", best: true }]);
    expect(await peer("frr")).toMatchObject({ establishedCount: 1 });
  });

  it("BIRD: what it has not sent again is gone, the rest untouched", async () => {
    proves("bird", "enhanced-refresh");
    expect((await peer("bird")).capabilities).toContain("enhanced route refresh");
    const updates = (await peer("bird")).messages.received;
    expect(await underlay.ctl("refresh", "bird")).toMatchObject({ families: ["ipv4"] });
    // BoRR, the routes, EoRR.
    await waitFor(async () => (await peer("bird")).messages.received >= updates + 3, "the answer");
    expect(await underlay.received("bird")).toHaveLength(2);
    await bird.birdc("reload in underlay");
    await waitFor(async () => /Routes: +\d+ imported/.test(await bird.protocol("underlay")), "BIRD's own refresh");
    expect(await peer("bird")).toMatchObject({ establishedCount: expect.any(Number), state: "Established" });
    expect(readFileSync(`${underlay.directory}/log`, "utf8")).not.toContain("no end of the refresh");
  });

  it("OpenBGPD", async () => {
    proves("openbgpd", "enhanced-refresh");
    const openbgpd = await Openbgpd.start(
      nodes.openbgpd,
      `
AS 65003
router-id 10.0.0.3
network 198.18.3.0/24
neighbor 10.3.0.1 {
  remote-as 65101
  announce enhanced refresh yes
}
neighbor 10.3.0.3 {
  remote-as 65109
  passive
}
allow from any
allow to any
`,
    );
    closing.push(() => openbgpd.close());
    await underlay.waitEstablished("openbgpd");
    expect((await peer("openbgpd")).capabilities).toContain("enhanced route refresh");
    await waitFor(async () => (await underlay.received("openbgpd")).length === 1, "its route");
    await underlay.ctl("refresh", "openbgpd");
    type Marks = { borr: number; eorr: number };
    /** It counts those that it gets; of its own it says nothing. */
    const marks = async () => {
      const stats = (await openbgpd.neighbor("10.3.0.1"))?.["stats"] as { "route-refresh": { received: Marks } };
      const { borr, eorr } = stats["route-refresh"].received;
      return `${borr} ${eorr}`;
    };
    await openbgpd.bgpctl("neighbor", "10.3.0.1", "refresh");
    await waitFor(async () => (await marks()) === "1 1", "our answer between two marks");
    expect(await peer("openbgpd")).toMatchObject({ establishedCount: 1, state: "Established" });
  });
});

describe("extended optional parameters (RFC 9072)", () => {
  const unknown = Array.from({ length: 40 }, (_, i) => ({
    kind: "unknown" as const,
    code: 128 + i,
    value: new Uint8Array(8).fill(i),
  }));
  /** 40 capabilities that nobody knows, 400 octets of them. */
  const open = (asn: number) =>
    encodeOpen({
      version: 4,
      asn,
      holdTime: 90,
      routerId: 0x0a00000c,
      capabilities: [{ kind: "multiprotocol", afi: 1, safi: 1 }, { kind: "as4", asn }, ...unknown],
    });

  const cases: readonly [Exclude<Name, "short">, () => Promise<unknown>][] = [
    [
      "frr",
      async () =>
        frr.configure(
          "router bgp 65001\n neighbor 10.1.0.3 remote-as 65109\n neighbor 10.1.0.3 passive\n neighbor 10.1.0.3 extended-optional-parameters\n",
        ),
    ],
    [
      "bird",
      () =>
        bird.configure(
          `${birdConfig(false)}\nprotocol bgp stranger { local 10.2.0.2 as 65002; neighbor 10.2.0.3 as 65109; passive on; ipv4 { import none; export none; }; }`,
        ),
    ],
    ["openbgpd", async () => {}],
  ];
  it.each(cases)("our long OPEN is read by %s", async (name, prepare) => {
    us.addAddress(name, `10.${subnets[name]}.0.3/24`);
    await prepare();
    proves(name, "extended-parameters");
    const bytes = open(65109);
    expect([...bytes.subarray(28, 30)]).toEqual([255, 255]);
    const answered = () =>
      within(us, async () => {
        const peer = await RawPeer.connect(`10.${subnets[name]}.0.2`, `10.${subnets[name]}.0.3`);
        peer.send(bytes);
        try {
          await waitFor(() => peer.closed || peer.received.some(({ type }) => type === 4), "a KEEPALIVE", {
            timeout: 3_000,
          });
          const refusal = peer.received.find(({ type }) => type === 3)?.body;
          if (refusal) throw new Error(`refused with ${refusal[0]}/${refusal[1]}`);
          const theirs = peer.received.find(({ type }) => type === 1)?.body as Buffer;
          // FRR is told to do the same, whatever its length. (It takes no other form from us then.)
          if (name === "frr") expect([...theirs.subarray(9, 11)]).toEqual([255, 255]);
          expect(decodeOpen(theirs, 0, theirs.length).capabilities.length).toBeGreaterThan(1);
          return true;
        } finally {
          peer.close();
        }
      });
    await waitFor(answered, `${name} to answer with a KEEPALIVE`, { interval: 500 });
  });
});
