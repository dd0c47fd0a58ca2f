// Policies at work in a speaker: what peers hear, which path wins, where routes go, and what a change of policy does to
// routes that are there.
import { describe, expect, it } from "vitest";
import type { ExportPolicy, ImportPolicy } from "../../../../bgp/policy/types.ts";
import type { SpeakerPeer } from "../../../../bgp/speaker-types.ts";
import { parseConfig } from "../../../../config/load.ts";
import { prefix } from "../../../../net/prefix.ts";
import { ManualClock, Simulation } from "../simulation.ts";
import { LOCAL_ASN } from "../support.ts";

/** Policies as an operator writes them, by peer name. */
function load(peers: Readonly<Record<string, string>>, text = ""): Record<string, SpeakerPeer> {
  const entries = Object.entries(peers).map(
    ([name, keys], index) => `  ${name}: { address: 192.0.2.${index + 1}, asn: ${65001 + index}, ${keys} }\n`,
  );
  const { config } = parseConfig(
    `node: { name: n, asn: ${LOCAL_ASN}, routerId: 10.0.0.1 }\ntables: { fabric: { id: 7100 }, storage: { id: 7200 } }\npeers:\n${entries.join("")}${text}`,
    "f",
  );
  return Object.fromEntries(config.peers.map((peer) => [peer.name, peer]));
}

function start(simulation: Simulation, configured: Record<string, SpeakerPeer>) {
  return Object.values(configured).map(({ name, address, remoteAsn, import: imports, export: exports }) =>
    simulation.peer(name, [...(address ?? [])].join("."), remoteAsn as number, { import: imports, export: exports }),
  );
}

const best = (simulation: Simulation, table?: string) =>
  [...simulation.rib.routes({ best: true, ...(table && { table }) })]
    .filter((route) => route.best)
    .map((route) => `${route.prefix} ${route.peer}${route.weight ? ` weight ${route.weight}` : ""}`)
    .sort();

describe("weight", () => {
  it("decides before LOCAL_PREF and is told to nobody; what is ours stays ours", async () => {
    const simulation = new Simulation({ maxPaths: 1 });
    const [a, b, c] = start(
      simulation,
      load(
        { a: "import: heavy, export: none", b: "import: preferred, export: none", c: "import: none, export: all" },
        "policies:\n  heavy: [{ set: { weight: 10 }, then: accept }]\n  preferred: [{ set: { localPref: 500 }, then: accept }]\n",
      ),
    );
    a.announce(["10.1.0.0/16"], { asPath: [{ type: 2, asns: [65001, 7, 8, 9] }] });
    b.announce(["10.1.0.0/16", "10.2.0.0/16"]);
    a.announce(["10.3.0.0/16"]);
    simulation.rib.announceLocal(7100, prefix("10.3.0.0/16"));
    await simulation.settle();
    expect(best(simulation)).toEqual(["10.1.0.0/16 a weight 10", "10.2.0.0/16 b", "10.3.0.0/16 local"]);
    expect(c.routes).toEqual([
      "10.1.0.0/16 via 192.0.2.254 path 65000 65001 7 8 9",
      "10.2.0.0/16 via 192.0.2.254 path 65000 65002",
      "10.3.0.0/16 via 192.0.2.254 path 65000",
    ]);
  });

  it("sets that differ in weight alone are two, and go when nobody uses them", async () => {
    const simulation = new Simulation({ maxPaths: 1 });
    const [a, b] = start(
      simulation,
      load(
        { a: "import: light, export: none", b: "import: heavy, export: none" },
        "policies:\n  light: [{ set: { weight: 1, localPref: 5 }, then: accept }]\n  heavy: [{ set: { weight: 2, localPref: 5 }, then: accept }]\n",
      ),
    );
    const same = { asPath: [{ type: 2 as const, asns: [65001, 7] }], nextHop: Uint8Array.of(192, 0, 2, 1) };
    a.announce(["10.1.0.0/16"], same);
    b.announce(["10.1.0.0/16"], { ...same, asPath: [{ type: 2, asns: [65002, 7] }] });
    expect(best(simulation)).toEqual(["10.1.0.0/16 b weight 2"]);
    a.withdraw(["10.1.0.0/16"]);
    b.withdraw(["10.1.0.0/16"]);
    for (let i = 0; i < 4; i++) {
      simulation.clock.advance(1100);
      await simulation.settle();
    }
    expect(simulation.rib.memory()).toMatchObject({ attributeSets: 0, prefixes: 0 });
  });
});

describe("tables", () => {
  it("one peer's routes go to the table that its policy says, and back when it says nothing", async () => {
    const simulation = new Simulation();
    const policies =
      "policies:\n  split: [{ match: { community: 65001:7 }, set: { table: storage }, then: accept }, { then: accept }]\n";
    const configured = load({ a: "import: split, export: none", b: "import: none, export: all" }, policies);
    const [a, b] = start(simulation, configured);
    const c = simulation.peer("c", "192.0.2.3", 65003, { import: "none", export: "all", table: 7200 });
    a.announce(["10.1.0.0/16"], { communities: [(65001 << 16) + 7] });
    a.announce(["10.2.0.0/16"]);
    await simulation.settle();
    expect([best(simulation, "fabric"), best(simulation, "storage")]).toEqual([["10.2.0.0/16 a"], ["10.1.0.0/16 a"]]);
    expect([b.table.size, c.table.size]).toEqual([1, 1]);
    expect(simulation.rib.peerView(status("a")).accepted).toBe(2);

    a.announce(["10.1.0.0/16"]);
    await simulation.settle();
    expect([best(simulation, "fabric").length, best(simulation, "storage").length]).toEqual([2, 0]);
    expect([b.table.size, c.table.size]).toEqual([2, 0]);

    a.announce(["10.1.0.0/16"], { communities: [(65001 << 16) + 7] });
    await simulation.settle();
    simulation.rib.setPolicies({ ...a.options, import: "all" });
    await simulation.settle();
    expect([best(simulation, "fabric").length, best(simulation, "storage").length]).toEqual([2, 0]);
    expect([b.table.size, c.table.size]).toEqual([2, 0]);
    a.down();
    await simulation.settle();
    expect(simulation.rib.counts().total).toBe(0);
  });
});

describe("communities", () => {
  it("of a pool go out with its blocks, no-export too; those of a peer are changed last", async () => {
    const simulation = new Simulation();
    const configured = load(
      {
        a: 'import: none, export: out, communities: { add: [65000:9, "65000:1:1", rt:65000:1], remove: ["65000:1"] }',
        b: "import: none, export: blocks",
      },
      "policies:\n  out: [{ match: { community: 65000:1 }, set: { community: { add: [65000:2] } }, then: accept }]\n",
    );
    const [a, b] = start(simulation, configured);
    simulation.rib.announceLocal(7100, prefix("10.244.1.0/26"), {
      communities: [0xfde80001, 0xffffff01],
      largeCommunities: [[65000, 2, 2]],
    });
    simulation.rib.announceLocal(7100, prefix("10.244.2.0/26"));
    await simulation.settle();
    expect(b.table.get("10.244.1.0/26")).toMatchObject({
      communities: [0xfde80001, 0xffffff01],
      largeCommunities: [[65000, 2, 2]],
    });
    expect([...a.table.keys()]).toEqual(["10.244.1.0/26"]);
    expect(a.table.get("10.244.1.0/26")).toMatchObject({
      communities: [0xffffff01, 0xfde80002, 0xfde80009],
      extendedCommunities: [[0x0002fde8, 1]],
      largeCommunities: [
        [65000, 2, 2],
        [65000, 1, 1],
      ],
    });
  });

  it("a received no-export stays within", async () => {
    const simulation = new Simulation();
    const [a, b] = start(simulation, load({ a: "import: all, export: none", b: "import: none, export: all" }));
    a.announce(["10.1.0.0/16"], { communities: [0xffffff01] });
    await simulation.settle();
    expect(b.table.size).toBe(0);
  });

  it("peers with the same policy are one group, whichever load it came from", async () => {
    const text = "policies:\n  out: [{ match: { peer: local }, set: { med: 5 }, then: accept }]\n";
    const keys = 'import: none, export: out, communities: { add: ["65000:9"] }';
    const simulation = new Simulation();
    const [first] = Object.values(load({ a: keys }, text));
    const [, second] = Object.values(load({ a: keys, b: keys }, text));
    start(simulation, { first, second: { ...second, name: "b" } });
    await simulation.settle();
    // One per family.
    expect(simulation.rib.memory().updateGroups).toBe(2);
    const events: unknown[] = [];
    simulation.rib.onEvent((event) => events.push(event));
    simulation.rib.setPolicies(Object.values(load({ a: keys }, text))[0]);
    await simulation.settle();
    expect(simulation.rib.memory().updateGroups).toBe(2);
  });
});

describe("next hops", () => {
  it("peer-address: the neighbour instead of what it said", async () => {
    const simulation = new Simulation();
    const [a, b] = start(
      simulation,
      load(
        { a: "import: via, export: none", b: "import: none, export: as-is" },
        "policies:\n  via: [{ set: { nextHop: peer-address }, then: accept }]\n  as-is: [{ set: { nextHop: unchanged }, then: accept }]\n",
      ),
    );
    a.announce(["10.1.0.0/16"], { nextHop: Uint8Array.of(192, 0, 2, 77) });
    await simulation.settle();
    expect(b.routes).toEqual(["10.1.0.0/16 via 192.0.2.1 path 65000 65001"]);
    expect([...simulation.rib.received("a")][0].nextHops).toEqual(["192.0.2.1"]);
  });
});

describe("a change of policy", () => {
  it("tells a peer exactly the difference", async () => {
    const simulation = new Simulation();
    const one = load(
      { a: "import: in1, export: none", b: "import: none, export: out1" },
      `policies:
  in1: [{ then: accept }]
  in2: [{ match: { prefix: [10.1.0.0/16] }, then: reject }, { then: accept }]
  out1: [{ then: accept }]
  out2: [{ match: { prefix: [10.2.0.0/16] }, set: { med: 9 }, then: accept }, { then: accept }]
`,
    );
    const [a, b] = start(simulation, one);
    a.announce(["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]);
    await simulation.settle();
    const before = b.messages.length;
    const policies = (imports: ImportPolicy, exports: ExportPolicy) => {
      simulation.rib.setPolicies({ ...a.options, import: imports });
      simulation.rib.setPolicies({ ...b.options, export: exports });
    };
    // The same again, loaded anew: nobody hears a word.
    policies(structuredClone(one["a"].import), structuredClone(one["b"].export));
    await simulation.settle();
    expect(b.messages.length).toBe(before);

    const two = load(
      { a: "import: in2, export: none", b: "import: none, export: out2" },
      `policies:
  in2: [{ match: { prefix: [10.1.0.0/16] }, then: reject }, { then: accept }]
  out2: [{ match: { prefix: [10.2.0.0/16] }, set: { med: 9 }, then: accept }, { then: accept }]
`,
    );
    policies(two["a"].import, two["b"].export);
    await simulation.settle();
    expect([...b.table].map(([text, { med }]) => [text, med])).toEqual([
      ["10.2.0.0/16", 9],
      ["10.3.0.0/16", null],
    ]);
    // One UPDATE that withdraws, one that announces with the MED.
    expect(b.messages.length - before).toBe(2);
  });
});

/** Every look at it costs 10 ms: each turn of the event loop has time for one step. */
class HastyClock extends ManualClock {
  #looks = 0;
  override now(): number {
    return super.now() + 10 * this.#looks++;
  }
}

it("a change of policy over many routes is made in small steps, and a second one on the way loses nothing", async () => {
  const simulation = new Simulation({ clock: new HastyClock() });
  const a = simulation.peer("a", "192.0.2.1", 65001, { export: "none" });
  const b = simulation.peer("b", "192.0.2.2", 65002, { import: "none" });
  const routes = Array.from({ length: 30_000 }, (_, i) => `20.${i >> 8}.${i & 255}.0/24`);
  for (let at = 0; at < routes.length; at += 500) a.announce(routes.slice(at, at + 500));
  const turn = () => new Promise(setImmediate);
  while (b.table.size < routes.length) await turn();
  /** The most that became different in one turn, on the way to `size`. */
  const most = async (count: () => number, size: number) => {
    let largest = 0;
    for (let before = count(); before !== size; before = count()) {
      await turn();
      largest = Math.max(largest, Math.abs(count() - before));
    }
    return largest;
  };
  simulation.rib.setPolicies({ ...b.options, export: "none" });
  expect(b.table.size).toBe(routes.length);
  expect(await most(() => b.table.size, 0)).toBeLessThanOrEqual(16_384);
  simulation.rib.setPolicies({ ...b.options, export: "all" });
  expect(await most(() => b.table.size, routes.length)).toBeLessThanOrEqual(16_384);

  const accepted = () => simulation.rib.counts().ipv4;
  simulation.rib.setPolicies({ ...a.options, import: "none" });
  expect(accepted()).toBe(routes.length);
  for (let i = 0; i < 10; i++) await turn();
  expect(accepted()).toBeGreaterThan(10_000);
  expect(accepted()).toBeLessThan(routes.length);
  // Another change of mind in the middle.
  simulation.rib.setPolicies({ ...a.options, import: "all" });
  expect(await most(accepted, routes.length)).toBeLessThanOrEqual(2048);
  simulation.rib.setPolicies({ ...a.options, import: "none" });
  expect(await most(accepted, 0)).toBeLessThanOrEqual(2048);
  while (b.table.size > 0) await turn();
});

function status(name: string) {
  return {
    name,
    address: "",
    asn: null,
    state: "Established",
    uptime: 0,
    lastError: null,
    lastErrorAt: null,
    remoteRouterId: null,
    holdTime: null,
    establishedCount: 1,
    messages: { received: 0, sent: 0, updatesReceived: 0, updatesSent: 0 },
    families: [],
    capabilities: [],
  } as unknown as Parameters<Simulation["rib"]["peerView"]>[0];
}
