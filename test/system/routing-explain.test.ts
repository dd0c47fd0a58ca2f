// The simulation of the routing decision against the kernel itself, on random sets of rules and routes; and against `ip route
// get`, so that it is not our own reading of the kernel's answer that is tested.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RuleAction } from "../../routing/netlink/constants.ts";
import { describeSet, type Family, random, randomSet } from "./support/routing-sets.ts";
import { RoutingWorld } from "./support/routing-world.ts";

/** Per family, so 10,000 in all; with other seeds and numbers for a longer search. */
const SETS = Number(process.env.EXPLAIN_SETS ?? 5000);
const SEED = Number(process.env.EXPLAIN_SEED ?? 1);
const families: Family[] = [4, 6];

let world: RoutingWorld;
beforeAll(() => {
  world = new RoutingWorld();
});
afterAll(() => world?.remove());

const seen = new Map<string, number>();
const count = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);

describe("random sets of rules and routes", () => {
  it.each(families)("are decided as the kernel does, IPv%i", (family) => {
    for (let i = 0; i < SETS; i++) {
      const set = randomSet(SEED * 1_000_000 + i, family);
      const failure = world.check(set, ({ steps, verdicts, refusal }) => {
        for (const { rule, outcome, result } of steps) {
          count(`${family} ${outcome}`);
          if (rule.invert && outcome !== "noMatch") count(`${family} inverted`);
          if (rule.fwmask !== 0 && outcome !== "noMatch") count(`${family} mark`);
          if (result?.passed.length) count(`${family} passed over`);
          if (rule.action !== RuleAction.toTable && outcome === "decided") count(`${family} rule says no`);
        }
        if (refusal) count(`${family} refused`);
        if (verdicts.length > 1) count(`${family} open`);
        for (const { error, route, members } of verdicts) {
          count(`${family} ${error ?? "goes somewhere"}`);
          if (members.length > 1) count(`${family} multipath`);
          if (route && route.nextHopId !== 0) count(`${family} nexthop object`);
        }
      });
      if (!failure) continue;
      const smaller = world.shrink(set);
      const why = world.check(smaller)?.why ?? `now and then: ${failure.why}`;
      expect.fail(`set ${i}: ${why}\n${describeSet(smaller)}`);
    }
  });

  it("were of every kind", () => {
    const kinds = [
      "noMatch",
      "goto",
      "nop",
      "miss",
      "throw",
      "suppressed",
      "decided",
      "inverted",
      "mark",
      "passed over",
    ];
    const ends = [
      "goes somewhere",
      "ENETUNREACH",
      "EHOSTUNREACH",
      "EACCES",
      "EINVAL",
      "rule says no",
      "multipath",
      "nexthop object",
    ];
    const missing = families.flatMap((family) =>
      [...kinds, ...ends, "refused"]
        .filter((what) => (seen.get(`${family} ${what}`) ?? 0) < SETS / 100)
        .map((what) => `${family} ${what}`),
    );
    expect(missing).toEqual([]);
    // What cannot be known from outside is the exception.
    const total = seen.get("4 decided")! + seen.get("6 decided")!;
    expect((seen.get("4 open") ?? 0) + (seen.get("6 open") ?? 0)).toBeLessThan(total / 20);
  });
});

it.each(families)("every member of a multipath route is taken at times, IPv%i", (family) => {
  const next = random(4711);
  const object = family === 4 ? 21 : 30;
  const prefix = family === 4 ? "10.0.0.0/8" : "3fff::/20";
  const route = {
    ...randomSet(1, family).routes[0],
    table: 254,
    prefix,
    from: null,
    type: "unicast" as const,
    tos: 0,
    metric: 10,
  };
  const set = {
    family,
    rules: [],
    flows: [],
    routes: [{ ...route, hops: [], nextHopId: object, source: null, preference: 0 }],
  };
  world.install(set);
  try {
    const flows = Array.from({ length: 200 }, () => ({
      source: family === 4 ? "192.0.0.1" : "2001:db8::1",
      destination: family === 4 ? `10.1.2.${Math.floor(next() * 250)}` : `3fff::${Math.floor(next() * 250)}`,
      iif: null,
      oif: null,
      mark: 0,
      tos: 0,
      uid: 0,
      ipProtocol: 17,
      sourcePort: 1024 + Math.floor(next() * 60_000),
      destinationPort: 53,
    }));
    const snapshot = world.snapshot(family);
    const taken = new Set(flows.map((flow) => world.ask(family, flow).decision!.hops[0].ifindex));
    const possible = new Set(
      flows.flatMap((flow) => world.simulate(snapshot, family, flow).verdicts[0].members.map(({ ifindex }) => ifindex)),
    );
    expect([...taken].sort()).toEqual([...possible].sort());
  } finally {
    world.clear(set);
  }
});

it.each(families)("agrees with what `ip route get` prints, IPv%i", (family) => {
  const different: string[] = [];
  let compared = 0;
  for (let i = 0; i < 150; i++) {
    const set = randomSet(500_000 + i, family);
    world.install(set);
    try {
      const snapshot = world.snapshot(family);
      const printed = world.ipRouteGet(set);
      set.flows.forEach((flow, j) => {
        const { verdicts, refusal } = world.simulate(snapshot, family, flow);
        const fits = verdicts.some(({ error, members, source }) => {
          const { error: said, device, gateway, from } = printed[j];
          if (refusal?.answered) return said !== null;
          if (error !== null || said !== null) return said === error;
          const name = (ifindex: number) => world.nameOf(ifindex);
          return (
            members.some((hop) => name(hop.ifindex) === device && world.addressText(hop.gateway) === gateway) &&
            (family === 6 || flow.source !== null || flow.iif !== null || !source || world.addressText(source) === from)
          );
        });
        compared++;
        if (!fits) different.push(`${describeSet({ ...set, flows: [flow] })}\n# ${JSON.stringify(printed[j])}`);
      });
    } finally {
      world.clear(set);
    }
  }
  expect(different.slice(0, 2).join("\n\n")).toBe("");
  expect(compared).toBeGreaterThan(500);
});

// The last, as it leaves the namespace without some of its nexthop objects.
it.each(families)("an interface that goes down leaves dead members, IPv%i", (family) => {
  for (const device of ["up0", "up1"]) {
    const sets = Array.from({ length: 20 }, (_, i) => randomSet(77_000 + i, family)).map((set) => ({
      ...set,
      // Nexthop objects would go with their interface, and be missing in what follows.
      routes: set.routes.filter(({ nextHopId }) => nextHopId === 0),
    }));
    const joined = {
      ...sets[0],
      routes: sets.flatMap(({ routes }) => routes),
      flows: sets.flatMap(({ flows }) => flows),
    };
    const failure = world.checkWithout(joined, device);
    expect(failure && `${failure.why}\n${describeSet({ ...joined, flows: [failure.flow] })}`).toBeNull();
  }
});
