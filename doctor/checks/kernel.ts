// The kernel's own tables against what should be there. The comparison was made beside the routes (routing/fib/survey.ts);
// here it gets names, and what to do.

import { fightText } from "../../routing/fib/fights.ts";
import type { LearnedRoute } from "../../routing/fib/survey.ts";
import { routePrefix, type Sampled } from "../../routing/kernel-state.ts";
import { RouteType } from "../../routing/netlink/constants.ts";
import { LAST_RESORT_METRIC } from "../../routing/ownership.ts";
import { type Check, check, type Facts, type Observation } from "../types.ts";

const back = "the daemon puts it back; when it does not last, underlayctl watch --types kernel tells who takes it away";

export const kernelChecks: readonly Check[] = [
  check({
    id: "rule-missing",
    severity: "fault",
    title: "A policy rule of ours is not in the kernel: packets of pods, or to them, do not look into our tables.",
    cure: back,
    needs: ["kernel"],
    settles: true,
    run: ({ kernel }) =>
      (kernel.comparison?.missingRules ?? []).map((rule) => ({ subject: rule, text: "the rule is not in the kernel" })),
  }),
  check({
    id: "rule-surplus",
    severity: "fault",
    title: "A policy rule carries our protocol number and is not one of ours, or is there twice.",
    cure: "ip rule del with all that the rule says; who made it uses our protocol number (routing.protocol)",
    needs: ["kernel"],
    settles: true,
    run: ({ kernel }) =>
      (kernel.comparison?.surplusRules ?? []).map((rule) => ({
        subject: rule,
        text: "the rule has our protocol number, and is not wanted or is there twice",
      })),
  }),
  check({
    id: "blackhole-missing",
    severity: "fault",
    title:
      "The blackhole of a block is not in the local table: packets to addresses without a pod go back to the fabric, and loop.",
    cure: back,
    needs: ["kernel"],
    settles: true,
    run: (facts) =>
      missingOf(facts, RouteType.blackhole).map((route) => replacedBy(facts, route, "the blackhole is not there")),
  }),
  check({
    id: "route-missing",
    severity: "fault",
    title: "A learned route is not in the kernel, though it should be.",
    cure: back,
    needs: ["kernel", "config"],
    settles: true,
    run: (facts) => routes(facts, facts.kernel.comparison?.missing, "is wanted, and not in the kernel"),
  }),
  check({
    id: "route-wrong",
    severity: "fault",
    title: "A learned route is in the kernel with other next hops than BGP has chosen.",
    cure: back,
    needs: ["kernel", "config"],
    settles: true,
    run: (facts) =>
      routes(facts, facts.kernel.comparison?.wrong, "has other next hops in the kernel than BGP has chosen"),
  }),
  check({
    id: "route-stray",
    severity: "fault",
    title: "A route in our tables carries our protocol number, and is wanted by nobody.",
    cure: "ip route del PREFIX table TABLE proto 201; who made it uses our protocol number (routing.protocol)",
    needs: ["kernel", "config"],
    settles: true,
    run: (facts) => routes(facts, facts.kernel.comparison?.strays, "has our protocol number, and nobody wants it"),
  }),
  check({
    id: "route-refused",
    severity: "fault",
    title: "The kernel refuses a route; the finding has the kernel's words. It is tried again with growing pauses.",
    cure: "the kernel's words say what is in the way: another program's route with the same prefix and metric, an interface that is down, a limit",
    needs: ["fib", "config"],
    settles: true,
    run: ({ fib, config }) =>
      fib.failed.map(({ prefix, table, error }) => ({
        subject: prefix,
        text: `refused by the kernel in table ${tableName(config, table)}: ${error}`,
      })),
  }),
  check({
    id: "route-without-next-hop",
    severity: "fault",
    title: "Routes are in use, but none of their next hops is on an interface that is up: they are not in the kernel.",
    cure: "bring the uplink up",
    needs: ["kernel", "config"],
    settles: true,
    run: (facts) =>
      routes(facts, facts.kernel.comparison?.withoutNextHop, "has no next hop on an interface that is up"),
  }),
  check({
    id: "next-hop-wrong",
    severity: "fault",
    title:
      "A next-hop group in the kernel does not have the members that it should have: traffic goes elsewhere, or not to all uplinks.",
    cure: back,
    needs: ["kernel"],
    settles: true,
    run: ({ kernel }) => (kernel.comparison?.nextHops ?? []).map((text) => ({ subject: text.split(" has ")[0], text })),
  }),
  check({
    id: "fight",
    severity: "fault",
    title: "Another program takes away again and again what is ours, and we put it back: packets are lost meanwhile.",
    cure: "have the other program leave protocol 201 alone, or stop it",
    needs: ["fib"],
    run: ({ fib }) => fib.fights.map((fight) => ({ subject: fight.subject, text: fightText(fight) })),
  }),
  check({
    id: "isolation-missing",
    severity: "fault",
    title:
      "The nftables tables that keep pods to their own addresses are not in the kernel, or not as they should be: a pod can send from any address, or act as the host's neighbour.",
    cure: "the finding says what is in the way: another program's table of the same name, or a kernel without nf_tables",
    needs: ["fib"],
    *run({ fib: { isolation } }) {
      if (isolation.reason !== null) yield { subject: "nftables", text: isolation.reason };
    },
  }),
  check({
    id: "isolation-off",
    severity: "info",
    title: "cni.sourceValidation is false: pods may send from any address.",
    cure: "unless pods of this node forward for others, remove it",
    needs: ["config"],
    *run({ config }) {
      if (config.routing.install && config.pools.length > 0 && !config.cni.sourceValidation)
        yield { subject: config.file, text: "cni.sourceValidation is false: pods may send from any address" };
    },
  }),
  check({
    id: "routes-stale",
    severity: "info",
    title:
      "Rules and routes of a former run are still there, and are not confirmed yet: neighbours have yet to send End-of-RIB.",
    cure: "wait for the sessions; after routing.staleTime they go by themselves",
    needs: ["kernel"],
    *run({ kernel }) {
      const stale = kernel.comparison?.stale ?? 0;
      if (stale > 0) yield { subject: "", text: `${stale} rules and routes of a former run are not confirmed yet` };
    },
  }),
  check({
    id: "kernel-left-alone",
    severity: "info",
    title: "routing.install is false: nothing is written to the kernel, and nothing there is compared.",
    cure: "on a node with pods remove routing.install: false",
    needs: ["config"],
    *run({ config }) {
      if (!config.routing.install)
        yield { subject: config.file, text: "routing.install is false: the kernel is left alone" };
    },
  }),
];

export function tableName(config: Facts["config"], id: number): string {
  if (id === config.routing.localTable) return `${id} (local)`;
  const name = config.tables.find((table) => table.id === id)?.name;
  return name === undefined ? String(id) : `${id} (${name})`;
}

function* routes(
  { config }: Pick<Facts, "config">,
  sampled: Sampled<LearnedRoute> | undefined,
  text: string,
): Iterable<Observation> {
  if (!sampled) return;
  for (const { prefix, table } of sampled.first)
    yield { subject: prefix, text: `${text}, table ${tableName(config, table)}` };
  if (sampled.count > sampled.first.length)
    yield { subject: "", text: `${sampled.count - sampled.first.length} more routes: ${text}` };
}

type Missing = NonNullable<Facts["kernel"]["comparison"]>["missingRoutes"][number];

function missingOf({ kernel }: Pick<Facts, "kernel">, type: number): Missing[] {
  return (kernel.comparison?.missingRoutes ?? []).filter((route) => route.type === type);
}

/** Another program's route in its very place is the usual reason. */
function replacedBy({ kernel }: Pick<Facts, "kernel">, { prefix, table }: Missing, text: string): Observation {
  const other = kernel.state.local.find(
    (route) => route.table === table && route.priority === LAST_RESORT_METRIC && routePrefix(route) === prefix,
  );
  if (!other) return { subject: prefix, text: `${text}, table ${table}` };
  return {
    subject: prefix,
    text: `${text}, table ${table}: a route of protocol ${other.protocol} is in its place`,
    cure: `ip route del ${prefix} table ${table} proto ${other.protocol}; ours comes back then`,
  };
}
