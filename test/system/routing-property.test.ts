// Random histories of commands, kills, restarts and foreign interference: in the end the kernel holds what is wanted, and
// what others put there is as it was.
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { FibClient } from "../../routing/fib/client.ts";
import type { NextHopMember, OwnedState } from "../../routing/types.ts";
import { batch, eventually, member, Namespace, owned } from "./routing-namespace.ts";

interface IpRoute {
  dst: string;
  type?: string;
  table?: string;
  nhid?: number;
  protocol?: string;
}
interface IpNextHop {
  id: number;
  gateway?: string;
  dev?: string;
  group?: { id: number; weight?: number }[];
  protocol?: string;
}

let ns: Namespace;
beforeAll(() => {
  ns = new Namespace();
});
afterAll(() => ns.remove());

const ownedStates: OwnedState[] = [
  { blocks: [], tables: [] },
  owned,
  {
    blocks: [owned.blocks[0], { prefix: "10.244.7.0/24", table: 7200 }],
    tables: [...owned.tables, { name: "storage", id: 7200, host: true, fallback: "unreachable", hostRoutes: "last" }],
  },
];

const prefixes = [
  "0.0.0.0/0",
  "10.1.0.0/16",
  "10.1.0.0/24",
  "10.2.0.0/16",
  "::/0",
  "2001:db8:7::/48",
  "2001:db8:7::/64",
];

const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("route" as const),
      prefix: fc.constantFrom(...prefixes),
      table: fc.constantFrom(7100, 7200),
      set: fc.nat(3),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("members" as const),
      set: fc.integer({ min: 1, max: 3 }),
      choice: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("owned" as const), choice: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("restart" as const, "kill" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("foreign" as const), choice: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("link" as const), index: fc.nat(1) }) },
);

const attacks = [
  "ip rule del pref 1000; ip rule del pref 1005; ip -6 rule del pref 1089",
  "ip route flush table 7100 proto 201; ip -6 route flush table 7100 proto 201",
  "ip nexthop flush proto 201",
  "ip -6 route flush table 7000 proto 201",
  "ip route flush proto 201; ip -6 route flush proto 201",
];

it("kernel == wanted after any history", async () => {
  const hops = [member(`fe80::2%${ns.ifindex("up0")}`), member(`fe80::3%${ns.ifindex("up1")}*2`)];
  const choices: NextHopMember[][] = [hops, [hops[0]], [hops[1]], [hops[0], { ...hops[1], weight: 7 }]];
  const foreign =
    "ip rule add pref 900 from 10.99.0.0/16 lookup main proto 77; ip route add 10.1.0.0/16 dev up0 table 7100 proto 77;" +
    "ip nexthop add id 5 blackhole proto 77";
  ns.run(foreign);

  let compared = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 25 }), async (history) => {
      let fib: FibClient;
      const routes = new Map<string, { table: number; prefix: string; set: number }>();
      const sets = new Map<number, NextHopMember[]>();
      let ownedState = ownedStates[0];
      const use = (set: number, members: NextHopMember[]) => {
        sets.set(set, members);
        fib.setNextHopSet(set, members);
      };
      const start = async () => {
        fib = ns.client();
        await fib.start();
        await fib.setOwned(ownedState);
        for (const [set, members] of sets) fib.setNextHopSet(set, members);
        for (const { table, prefix, set } of routes.values()) fib.apply(batch(table, { [prefix]: set }));
      };
      await start();
      fib = fib!;
      for (const step of history) {
        if (step.kind === "route") {
          if (step.set !== 0 && !sets.has(step.set)) use(step.set, choices[0]);
          fib.apply(batch(step.table, { [step.prefix]: step.set }));
          const key = `${step.table} ${step.prefix}`;
          if (step.set === 0) routes.delete(key);
          else routes.set(key, step);
        } else if (step.kind === "members") use(step.set, choices[step.choice]);
        else if (step.kind === "owned") {
          ownedState = ownedStates[step.choice];
          await fib.setOwned(ownedState);
        } else if (step.kind === "foreign") ns.run(`${attacks[step.choice]}; true`);
        else if (step.kind === "link") ns.run(`ip link set far${step.index} down; ip link set far${step.index} up`);
        else {
          // A kill in the midst of writing, or an orderly stop; the next run finds what is there.
          if (step.kind === "restart") await fib.flush();
          await fib.stop("keep");
          await start();
        }
      }
      await fib.flush();
      await fib.sweepStale();

      const wanted = [...routes.values()].map(({ table, prefix, set }) => {
        const members = sets.get(set)!.map(({ gateway, weight }) => `${gateway[15]}*${weight}`);
        return `${table} ${prefix} ${members.sort()}`;
      });
      compared += wanted.length;
      await eventually(() => expect(learned()).toEqual(wanted.sort()), 10_000);
      await eventually(() => expect(ownedView()).toEqual(ownedWanted(ownedState)), 10_000);
      expect(await fib.status()).toMatchObject({ desired: routes.size, installed: routes.size, stale: 0, failed: [] });
      expect(ns.run("ip rule show proto 77; ip route show table 7100 proto 77; ip nexthop show proto 77")).not.toBe("");
      await fib.stop("remove");
      expect(
        ns.run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip nexthop"),
      ).not.toContain("proto 201");
    }),
    { numRuns: Number(process.env.FIB_RUNS ?? 15), endOnFailure: true },
  );
  expect(compared).toBeGreaterThan(0);
  expect(ns.run("ip rule show; ip route show table 7100; ip nexthop").match(/proto 77/g)).toHaveLength(3);
});

function learned(): string[] {
  const objects = new Map(ns.json<IpNextHop>("nexthop").map((object) => [object.id, object]));
  const describe = (route: IpRoute) => {
    const members = (objects.get(route.nhid!)?.group ?? []).map(({ id, weight }) => {
      return `${objects.get(id)!.gateway!.at(-1)}*${weight ?? 1}`;
    });
    return members.sort();
  };
  return ([4, 6] as const)
    .flatMap((family) =>
      ns
        .json<IpRoute>(`-${family} route show table all`)
        .filter((route) => route.protocol === "201" && route.nhid !== undefined)
        .map((route) => {
          const dst = route.dst === "default" ? (family === 4 ? "0.0.0.0/0" : "::/0") : route.dst;
          return `${route.table} ${dst} ${describe(route)}`;
        }),
    )
    .sort();
}

function ownedView(): string[] {
  return ([4, 6] as const)
    .flatMap((family) => [
      ...ns
        .json<IpRoute>(`-${family} route show table all`)
        .filter((route) => route.protocol === "201" && route.nhid === undefined)
        .map((route) => `${route.type} ${route.table} ${route.dst} ${family}`),
      ...ns.rules(family).map((rule) => `${family} ${rule}`),
    ])
    .sort();
}

function ownedWanted(state: OwnedState): string[] {
  const lines = ["4 1000: from all lookup 7000", "6 1000: from all lookup 7000"];
  const main = (family: number) => `lookup main suppress_prefixlength ${family === 4 ? 1 : 4}`;
  const networks = { 4: ["192.0.0.0/24", "192.0.1.0/24"], 6: ["fe80::/10", "2001:db8::/64", "2001:db8:1::/64"] };
  for (const { prefix, table } of state.blocks) {
    const family = prefix.includes(":") ? 6 : 4;
    const { hostRoutes, fallback } = state.tables.find(({ id }) => id === table)!;
    const to = hostRoutes === "first" ? [""] : networks[family].slice(family === 4 ? 0 : 1).map((to) => ` to ${to}`);
    for (const network of to) lines.push(`${family} 1005: from ${prefix}${network} ${main(family)}`);
    lines.push(`${family} 1010: from ${prefix} lookup ${table}`, `blackhole 7000 ${prefix} ${family}`);
    if (fallback === "unreachable") lines.push(`${family} 1011: from ${prefix} unreachable`);
  }
  for (const table of state.tables)
    for (const family of [4, 6] as const) {
      if (!table.host) continue;
      for (const network of networks[family]) lines.push(`${family} 1089: from all to ${network} ${main(family)}`);
      lines.push(`${family} 1090: from all lookup ${table.id}`);
    }
  return lines.sort();
}
