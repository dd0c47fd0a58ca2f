// What can run on a node: how its files get there, how it is started, and what it needs from the host.
//
// A node runs what its image stands for (FRR for a ToR, underlayd for a node); for the ToRs another program can be
// chosen, whose configuration lies beside the topology's own: <topology>/<node>/{underlay.yaml,bird.conf,gobgpd.toml}.
import type { ChildProcess } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LabNode, Topology } from "../clab-types.ts";
import { LabError, quote, sleep, splitWords } from "./command.ts";
import type { Placement } from "./file-tree.ts";
import type { NodeNamespace } from "./node-namespace.ts";

export const torPrograms = ["underlay", "frr", "bird", "gobgp"] as const;
export type TorProgram = (typeof torPrograms)[number];
export type ProgramName = TorProgram | "command" | "none";

export interface Program {
  readonly name: ProgramName;
  readonly title: string;
  readonly placements: readonly Placement[];
  /** Starts it and waits until it can be spoken to; the processes are expected to stay. */
  start(node: NodeNamespace, logFile: string): Promise<readonly ChildProcess[]>;
}

/** Where the host's Node and the built files are, for scripts inside nodes. */
export interface HostPaths {
  readonly hostRoot: string;
  readonly node: string;
  readonly dist: string;
}

/** What a node's image, command or the chosen ToR program make it run. */
export function programFor(topology: Topology, node: LabNode, tor: TorProgram, host: HostPaths): Program {
  if (node.group === "tor" && tor !== "frr") return replacements[tor](topology, node, host);
  if (node.cmd !== null) return command(splitWords(node.cmd));
  const image = node.image ?? "";
  if (/frr/.test(image)) return frr;
  if (/underlay/.test(image)) return underlay([], host);
  return { name: "none", title: "nothing", placements: [], start: async () => [] };
}

const replacements: Record<Exclude<TorProgram, "frr">, (t: Topology, n: LabNode, h: HostPaths) => Program> = {
  underlay: (topology, node, host) =>
    underlay([besideTopology(topology, node, "underlay.yaml", "/etc/underlay/underlay.yaml")], host),
  bird: (topology, node) => bird([besideTopology(topology, node, "bird.conf", "/etc/bird/bird.conf")]),
  gobgp: (topology, node, host) =>
    gobgp([besideTopology(topology, node, "gobgpd.toml", "/etc/gobgp/gobgpd.toml")], host),
};

function besideTopology(topology: Topology, node: LabNode, file: string, target: string): Placement {
  const source = join(dirname(topology.file), topology.name, node.name, file);
  if (!existsSync(source)) throw new LabError(`${source}: missing; it says what ${node.name} does as this program`);
  return { kind: "bind", source, target, readOnly: true };
}

/** A script that runs one of our bundles with the host's Node, wherever both are installed. */
function nodeScript(host: HostPaths, bundle: string, target: string): Placement {
  const words = [`${host.hostRoot}${host.node}`, `${host.hostRoot}${join(host.dist, bundle)}`].map(quote);
  return { kind: "script", text: `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`, target };
}

/** underlayctl, underlayd and the CNI plugin where packages put them. */
function underlay(extra: readonly Placement[], host: HostPaths): Program {
  return {
    name: "underlay",
    title: "underlayd",
    placements: [
      ...extra,
      nodeScript(host, "underlayd.cjs", "/usr/local/bin/underlayd"),
      nodeScript(host, "underlayctl.cjs", "/usr/local/bin/underlayctl"),
      { kind: "link", source: join(host.dist, "underlay"), target: "/opt/cni/bin/underlay" },
    ],
    start: async (node, logFile) => [
      spawnLogged(node, ["underlayd", "--config", "/etc/underlay/underlay.yaml"], logFile),
    ],
  };
}

const frr: Program = {
  name: "frr",
  title: "FRR",
  placements: [],
  start: async (node) => {
    // Both are what the package's installation and systemd prepare.
    await node.script("install -d -o frr -g frr /run/frr /var/log/frr /var/tmp/frr; chown frr:frr /etc/frr || :");
    await node.mustRun(["/usr/lib/frr/frrinit.sh", "start"]);
    return [];
  },
};

function bird(placements: readonly Placement[]): Program {
  return {
    name: "bird",
    title: "BIRD",
    placements,
    start: async (node, logFile) => {
      await node.script("mkdir -p /run/bird");
      return [spawnLogged(node, ["bird", "-f", "-c", "/etc/bird/bird.conf"], logFile)];
    },
  };
}

/** GoBGP holds routes only; a helper of the lab's follows its best paths and writes them into the kernel. */
function gobgp(placements: readonly Placement[], host: HostPaths): Program {
  return {
    name: "gobgp",
    title: "GoBGP",
    placements: [...placements, nodeScript(host, "lab.cjs", "/usr/local/bin/underlay-lab")],
    start: async (node, logFile) => {
      const daemon = spawnLogged(
        node,
        ["gobgpd", "-p", "--pprof-disable", "--api-hosts", "127.0.0.1:50051", "-f", "/etc/gobgp/gobgpd.toml"],
        logFile,
      );
      for (const [family, prefix] of await originated(node)) {
        await untilAnswering(() => node.mustRun(["gobgp", "global", "rib", "add", prefix, "-a", family]));
      }
      return [daemon, spawnLogged(node, ["underlay-lab", "gobgp-fib"], logFile)];
    },
  };
}

/** GoBGP's configuration file cannot originate routes: what this switch announces stands in `# originate` lines. */
async function originated(node: NodeNamespace): Promise<[string, string][]> {
  const text = await node.mustRun(["cat", "/etc/gobgp/gobgpd.toml"]);
  return [...text.matchAll(/^# originate (\S+)$/gm)].map(([, prefix]) => [
    prefix.includes(":") ? "ipv6" : "ipv4",
    prefix,
  ]);
}

async function untilAnswering(attempt: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (tries === 50) throw error;
      await sleep(100);
    }
  }
}

function command(argv: readonly string[]): Program {
  return {
    name: "command",
    title: argv[0],
    placements: [],
    start: async (node, logFile) => [spawnLogged(node, argv, logFile)],
  };
}

function spawnLogged(node: NodeNamespace, argv: readonly string[], logFile: string): ChildProcess {
  const log = openSync(logFile, "a");
  return node.spawn(argv, { stdio: ["ignore", log, log] });
}
