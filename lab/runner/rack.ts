// Runs a topology: a set of namespaces per node, veth pairs for links, then each node's program; and takes it down.
//
//   Topology -> namespaces -> files, sysctls -> links -> `exec` -> programs            up
//   PID 1 of every node killed -> state directory removed                              down
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabLink, LabNode, Topology } from "../clab-types.ts";
import { LabError, splitWords } from "./command.ts";
import { chooseHostRoot, fileTreeScript, type Placement } from "./file-tree.ts";
import { NodeNamespace } from "./node-namespace.ts";
import { type HostPaths, type Program, programFor, type TorProgram } from "./programs.ts";
import { createStateDirectory, removeLeftovers, removeStateDirectory, writeState } from "./state-directory.ts";

export interface RackOptions {
  readonly topology: Topology;
  readonly tor: TorProgram;
  /** Directory of the built files. */
  readonly dist: string;
  readonly userNamespace: boolean;
  /** Told of each step. */
  readonly progress: (step: string) => void;
}

/** Interface index of the first link's first end; the ones before it are for what nodes make themselves. */
const firstIndex = 101;

interface RunningNode {
  readonly definition: LabNode;
  readonly namespace: NodeNamespace;
  readonly program: Program;
  processes: readonly ChildProcess[];
}

export class Rack {
  readonly topology: Topology;
  readonly directory: string;
  readonly #options: RackOptions;
  readonly #nodes = new Map<string, RunningNode>();
  #down = false;

  private constructor(options: RackOptions, directory: string) {
    this.topology = options.topology;
    this.directory = directory;
    this.#options = options;
  }

  /** Brings the rack up. `created` gets it before anything runs, so that an interrupt can take down what is there. */
  static async up(options: RackOptions, created: (rack: Rack) => void): Promise<Rack> {
    checkBinds(options.topology);
    for (const directory of removeLeftovers()) options.progress(`removed ${directory}, left by a lab that was killed`);
    const rack = new Rack(options, createStateDirectory());
    created(rack);
    try {
      await rack.#start();
    } catch (error) {
      await rack.down();
      throw error;
    }
    return rack;
  }

  /** In the topology's order. */
  namesOf(group: string): string[] {
    return [...this.topology.nodes.values()].filter((node) => node.group === group).map(({ name }) => name);
  }

  /** The namespaces of a node; throws when there is none of that name. */
  node(name: string): NodeNamespace {
    return this.#running(name).namespace;
  }

  program(name: string): Program {
    return this.#running(name).program;
  }

  logFile(name: string): string {
    return join(this.directory, `${name}.log`);
  }

  /** The end of what a node's program has written. */
  logTail(name: string, lines = 15): string {
    const file = this.logFile(name);
    return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").slice(-lines).join("\n") : "";
  }

  /** The names of nodes whose program has ended by itself. */
  ended(): string[] {
    return [...this.#nodes.values()]
      .filter(({ processes }) => processes.some((child) => child.exitCode !== null || child.signalCode !== null))
      .map(({ definition }) => definition.name);
  }

  /** As a switch that loses power: no carrier on its links, nothing runs, nothing is remembered. */
  async powerOff(name: string): Promise<void> {
    const node = this.#running(name);
    node.processes = [];
    await node.namespace.ipBatch(this.#interfacesOf(name).map((port) => `link set ${port} down`));
    await node.namespace.killAll();
    await node.namespace.script(
      "for d in /run/*/; do [ $d = /run/netns/ ] || rm -rf $d; done; ip route flush proto bgp; ip -6 route flush proto bgp",
    );
  }

  async powerOn(name: string): Promise<void> {
    const node = this.#running(name);
    await node.namespace.ipBatch(this.#interfacesOf(name).map((port) => `link set ${port} up`));
    await this.#startProgram(node);
  }

  /** Takes everything away; may be called more than once. */
  async down(): Promise<void> {
    if (this.#down) return;
    this.#down = true;
    await Promise.allSettled([...this.#nodes.values()].map(({ namespace }) => namespace.destroy()));
    removeStateDirectory(this.directory);
  }

  async #start(): Promise<void> {
    const { topology, tor, dist, userNamespace, progress } = this.#options;
    const definitions = [...topology.nodes.values()];
    const host: HostPaths = {
      hostRoot: chooseHostRoot([dist, process.execPath, topology.file], existsSync),
      node: process.execPath,
      dist,
    };
    progress(`${definitions.length} nodes: namespaces, files, sysctls`);
    await Promise.all(
      definitions.map(async (definition) => {
        const program = programFor(topology, definition, tor, host);
        const namespace = await NodeNamespace.create(definition.name, definition.env);
        this.#nodes.set(definition.name, { definition, namespace, program, processes: [] });
        if (this.#down) return await namespace.destroy();
        await namespace.script(
          fileTreeScript({
            hostRoot: host.hostRoot,
            hostname: definition.name,
            placements: [...this.#binds(definition, program), ...program.placements],
          }) + sysctlScript(definition.sysctls),
        );
      }),
    );
    this.#stopIfDown();
    writeState(this.directory, {
      name: topology.name,
      userNamespace,
      nodes: Object.fromEntries([...this.#nodes].map(([name, { namespace }]) => [name, namespace.pid])),
    });
    progress(`${topology.links.length} links`);
    await this.#addLinks(topology.links);
    progress("addresses and programs");
    await Promise.all(
      [...this.#nodes.values()].map(async (node) => {
        for (const line of node.definition.exec) await node.namespace.mustRun(splitWords(line));
        this.#stopIfDown();
        await this.#startProgram(node);
      }),
    );
    this.#stopIfDown();
  }

  /** A ToR that runs another program than the topology says is not given the files of its own one. */
  #binds(definition: LabNode, program: Program): Placement[] {
    const replaced = definition.group === "tor" && program.name !== "frr";
    return definition.binds
      .filter(({ target }) => !(replaced && target.startsWith("/etc/frr/")))
      .map((bind) => ({ kind: "bind", ...bind }));
  }

  async #addLinks(links: readonly LabLink[]): Promise<void> {
    const byNode = new Map<string, string[]>();
    const add = (node: string, line: string) => byNode.set(node, [...(byNode.get(node) ?? []), line]);
    for (const [number, { endpoints, mtu }] of links.entries()) {
      const [a, b] = endpoints;
      const size = mtu === null ? "" : `mtu ${mtu} `;
      // Both ends have an index of their own. Where they are alike, the kernel takes the device for one that stands
      // alone, and may tell of a lost carrier up to a second late.
      const index = firstIndex + 2 * number;
      const peer = `peer name ${b.interface} index ${index + 1} ${size}netns ${this.node(b.node).pid}`;
      add(a.node, `link add ${a.interface} index ${index} ${size}type veth ${peer}`);
    }
    for (const [name, lines] of byNode) await this.node(name).ipBatch(lines);
    for (const name of this.#nodes.keys()) {
      const ports = ["lo", ...this.#interfacesOf(name)];
      await this.node(name).ipBatch(ports.map((port) => `link set ${port} up`));
    }
  }

  #interfacesOf(name: string): string[] {
    return this.topology.links.flatMap(({ endpoints }) =>
      endpoints.filter((end) => end.node === name).map((end) => end.interface),
    );
  }

  async #startProgram(node: RunningNode): Promise<void> {
    try {
      node.processes = await node.program.start(node.namespace, this.logFile(node.definition.name));
    } catch (error) {
      const tail = this.logTail(node.definition.name);
      throw new LabError(`${(error as Error).message}${tail ? `\n${tail}` : ""}`);
    }
  }

  #running(name: string): RunningNode {
    const node = this.#nodes.get(name);
    if (!node) throw new LabError(`there is no node "${name}"; nodes: ${[...this.#nodes.keys()].join(", ")}`);
    return node;
  }

  #stopIfDown(): void {
    if (this.#down) throw new LabError("interrupted");
  }
}

function checkBinds(topology: Topology): void {
  for (const { name, binds } of topology.nodes.values()) {
    for (const { source } of binds)
      if (!existsSync(source)) throw new LabError(`${topology.file}: node ${name} binds ${source}, which is missing`);
  }
}

/** Sysctl names with dots become paths; a value that cannot be set is an error that names it. */
function sysctlScript(sysctls: Readonly<Record<string, string>>): string {
  return Object.entries(sysctls)
    .map(([name, value]) => {
      const path = `/proc/sys/${name.replaceAll(".", "/")}`;
      return `echo '${value.replaceAll("'", "")}' > ${path} || { echo "sysctl ${name} cannot be set" >&2; exit 1; }\n`;
    })
    .join("");
}
