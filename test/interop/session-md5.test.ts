// TCP MD5 keys that are changed while both ends go on: FRR and BIRD reset their session for it, and come back without
// anything done here; between two of us, one changes its key on the live connection and neither notices more than a
// pause. The second one of us runs in its own namespace, too: its sockets are made there.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { SessionManager } from "../../bgp/session/session-manager.ts";
import type { PeerOptions, PeerStatus } from "../../bgp/session/types.ts";
import { parseAddress } from "../../net/address.ts";
import { systemClock } from "../../net/clock.ts";
import { peerOptions } from "../unit/bgp/session/support.ts";
import { RecordingHandler, RecordingLog } from "../unit/bgp/session/support-sessions.ts";
import { Bird } from "./support/bird.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { sleep, waitFor } from "./support/wait.ts";

const key = (text: string) => new TextEncoder().encode(text);
const bytes = (text: string) => parseAddress(text) as Uint8Array;
const cleanups: (() => Promise<unknown>)[] = [];
let lab: Lab;
let us: Node;
let them: Node;

beforeAll(() => {
  lab = new Lab("md5");
  us = lab.addNode("us");
  them = lab.addNode("them");
  lab.link(
    { node: us, name: "eth0", addresses: ["10.1.0.1/24", "2001:db8:1::1/64"] },
    { node: them, name: "eth0", addresses: ["10.1.0.2/24", "2001:db8:1::2/64"] },
  );
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(() => lab.close());

interface Instance {
  readonly manager: SessionManager;
  readonly handler: RecordingHandler;
  status(): PeerStatus;
}

/** A session manager whose sockets are in the node's namespace. */
async function start(node: Node, options: Partial<PeerOptions>): Promise<Instance> {
  const handler = new RecordingHandler();
  const manager = new SessionManager({
    handler,
    clock: systemClock,
    log: new RecordingLog(),
    listenPort: 179,
    listenAddresses: [],
  });
  const leave = node.enter();
  try {
    manager.addPeer(peerOptions({ connectRetry: 1, holdTime: 6, remoteAsn: "external", ...options }));
    await manager.start();
  } finally {
    leave();
  }
  cleanups.push(() => manager.stop("restart"));
  return { manager, handler, status: () => manager.status()[0] };
}

const up = ({ status }: Instance, what: string) =>
  waitFor(() => status().state === "Established", what, { timeout: 40_000 });

const frrConfig = (password: string) => `
router bgp 65002
 bgp router-id 10.0.0.2
 no bgp ebgp-requires-policy
 neighbor 10.1.0.1 remote-as 65001
 neighbor 10.1.0.1 timers connect 1
 neighbor 10.1.0.1 password ${password}
`;
const birdConfig = (password: string) => `
router id 10.0.0.2;
protocol device {}
protocol bgp underlay {
  local as 65002; neighbor 2001:db8:1::1 as 65001; password "${password}";
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv6 { import all; export none; };
}`;

describe("a neighbour changes its key and resets for it", () => {
  it.each([
    ["we connect", {}],
    ["they connect", { passive: true }],
  ] as const)("FRR, %s: to the one that is accepted, and on", async (_, options) => {
    proves("frr", "md5", "md5-change");
    const leave = us.enter();
    cleanups.push(async () => leave());
    const ours = await start(us, {
      address: bytes("10.1.0.2"),
      password: key("new"),
      acceptedPasswords: [key("old")],
      ...options,
    });
    const frr = await Frr.start(them, frrConfig("old"));
    cleanups.push(() => frr.close());
    await up(ours, "the session with the old key");
    expect(ours.status().md5).toBe("accepted");
    await frr.configure("router bgp 65002\n neighbor 10.1.0.1 password new\n");
    await waitFor(() => ours.status().md5 === "password", "the session with the new key", { timeout: 40_000 });
    await frr.waitEstablished("10.1.0.1");
    // The old one is not needed any more: that touches nothing.
    const { establishedCount } = ours.status();
    ours.manager.setPassword("peer", key("new"));
    await sleep(2_500);
    expect(ours.status()).toMatchObject({ state: "Established", establishedCount, md5: "password" });
  });

  it("BIRD, over IPv6", async () => {
    proves("bird", "md5", "md5-change");
    const leave = us.enter();
    cleanups.push(async () => leave());
    const ours = await start(us, {
      address: bytes("2001:db8:1::2"),
      password: key("new"),
      acceptedPasswords: [key("older"), key("old")],
    });
    const bird = await Bird.start(them, birdConfig("old"));
    cleanups.push(() => bird.close());
    await up(ours, "the session with the old key");
    await bird.configure(birdConfig("new"));
    await waitFor(() => ours.status().md5 === "password", "the session with the new key", { timeout: 40_000 });
    await bird.waitEstablished("underlay");
  });
});

describe("a neighbour changes its key on the live connection", () => {
  const update = Uint8Array.from([...new Array(16).fill(0xff), 0, 23, 2, 0, 0, 0, 0]);

  async function pair(ours: Partial<PeerOptions>, theirs: Partial<PeerOptions>): Promise<[Instance, Instance]> {
    const a = await start(us, { address: bytes("10.1.0.2"), ...ours });
    const b = await start(them, {
      name: "a",
      address: bytes("10.1.0.1"),
      passive: true,
      localAsn: 65002,
      routerId: 2,
      ...theirs,
    });
    // Attempts to connect are made in the namespace that this thread is in.
    const leave = us.enter();
    cleanups.push(async () => leave());
    await Promise.all([up(a, "our session"), up(b, "their session")]);
    return [a, b];
  }

  const passes = async (from: Instance, to: Instance) => {
    const before = to.handler.updates.length;
    from.handler.sessions[0].send(update);
    await waitFor(() => to.handler.updates.length > before, "an UPDATE to get through", { timeout: 8_000 });
  };

  it("and the session goes on, whoever has something to say first", async () => {
    const [a, b] = await pair(
      { password: key("new"), acceptedPasswords: [key("old")] },
      { password: key("old"), acceptedPasswords: [] },
    );
    expect(a.status().md5).toBe("accepted");
    b.manager.setPassword("a", key("new"));
    expect(b.status().md5).toBe("password");
    await passes(a, b);
    await passes(b, a);
    expect(a.status().md5).toBe("password");
    // Longer than the hold time: keepalives pass, too.
    await sleep(7_000);
    await passes(b, a);
    for (const { handler, status } of [a, b]) {
      expect(handler.downs).toEqual([]);
      expect(status()).toMatchObject({ state: "Established", establishedCount: 1 });
    }
  });

  it("and then this end follows, with neither reset: the whole way from one key to the next", async () => {
    const [a, b] = await pair({ password: key("one") }, { password: key("one") });
    a.manager.setPassword("peer", key("two"), [key("one")]);
    b.manager.setPassword("a", key("two"), [key("one")]);
    expect([a.status().md5, b.status().md5]).toEqual(["accepted", "accepted"]);
    await passes(a, b);
    a.manager.setPassword("peer", key("two"));
    await passes(b, a);
    b.manager.setPassword("a", key("two"));
    await passes(a, b);
    expect([a.status().md5, b.status().md5]).toEqual(["password", "password"]);
    expect([a.handler.downs, b.handler.downs]).toEqual([[], []]);
  });

  it("to one that is not accepted: the session ends, and another key does not let it in", async () => {
    const [a, b] = await pair({ password: key("new"), acceptedPasswords: [key("old")] }, { password: key("old") });
    b.manager.setPassword("a", key("stranger"));
    await waitFor(() => a.handler.downs.length === 1, "the end", { timeout: 30_000 });
    await sleep(3_000);
    expect(a.status().state).not.toBe("Established");
  });

  it("from a key to none is a reset with Cease/6", async () => {
    const [a, b] = await pair({ password: key("one") }, { password: key("one") });
    b.manager.setPassword("a", null);
    await waitFor(() => a.handler.downs.length === 1, "the end");
    expect(a.handler.downs[0].notification).toMatchObject({ sent: false, code: 6, subcode: 6 });
    a.manager.setPassword("peer", null);
    await Promise.all([up(a, "unsigned"), up(b, "unsigned")]);
    expect(a.status().md5).toBeNull();
  });
});
