// The commands: what each asks the daemon, and how the answer reads. All return the exit code.
import type { BfdStatus } from "../bgp/bfd/types.ts";
import type { PeerView, RouteView } from "../bgp/views.ts";
import type { BlockView, PodView } from "../cni/types.ts";
import type { StatusView } from "../daemon/api/types.ts";
import type { KernelRule } from "../routing/types.ts";
import { CliError, type Client } from "./client.ts";
import { type Colour, duration, mebibytes, type Output, plain, type Row } from "./output.ts";
import { plan, reload } from "./reload.ts";
import { watch } from "./watch.ts";

export interface Options {
  readonly json: boolean;
  readonly table?: string;
  readonly family?: string;
  readonly best?: boolean;
  readonly types?: string;
}

export interface Invocation {
  readonly client: Client;
  readonly output: Output;
  readonly options: Options;
  readonly arguments: readonly string[];
}

export interface Command {
  readonly usage: string;
  readonly summary: string;
  /** How many arguments it takes at least and at most. */
  readonly arity: readonly [least: number, most: number];
  /** Options of its own. */
  readonly options: readonly (keyof Options)[];
  readonly run: (invocation: Invocation) => Promise<number>;
}

/** One JSON array, one item per line, whatever its length. Returns the number of items. */
async function jsonList({ client, output }: Invocation, path: string): Promise<number> {
  let count = 0;
  for await (const line of client.lines(path)) await output.write(count++ === 0 ? `[\n${line}` : `,\n${line}`);
  await output.line(count === 0 ? "[]" : "\n]");
  return count;
}

async function status({ client, output, options }: Invocation): Promise<number> {
  const view = await client.get<StatusView>("/v1/status");
  const code = view.state === "ok" ? 0 : 1;
  if (options.json) {
    await output.line(JSON.stringify(view, null, 2));
    return code;
  }
  const { kernel, eventLoopDelay: delay } = view;
  const state = output.paint(view.state, code === 0 ? "green" : "red");
  const failed = kernel.failed.length > 0 ? output.paint(`${kernel.failed.length} refused`, "red") : "none refused";
  const lines: [string, string][] = [
    ["state", `${state}, up ${duration(view.uptime)}, underlayd ${view.version}, pid ${view.pid}`],
    ["sessions", `${view.peers.established} of ${view.peers.configured} Established`],
    ["routes", `${view.routes.ipv4} IPv4, ${view.routes.ipv6} IPv6`],
    [
      "kernel",
      kernel.install
        ? `${kernel.installed} of ${kernel.desired} installed, ${failed}, ${kernel.stale} stale`
        : "left alone (routing.install: false)",
    ],
    ["pods", String(view.pods)],
    ["memory", `${mebibytes(view.memory.rss)} resident, ${mebibytes(view.memory.heapUsed)} heap`],
    ["event loop", `late by ${delay.p50} ms (median), ${delay.p99} ms (p99), ${delay.max} ms (worst)`],
  ];
  await output.line(output.paint(`${plain(view.name)}  AS ${view.asn}  router id ${view.routerId}`, "bold"));
  for (const [key, value] of lines) await output.line(`  ${key.padEnd(11)}${value}`);
  for (const problem of view.problems) await output.line(`  ${output.paint("problem", "red")}    ${plain(problem)}`);
  return code;
}

const stateColour = (state: string): Colour =>
  state === "Established" ? "green" : state === "Idle" ? "red" : "yellow";

async function peers(invocation: Invocation): Promise<number> {
  const { client, output, options } = invocation;
  const [name] = invocation.arguments;
  const views =
    name === undefined
      ? await client.get<PeerView[]>("/v1/peers")
      : [await client.get<PeerView>(`/v1/peers/${encodeURIComponent(name)}`)];
  const code = views.every((view) => view.state === "Established") ? 0 : 1;
  if (options.json) await output.line(JSON.stringify(views, null, 2));
  else if (name !== undefined) await peerDetails(output, views[0]);
  else if (views.length === 0) await output.line("no peers are configured");
  else
    await output.table(
      [
        { title: "PEER" },
        { title: "ADDRESS" },
        { title: "AS", align: "right" },
        { title: "STATE" },
        { title: "UPTIME", align: "right" },
        { title: "RECEIVED", align: "right" },
        { title: "ACCEPTED", align: "right" },
        { title: "ADVERTISED", align: "right" },
        { title: "LAST ERROR" },
      ],
      views.map(
        (view): Row => [
          view.name,
          view.address,
          view.asn,
          { text: view.state, colour: stateColour(view.state) },
          duration(view.uptime),
          view.received,
          view.accepted,
          view.advertised,
          view.lastError,
        ],
      ),
    );
  return code;
}

async function peerDetails(output: Output, view: PeerView): Promise<void> {
  const counts = (kind: "received" | "accepted" | "advertised") => {
    const { total, ipv4, ipv6 } = view.prefixes[kind];
    return `${total} (${ipv4} IPv4, ${ipv6} IPv6)`;
  };
  const { messages, errors } = view;
  const lines: [string, string][] = [
    ["address", `${view.address}, AS ${view.asn ?? "unknown"}, router id ${view.remoteRouterId ?? "unknown"}`],
    [
      "state",
      output.paint(view.state, stateColour(view.state)) + (view.uptime === null ? "" : `, up ${duration(view.uptime)}`),
    ],
    ["last error", view.lastError ?? "none"],
    ...(view.bfd ? bfdLines(view.bfd) : []),
    ["sessions", `Established ${view.establishedCount} times, hold time ${view.holdTime ?? "-"} s`],
    ["policy", `import ${view.import}, export ${view.export}, table ${view.table}`],
    ["received", `${counts("received")}${staleText(view)}`],
    ["accepted", counts("accepted")],
    ["advertised", counts("advertised")],
    [
      "messages",
      `${messages.received} received (${messages.updatesReceived} updates), ${messages.sent} sent (${messages.updatesSent} updates)`,
    ],
    ["malformed", `${errors.treatedAsWithdrawn} routes withdrawn, ${errors.attributesDiscarded} attributes discarded`],
    ["families", view.families.map((family) => `IPv${family}`).join(", ") || "-"],
    ["capabilities", view.capabilities.join(", ") || "-"],
  ];
  await output.line(output.paint(plain(view.name), "bold"));
  for (const [key, value] of lines) await output.line(`  ${key.padEnd(14)}${key === "state" ? value : plain(value)}`);
}

function staleText({ stale, helper }: PeerView): string {
  if (stale === 0) return "";
  return `, ${stale} stale${helper ? ` (${helper.phase}, for ${duration(helper.left)} at most)` : ""}`;
}

function bfdLines(bfd: BfdStatus): [string, string][] {
  const { state, remoteState, interval, detectionTime, multiplier, packets } = bfd;
  const since = bfd.uptime === null ? "" : `, up ${duration(bfd.uptime)}, ${bfd.upCount} times`;
  const pace = interval === null ? "not sending" : `sent every ${interval} ms x ${multiplier}`;
  const discarded = packets.discarded > 0 ? `, ${packets.discarded} discarded (last: ${bfd.lastDiscard})` : "";
  const failed = packets.sendErrors > 0 ? `, ${packets.sendErrors} not sent` : "";
  const error = bfd.lastSendError ? ` (now: ${bfd.lastSendError})` : "";
  return [
    ["bfd", `${state}${since} (neighbour ${remoteState}), ${pace}, down after ${detectionTime ?? "-"} ms of silence`],
    ["bfd went down", `${bfd.diagnostic}; neighbour: ${bfd.remoteDiagnostic}`],
    ["bfd packets", `${packets.sent} sent, ${packets.received} received${discarded}${failed}${error}`],
  ];
}

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
  ];
  const text = words.filter(Boolean).join(" ");
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
        route.peer,
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

async function routes(invocation: Invocation): Promise<number> {
  const [prefix] = invocation.arguments;
  const empty = prefix === undefined ? "no routes" : `no route to ${plain(prefix)}`;
  const code = await routeTable(invocation, routesPath("/v1/routes", invocation, prefix), empty);
  // An empty table is not a fault; an address asked for and not found is.
  return prefix === undefined ? 0 : code;
}

const peerRoutes =
  (base: string, empty: string) =>
  async (invocation: Invocation): Promise<number> => {
    const [peer, prefix] = invocation.arguments;
    const path = routesPath(`${base}/${encodeURIComponent(peer)}`, invocation, prefix);
    const code = await routeTable(invocation, path, `${empty} ${plain(peer)}`);
    return prefix === undefined ? 0 : code;
  };

const simpleList =
  <T>(path: string, columns: readonly { title: string; align?: "right" }[], row: (item: T) => Row, empty: string) =>
  async (invocation: Invocation): Promise<number> => {
    const { client, output, options } = invocation;
    if (options.json) {
      await jsonList(invocation, path);
      return 0;
    }
    const items = await client.get<T[]>(path);
    if (items.length === 0) process.stderr.write(`${empty}\n`);
    else await output.table(columns, items.map(row));
    return 0;
  };

const pods = simpleList<PodView>(
  "/v1/pods",
  [
    { title: "POD" },
    { title: "NETWORK" },
    { title: "IF" },
    { title: "ADDRESSES" },
    { title: "POOL" },
    { title: "HOST IF" },
    { title: "NETNS" },
  ],
  (pod) => [
    pod.pod ?? pod.containerId.slice(0, 12),
    pod.network,
    pod.ifname,
    pod.addresses.join(" "),
    pod.pool,
    pod.hostInterface,
    pod.netns,
  ],
  "no pods",
);

const blocks = simpleList<BlockView>(
  "/v1/blocks",
  [
    { title: "BLOCK" },
    { title: "POOL" },
    { title: "USED", align: "right" },
    { title: "CAPACITY", align: "right" },
    { title: "STATE" },
  ],
  (block) => [
    block.prefix,
    block.pool,
    block.used,
    block.capacity ?? "> 2^53",
    { text: block.state, colour: block.state === "announced" ? "green" : "yellow" },
  ],
  "no blocks are configured",
);

const rules = simpleList<KernelRule>(
  "/v1/rules",
  [{ title: "PRIORITY", align: "right" }, { title: "FAMILY" }, { title: "OWNER" }, { title: "RULE" }],
  (rule) => [
    rule.priority,
    `IPv${rule.family}`,
    rule.ours ? { text: "underlay", colour: "green" } : `protocol ${rule.protocol}`,
    rule.text,
  ],
  "no rules",
);

export const commands: Readonly<Record<string, Command>> = {
  status: {
    usage: "status",
    summary: "how the node is; exit code 1 when something is wrong",
    arity: [0, 0],
    options: [],
    run: status,
  },
  peers: {
    usage: "peers [PEER]",
    summary: "neighbours and their sessions; exit code 1 when one is not Established",
    arity: [0, 1],
    options: [],
    run: peers,
  },
  routes: {
    usage: "routes [PREFIX] [--table T] [--family F] [--best]",
    summary: "routes in use and their alternatives; PREFIX: an address (longest match) or a prefix",
    arity: [0, 1],
    options: ["table", "family", "best"],
    run: routes,
  },
  received: {
    usage: "received PEER [PREFIX] [--family F]",
    summary: "what a neighbour has told us, before and after policy",
    arity: [1, 2],
    options: ["family"],
    run: peerRoutes("/v1/received", "nothing received from"),
  },
  advertised: {
    usage: "advertised PEER [PREFIX] [--family F]",
    summary: "what we have told a neighbour",
    arity: [1, 2],
    options: ["family"],
    run: peerRoutes("/v1/advertised", "nothing advertised to"),
  },
  pods: { usage: "pods", summary: "pods and their addresses", arity: [0, 0], options: [], run: pods },
  blocks: {
    usage: "blocks",
    summary: "blocks of pod addresses and how full they are",
    arity: [0, 0],
    options: [],
    run: blocks,
  },
  rules: {
    usage: "rules",
    summary: "the kernel's policy rules, ours and others",
    arity: [0, 0],
    options: [],
    run: rules,
  },
  plan: {
    usage: "plan FILE",
    summary: "what a reload with this configuration would change; exit code 1 when it has faults",
    arity: [1, 1],
    options: [],
    run: plan,
  },
  reload: {
    usage: "reload",
    summary: "read the configuration file again; exit code 1 when it is refused, the old one stays in force then",
    arity: [0, 0],
    options: [],
    run: reload,
  },
  watch: {
    usage: "watch [--types T,T]",
    summary: "events as they happen: session, bfd, route, kernel, pod, block",
    arity: [0, 0],
    options: ["types"],
    run: ({ client, output, options }) => watch(client, output, options),
  },
};

/** Throws CliError when a command is called with what it does not take. */
export function checkUsage(name: string, command: Command, positionals: readonly string[], options: Options): void {
  const [least, most] = command.arity;
  const usage = `\nusage: underlayctl ${command.usage}`;
  if (positionals.length < least) throw new CliError(`${name}: an argument is missing${usage}`, 2);
  if (positionals.length > most)
    throw new CliError(`${name}: too many arguments: ${positionals.slice(most).join(" ")}${usage}`, 2);
  for (const option of ["table", "family", "best", "types"] as const)
    if (options[option] !== undefined && !command.options.includes(option))
      throw new CliError(`${name} takes no --${option}${usage}`, 2);
}
