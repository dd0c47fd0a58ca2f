// What the fib worker says of the kernel's forwarding (the F bit of RFC 4724 rests on it), and what is so.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FibClient } from "../../routing/fib/client.ts";
import { batch, eventually, member, Namespace, owned } from "./routing-namespace.ts";

let ns: Namespace;
let up0: number;
beforeEach(() => {
  ns = new Namespace();
  up0 = ns.ifindex("up0");
});
afterEach(() => ns.remove());

const told = (fib: FibClient) => {
  const { tables, owned } = fib.forwarding();
  return [...tables.map(({ family, table }) => `IPv${family} ${table}`), ...owned.map((family) => `own IPv${family}`)];
};
const everything = ["IPv4 7100", "IPv6 7100", "own IPv4", "own IPv6"];

/** With a route of each family in the table. */
async function run(): Promise<FibClient> {
  const fib = ns.client();
  await fib.start();
  await fib.setOwned(owned);
  fib.setNextHopSet(1, [member(`192.0.0.2%${up0}`)]);
  fib.setNextHopSet(2, [member(`fe80::2%${up0}`)]);
  fib.apply(batch(7100, { "10.1.0.0/16": 1, "10.2.0.0/16": 1 }));
  fib.apply(batch(7100, { "2001:db8:1::/48": 2 }));
  await fib.flush();
  return fib;
}

describe("at start", () => {
  it("nothing, where nothing was; after convergence everything", async () => {
    const fib = await run();
    expect(told(fib)).toEqual([]);
    await fib.sweepStale();
    expect(told(fib)).toEqual(everything);
  });

  it.each([
    ["nothing", "true", everything],
    ["IPv4 routes", "ip route flush table 7100", ["IPv6 7100", "own IPv4", "own IPv6"]],
    ["IPv6 routes", "ip -6 route flush table 7100", ["IPv4 7100", "own IPv4", "own IPv6"]],
    ["a rule", "ip rule del pref 1010", ["IPv4 7100", "IPv6 7100", "own IPv6"]],
    [
      "a blackhole",
      "ip -6 route del blackhole 2001:db8:244:1::/122 table 7000",
      ["IPv4 7100", "IPv6 7100", "own IPv4"],
    ],
    ["next hops", "ip nexthop flush", ["own IPv4", "own IPv6"]],
    ["the uplink", "ip link del up0", ["own IPv4", "own IPv6"]],
    ["the uplink's carrier", "ip link set far0 down", ["own IPv4", "own IPv6"]],
  ])("what a former run left, but for what went meanwhile: %s", async (_, command, left) => {
    await (await run()).stop("keep");
    ns.run(command);
    const fib = ns.client();
    await fib.start();
    await fib.setOwned(owned);
    expect(told(fib)).toEqual(left);
  });

  it("no more when the time for it has passed and nobody has asked for it", async () => {
    await (await run()).stop("keep");
    const fib = ns.client({ staleTime: 1 });
    await fib.start();
    await fib.setOwned(owned);
    expect(told(fib)).toContain("IPv4 7100");
    await eventually(() => expect(told(fib)).toEqual(["own IPv4", "own IPv6"]));
  });

  it("never with install: false", async () => {
    await (await run()).stop("keep");
    const fib = ns.client({ install: false });
    await fib.start();
    await fib.setOwned(owned);
    await fib.sweepStale();
    expect(told(fib)).toEqual([]);
  });
});

describe("after convergence", () => {
  it("not for a table with a route that the kernel refuses, until it takes it", async () => {
    const fib = await run();
    await fib.sweepStale();
    // An IPv6 route cannot use an IPv4 next hop.
    fib.apply(batch(7100, { "2001:db8:2::/48": 1 }));
    await eventually(() => expect(told(fib)).toEqual(["IPv4 7100", "own IPv4", "own IPv6"]));
    fib.apply(batch(7100, { "2001:db8:2::/48": 2 }));
    await eventually(() => expect(told(fib)).toEqual(everything));
  });

  it("nothing while notifications were lost, and again when all was read anew", async () => {
    const fib = ns.client({}, { receiveBuffer: 1 });
    await fib.start();
    await fib.setOwned(owned);
    await fib.sweepStale();
    const seen = new Set<string>();
    const look = setInterval(() => seen.add(told(fib).join()), 1);
    const flood = Array.from({ length: 20_000 }, (_, i) => `route add 11.${i >> 8}.${i & 255}.0/24 dev up0 table 9000`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    // Not waited for with the event loop held up: what is told and taken back meanwhile would be missed.
    const flooding = spawn("ip", ["-n", ns.name, "-batch", "-"], { stdio: ["pipe", "ignore", "inherit"] });
    flooding.stdin.end(flood.join("\n"));
    await once(flooding, "exit");
    await eventually(() => expect(seen).toContain(""), 10_000);
    await eventually(() => expect(told(fib)).toEqual(everything), 10_000);
    clearInterval(look);
    expect((await fib.status()).overruns).toBeGreaterThan(0);
  });

  it("nothing when the worker has ended", async () => {
    const fib = await run();
    await fib.sweepStale();
    await fib.stop("keep");
    expect(told(fib)).toEqual([]);
  });
});
