// Uplinks that fail, their links and the neighbours on them, with ten thousand routes over both.
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FibClient } from "../../routing/fib/client.ts";
import { batch, eventually, member, Namespace, owned } from "./routing-namespace.ts";

const COUNT = 10_000;
let ns: Namespace;
/** The other ends of the uplinks are in a namespace of their own: neighbours that answer for real. */
let peer: string;
let up0: number;
let up1: number;
beforeEach(() => {
  ns = new Namespace();
  peer = `${ns.name}-peer`;
  execFileSync("ip", ["netns", "add", peer]);
  ns.run(`ip link set far0 netns ${peer}; ip link set far1 netns ${peer}`);
  const up = [0, 1].flatMap((i) => [
    `link set far${i} up`,
    `addr add 192.0.${i}.2/24 dev far${i}`,
    `addr add fe80::2/64 dev far${i} nodad`,
  ]);
  execFileSync("ip", ["-n", peer, "-batch", "-"], { input: up.join("\n") });
  for (const family of ["ipv4", "ipv6"])
    for (const name of ["up0", "up1"])
      ns.run(
        `cd /proc/sys/net/${family}/neigh/${name}; echo 20 > retrans_time_ms; echo 1 > mcast_solicit; echo 1 > ucast_solicit;` +
          "echo 1 > delay_first_probe_time; echo 100 > base_reachable_time_ms",
      );
  up0 = ns.ifindex("up0");
  up1 = ns.ifindex("up1");
});
afterEach(async () => {
  await ns.remove();
  execFileSync("ip", ["netns", "del", peer]);
});

function manyRoutes(family: 4 | 6, set: number) {
  const size = family === 4 ? 4 : 16;
  const addresses = new Uint8Array(COUNT * size);
  for (let i = 0; i < COUNT; i++) {
    if (family === 4) addresses.set([20, i >> 8, i & 255, 0], i * 4);
    else addresses.set([0x20, 1, 0xd, 0xb8, i >> 8, i & 255], i * 16);
  }
  const lengths = new Uint8Array(COUNT).fill(family === 4 ? 24 : 48);
  return { family, table: 7100, count: COUNT, addresses, lengths, nextHopSets: new Uint32Array(COUNT).fill(set) };
}

async function started(): Promise<FibClient> {
  const fib = ns.client();
  await fib.start();
  await fib.setOwned(owned);
  return fib;
}

const groups = () => {
  const objects = ns.json<{ id: number; gateway?: string; dev?: string; group?: { id: number }[] }>("nexthop");
  const single = new Map(objects.map(({ id, gateway, dev }) => [id, `${gateway}%${dev}`]));
  return objects.flatMap(({ group }) => (group ? [group.map(({ id }) => single.get(id)).sort()] : [])).sort();
};
const inKernel = (family: 4 | 6) => ns.run(`ip -${family} route show table 7100 proto 201`).match(/nhid/g)?.length ?? 0;
const peerRun = (...args: string[]) => execFileSync("ip", ["-n", peer, ...args]);

it("10,000 routes of each family are back with their link, after carrier loss and admin down", async () => {
  const fib = await started();
  fib.setNextHopSet(1, [member(`192.0.0.2%${up0}`), member(`192.0.1.2%${up1}`)]);
  fib.setNextHopSet(2, [member(`fe80::2%${up0}`), member(`fe80::2%${up1}`)]);
  fib.setNextHopSet(3, [member(`192.0.0.2%${up0}`)]);
  fib.apply(manyRoutes(4, 1));
  fib.apply(manyRoutes(6, 2));
  fib.apply(batch(7100, { "10.9.0.0/16": 3 }));
  await fib.flush();
  expect([inKernel(4), inKernel(6)]).toEqual([COUNT + 1, COUNT]);
  const whole = groups();
  expect(whole).toHaveLength(3);
  const times: string[] = [];
  /** Until the kernel has what `wanted` says, seen through the worker's own view and checked in the kernel. */
  const until = async (what: string, installed: number) => {
    const begin = performance.now();
    for (;;) {
      const status = await fib.status();
      if (status.installed === installed) break;
      if (performance.now() - begin > 10_000) throw new Error(`${what}: ${status.installed} instead of ${installed}`);
    }
    times.push(`${what} ${(performance.now() - begin).toFixed(1)} ms`);
  };
  for (const [down, up] of [
    [() => peerRun("link", "set", "far0", "down"), () => peerRun("link", "set", "far0", "up")],
    [() => ns.run("ip link set up0 down"), () => ns.run("ip link set up0 up")],
  ]) {
    // One of two uplinks: routes over both stay, with the other one.
    down();
    await until("one lost", 2 * COUNT);
    await eventually(() => expect(groups()).toEqual([["192.0.1.2%up1"], ["fe80::2%up1"]]));
    expect([inKernel(4), inKernel(6)]).toEqual([COUNT, COUNT]);
    up();
    await until("one back", 2 * COUNT + 1);
    await eventually(() => expect(groups()).toEqual(whole));
    expect([inKernel(4), inKernel(6)]).toEqual([COUNT + 1, COUNT]);
  }
  // Both: the kernel drops everything in silence.
  peerRun("link", "set", "far0", "down");
  peerRun("link", "set", "far1", "down");
  await until("both lost", 0);
  await eventually(() => expect([inKernel(4), inKernel(6)]).toEqual([0, 0]));
  peerRun("link", "set", "far0", "up");
  peerRun("link", "set", "far1", "up");
  await until("both back", 2 * COUNT + 1);
  await eventually(() => expect(groups()).toEqual(whole));
  expect([inKernel(4), inKernel(6)]).toEqual([COUNT + 1, COUNT]);
  expect(await fib.status()).toMatchObject({ failed: [], overruns: 0 });
  if (process.env.SHOW_TIMES) console.log(times.join("\n"));
});

describe("a gateway that does not answer", () => {
  it("is avoided while another one is there, asked again, and taken back", async () => {
    const fib = await started();
    fib.setNextHopSet(1, [member(`192.0.0.2%${up0}`), member(`192.0.1.2%${up1}`)]);
    fib.setNextHopSet(2, [member(`192.0.0.2%${up0}`)]);
    fib.setNextHopSet(3, [member(`fe80::2%${up0}`), member(`fe80::2%${up1}`)]);
    fib.apply(batch(7100, { "10.1.0.0/16": 1, "10.2.0.0/16": 2 }));
    fib.apply(batch(7100, { "2001:db8:77::/48": 3 }));
    await fib.flush();
    const whole = groups();
    const send = (to: string) => ns.run(`ping -c 1 -W 0.01 ${to} >/dev/null 2>&1; true`);

    peerRun("addr", "del", "192.0.0.2/24", "dev", "far0");
    peerRun("addr", "del", "fe80::2/64", "dev", "far0");
    ns.run("ip neigh flush dev up0");
    await eventually(() => {
      send("192.0.0.2");
      send("fe80::2%up0");
      // What has no other member keeps the one that it has.
      expect(groups()).toEqual([["192.0.0.2%up0"], ["192.0.1.2%up1"], ["fe80::2%up1"]]);
    });
    const unreachable = [...(await fib.status()).unreachable];
    expect(unreachable.sort((a, b) => a.gateway.localeCompare(b.gateway))).toEqual([
      { gateway: "192.0.0.2", interface: "up0", since: expect.any(Number), avoided: false },
      { gateway: "fe80::2", interface: "up0", since: expect.any(Number), avoided: true },
    ]);
    expect(ns.events.filter(({ kind }) => kind === "neighbour").map(({ message }) => message)).toContain(
      "gateway 192.0.0.2 on up0 does not answer: 1 next-hop groups do without it, 1 have no other member",
    );

    // Nobody sends to it any more; it is asked all the same.
    peerRun("addr", "add", "192.0.0.2/24", "dev", "far0");
    peerRun("addr", "add", "fe80::2/64", "dev", "far0", "nodad");
    await eventually(() => expect(groups()).toEqual(whole));
    expect((await fib.status()).unreachable).toEqual([]);

    // Where no gateway answers all stay in use.
    for (const i of [0, 1]) peerRun("addr", "del", `192.0.${i}.2/24`, "dev", `far${i}`);
    ns.run("ip neigh flush dev up0; ip neigh flush dev up1");
    await eventually(() => {
      send("192.0.0.2");
      send("192.0.1.2");
      expect(groups()).toEqual(whole);
      expect(ns.events.filter(({ message }) => message.includes("so it stays in use"))).not.toEqual([]);
    });

    // A link that was down starts afresh.
    ns.run("ip link set up0 down; ip link set up0 up");
    await eventually(() => expect(groups()).toContainEqual(["192.0.0.2%up0"]));
    expect((await fib.status()).failed).toEqual([]);
  });
});
