// underlayctl routes, received, advertised: tables of routes of any length.
import type { RouteView } from "../bgp/views.ts";
import { CliError } from "./client.ts";
import type { Invocation } from "./commands.ts";
import { jsonList } from "./lists.ts";
import { type Colour, plain, type Row } from "./output.ts";
import { why } from "./why.ts";

function routesPath(base: string, { options }: Invocation, prefix: string | undefined): string {
  const query = new URLSearchParams();
  if (prefix !== undefined) query.set("prefix", prefix);
  if (options.table !== undefined) query.set("table", options.table);
  if (options.family !== undefined) query.set("family", options.family);
  if (options.best) query.set("best", "true");
  return query.size > 0 ? `${base}?${query}` : base;
}

function routeState(route: RouteView): { text: string; colour?: Colour } {
  if (route.rejected !== null) return { text: `rejected: ${route.rejected}`, colour: "dim" };
  const words = [
    route.best && "best",
    route.multipath && "multipath",
    route.installed && "installed",
    route.stale && "stale",
    route.weight > 0 && `weight ${route.weight}`,
  ];
  const text = words.filter(Boolean).join(" ");
  if (route.refused) return { text: `${text} refused by the kernel: ${route.refused}`, colour: "red" };
  return { text: text || "-", colour: route.stale ? "yellow" : route.best ? "green" : undefined };
}

async function routeTable(invocation: Invocation, path: string, empty: string): Promise<number> {
  const { client, output, options } = invocation;
  if (options.json) return (await jsonList(invocation, path)) > 0 ? 0 : 1;
  const items = client.items<RouteView>(path);
  const first = await items.next();
  if (first.done) {
    process.stderr.write(`${empty}\n`);
    return 1;
  }
  async function* rows(): AsyncGenerator<Row> {
    for (let next: IteratorResult<RouteView> = first; !next.done; next = await items.next()) {
      const route = next.value;
      yield [
        route.prefix,
        route.table,
        route.pathId === null ? route.peer : `${route.peer} #${route.pathId}`,
        route.nextHops.join(" "),
        route.asPath,
        route.origin,
        route.localPref,
        route.med,
        route.communities.join(" "),
        routeState(route),
      ];
    }
  }
  await output.table(
    [
      { title: "PREFIX" },
      { title: "TABLE" },
      { title: "PEER" },
      { title: "NEXT HOPS" },
      { title: "AS PATH" },
      { title: "ORIGIN" },
      { title: "PREF", align: "right" },
      { title: "MED", align: "right" },
      { title: "COMMUNITIES" },
      { title: "STATE" },
    ],
    rows(),
  );
  return 0;
}

export async function routes(invocation: Invocation): Promise<number> {
  const [prefix] = invocation.arguments;
  if (invocation.options.why) {
    if (prefix === undefined) throw new CliError("routes --why: say which prefix or address", 2);
    const { table, family, best } = invocation.options;
    if (table !== undefined || family !== undefined || best)
      throw new CliError("routes --why: every table is told of; leave --table, --family and --best away", 2);
    return why(invocation);
  }
  const empty = prefix === undefined ? "no routes" : `no route to ${plain(prefix)}`;
  const code = await routeTable(invocation, routesPath("/v1/routes", invocation, prefix), empty);
  // An empty table is not a fault; an address asked for and not found is.
  return prefix === undefined ? 0 : code;
}

export const peerRoutes =
  (base: string, empty: string) =>
  async (invocation: Invocation): Promise<number> => {
    const [peer, prefix] = invocation.arguments;
    const path = routesPath(`${base}/${encodeURIComponent(peer)}`, invocation, prefix);
    const code = await routeTable(invocation, path, `${empty} ${plain(peer)}`);
    return prefix === undefined ? 0 : code;
  };
