// The commands there are, and what each takes. All return the exit code.
import type { KernelRule } from "../routing/types.ts";
import { CliError, type Client } from "./client.ts";
import { type CniOptions, cni, cniOptions } from "./cni.ts";
import { doctor } from "./doctor.ts";
import { drain, shutdown, undrain } from "./drain.ts";
import { dump } from "./dump.ts";
import { type ExplainOptions, explain, explainOptions } from "./explain.ts";
import { history } from "./history.ts";
import { type HistoryOptions, historyOptions } from "./history-options.ts";
import { blocks, pods, pools } from "./ipam.ts";
import { simpleList } from "./lists.ts";
import { nodes } from "./nodes.ts";
import type { Output } from "./output.ts";
import { peers } from "./peers.ts";
import { policy } from "./policy.ts";
import { type PolicyOptions, policyOptions } from "./policy-options.ts";
import { plan, reload } from "./reload.ts";
import { peerRoutes, routes } from "./routes.ts";
import { refresh, reset } from "./session.ts";
import { status } from "./status.ts";
import { uninstall } from "./uninstall.ts";
import { watch } from "./watch.ts";

export interface Options extends PolicyOptions, HistoryOptions, ExplainOptions, CniOptions {
  readonly json: boolean;
  readonly table?: string;
  readonly family?: string;
  readonly best?: boolean;
  readonly why?: boolean;
  readonly types?: string;
  readonly wait?: string;
  readonly state?: string;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly quarantine?: string;
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
    usage: "routes [PREFIX] [--table T] [--family F] [--best] [--why]",
    summary: "routes in use and their alternatives; PREFIX: an address (longest match) or a prefix",
    arity: [0, 1],
    options: ["table", "family", "best", "why"],
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
  refresh: {
    usage: "refresh PEER [--family F]",
    summary: "ask a neighbour to send its routes again (soft in); the session stays",
    arity: [1, 1],
    options: ["family"],
    run: refresh,
  },
  reset: {
    usage: "reset PEER [REASON]",
    summary: "end a session (Cease/4) and begin it again at once; the neighbour is told REASON",
    arity: [1, 64],
    options: [],
    run: reset,
  },
  drain: {
    usage: "drain [PEER] [--wait SECONDS]",
    summary:
      "take the node, or one neighbour, out of service: traffic moves first (RFC 8326), then routes are withdrawn",
    arity: [0, 1],
    options: ["wait"],
    run: drain,
  },
  undrain: {
    usage: "undrain [PEER]",
    summary: "bring the node, or the neighbour, back into service",
    arity: [0, 1],
    options: [],
    run: undrain,
  },
  shutdown: {
    usage: "shutdown",
    summary: "withdraw everything and end the daemon, before a reboot; routes and pods stay in the kernel",
    arity: [0, 0],
    options: [],
    run: shutdown,
  },
  uninstall: {
    usage: "uninstall [--yes] [--force] [--config FILE]",
    summary:
      "remove everything that underlayd has made on this node, with or without a daemon; --force: although there are pods",
    arity: [0, 0],
    options: ["yes", "force", "config"],
    run: uninstall,
  },
  cni: {
    usage: "cni install [--chain P,P], cni uninstall",
    summary: "put the plugin and its network configuration where container runtimes look, or take both away",
    arity: [1, 1],
    options: [...(Object.keys(cniOptions) as (keyof CniOptions)[]), "force", "config"],
    run: cni,
  },
  pods: {
    usage: "pods, pods inspect, pods verify, pods repair",
    summary: "pods and their addresses; inspect, verify, repair: the journal of allocations, without a daemon too",
    arity: [0, 1],
    options: ["state", "config", "yes"],
    run: pods,
  },
  blocks: {
    usage: "blocks [PREFIX], blocks inspect, blocks verify, blocks repair",
    summary:
      "blocks of pod addresses and how full they are; PREFIX: a block or an address, and whose its addresses are",
    arity: [0, 1],
    options: ["state", "config", "yes"],
    run: blocks,
  },
  pools: {
    usage: "pools",
    summary: "pools of pod addresses, how full they are, and which are nearly exhausted",
    arity: [0, 0],
    options: [],
    run: pools,
  },
  nodes: {
    usage: "nodes, nodes remove NODE [--yes] [--force] [--quarantine SECONDS], nodes define-pools [--yes]",
    summary:
      "nodes that share pools in etcd, and their blocks; remove: one that does not come back, its blocks go to others; define-pools: this node's definitions count from now on",
    arity: [0, 2],
    options: ["yes", "force", "quarantine"],
    run: nodes,
  },
  rules: {
    usage: "rules",
    summary: "the kernel's policy rules, ours and others",
    arity: [0, 0],
    options: [],
    run: rules,
  },
  explain: {
    usage: "explain SRC DST [--iif I] [--mark M]",
    summary: "where a packet goes and why, rule by rule; SRC any: not chosen yet; exit code 1 when it goes nowhere",
    arity: [2, 2],
    options: Object.keys(explainOptions) as (keyof ExplainOptions)[],
    run: explain,
  },
  doctor: {
    usage: "doctor [--config FILE]",
    summary: "checks everything against everything else; exit code 1 when something is at fault",
    arity: [0, 0],
    options: ["config"],
    run: doctor,
  },
  plan: {
    usage: "plan FILE",
    summary: "what a reload with this configuration would change; exit code 1 when it has faults",
    arity: [1, 1],
    options: [],
    run: plan,
  },
  dump: {
    usage: "dump FILE",
    summary: "write everything that neighbours have told to an MRT file (TABLE_DUMP_V2)",
    arity: [1, 1],
    options: [],
    run: dump,
  },
  reload: {
    usage: "reload",
    summary: "read the configuration file again; exit code 1 when it is refused, the old one stays in force then",
    arity: [0, 0],
    options: [],
    run: reload,
  },
  policy: {
    usage: "policy test NAME PREFIX, policy list",
    summary: "what a policy does to a route, statement by statement; exit code 0 accepted, 1 rejected",
    arity: [1, 3],
    options: Object.keys(policyOptions) as (keyof PolicyOptions)[],
    run: policy,
  },
  watch: {
    usage: "watch [--types T,T]",
    summary: "events as they happen: sessions, routes, every write to the kernel, pods, CNI calls, problems",
    arity: [0, 0],
    options: ["types"],
    run: ({ client, output, options }) => watch(client, output, options),
  },
  history: {
    usage: "history [--since T] [--until T]",
    summary: "what happened, from the flight recorder's files; no daemon is needed; --at T: how everything was then",
    arity: [0, 0],
    options: [...(Object.keys(historyOptions) as (keyof HistoryOptions)[]), "types", "peer"],
    run: history,
  },
};

/** Options that every command takes. */
const general: readonly string[] = ["json", "socket", "help", "version"];

/** Throws CliError when a command is called with what it does not take. */
export function checkUsage(name: string, command: Command, positionals: readonly string[], options: Options): void {
  const [least, most] = command.arity;
  const usage = `\nusage: underlayctl ${command.usage}`;
  if (positionals.length < least) throw new CliError(`${name}: an argument is missing${usage}`, 2);
  if (positionals.length > most)
    throw new CliError(`${name}: too many arguments: ${positionals.slice(most).join(" ")}${usage}`, 2);
  for (const [option, value] of Object.entries(options))
    if (value !== undefined && !general.includes(option) && !command.options.includes(option as keyof Options))
      throw new CliError(`${name} takes no --${option}${usage}`, 2);
}
