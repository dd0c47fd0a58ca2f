// 50 nodes in processes of their own around a real etcd cluster, each node behind proxies that lose, delay, cut and
// repeat; and the hand that kills, stops and starts all of it.
import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import type { EtcdClient } from "../../../../cni/blocks/etcd/client.ts";
import { startingWith, type WatchEvent } from "../../../../cni/blocks/etcd/kv.ts";
import { Keys } from "../../../../cni/blocks/keys.ts";
import { parseBlock, parseLoan } from "../../../../cni/blocks/records.ts";
import { removeNode } from "../../../../cni/blocks/removal.ts";
import type { ClusterPool } from "../../../../cni/blocks/types.ts";
import { EtcdServer, until } from "../etcd.ts";
import { FaultyProxy } from "../faulty-proxy.ts";
import { type Line, now, readLog } from "./log.ts";
import { type Death, judge, type Verdict } from "./oracle.ts";
import type { NodeReport, WorkerPlan } from "./worker.ts";

export interface SwarmOptions {
  readonly processes: number;
  readonly nodesEach: number;
  readonly racks: number;
  readonly members: number;
  readonly pool: ClusterPool;
  readonly pace: number;
}

interface Group {
  readonly nodes: WorkerPlan["nodes"];
  child: ChildProcess | null;
  stopped: boolean;
}

export class Swarm {
  readonly directory = mkdtempSync(join(tmpdir(), "underlay-swarm-"));
  readonly keys = new Keys();
  readonly groups: Group[] = [];
  readonly proxies: FaultyProxy[][] = [];
  readonly #options: SwarmOptions;
  readonly #deaths: Death[] = [];
  readonly #history: WatchEvent[] = [];
  server!: EtcdServer;
  /** Without faults in between. */
  client!: EtcdClient;

  constructor(options: SwarmOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { processes, nodesEach, racks, members } = this.#options;
    const bundle = build({
      entryPoints: [join(import.meta.dirname, "worker.ts")],
      outfile: join(this.directory, "worker.cjs"),
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node20",
      logLevel: "warning",
    });
    this.server = await EtcdServer.start({ members });
    this.client = this.server.client({ requestTimeout: 15_000 });
    this.client.watch([startingWith(this.keys.root)], 1, {
      onEstablished: () => {},
      onEvents: (events) => this.#history.push(...events),
      onInterrupted: () => {},
      onLost: (reason) => {
        throw new Error(`the oracle has lost revisions: ${reason}`);
      },
    });
    for (let group = 0; group < processes; group++) {
      const nodes: WorkerPlan["nodes"][number][] = [];
      for (let i = 0; i < nodesEach; i++) {
        const index = group * nodesEach + i;
        const proxies = await Promise.all(this.server.members.map(({ client }) => FaultyProxy.start(client)));
        this.proxies.push(proxies);
        const state = join(this.directory, `n${index}`);
        mkdirSync(state);
        nodes.push({
          name: `n${index}`,
          rack: `r${index % racks}`,
          state,
          endpoints: proxies.map(({ endpoint }) => endpoint),
        });
      }
      this.groups.push({ nodes, child: null, stopped: false });
    }
    writeFileSync(this.log, "");
    await bundle;
    for (const group of this.groups) this.boot(group);
  }

  get log(): string {
    return join(this.directory, "log");
  }

  boot(group: Group): void {
    const { pool, pace } = this.#options;
    const plan: WorkerPlan = { log: this.log, pool, nodes: group.nodes, pace };
    group.child = fork(join(this.directory, "worker.cjs"), [JSON.stringify(plan)], { execArgv: [], stdio: "inherit" });
  }

  async kill(group: Group): Promise<void> {
    const { child } = group;
    if (!child) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
    // It has written nothing since; so what it announced has ended by now.
    this.#deaths.push({ t: now(), nodes: group.nodes.map(({ name }) => name) });
    group.child = null;
    group.stopped = false;
  }

  /** As a long pause of its garbage collector. */
  stop(group: Group): void {
    group.child?.kill("SIGSTOP");
    group.stopped = true;
  }

  goOn(group: Group): void {
    group.child?.kill("SIGCONT");
    group.stopped = false;
  }

  /** Seconds. Resolves with how many of them an operator could remove. */
  async remove(nodes: readonly string[], force: boolean, quarantine: number): Promise<number> {
    let removed = 0;
    for (const node of nodes)
      try {
        await removeNode(this.client, this.keys, node, {
          force,
          quarantine,
          timeOfDay: () => new Date().toISOString(),
        });
        removed++;
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    return removed;
  }

  /** As soon as etcd takes them for dead. */
  async removeDead(group: Group): Promise<number> {
    const names = group.nodes.map(({ name }) => name);
    let removed = 0;
    for (const end = Date.now() + 20_000; removed < names.length && Date.now() < end; await sleep(200))
      removed = await this.remove(names, false, 1);
    return removed;
  }

  heal(): void {
    for (const proxy of this.proxies.flat()) proxy.heal();
  }

  counts(): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const { counts } of this.proxies.flat())
      for (const [name, count] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + count;
    return sum;
  }

  lines(): Line[] {
    return readLog(this.log);
  }

  /** Everything heals, nobody does anything any more: what all nodes say, when they have come to agree with etcd. */
  async rest(): Promise<NodeReport[]> {
    this.heal();
    for (const group of this.groups) {
      if (group.stopped) this.goOn(group);
      if (!group.child) this.boot(group);
    }
    await sleep(100);
    for (const { child } of this.groups) child?.send("rest");
    let reports: NodeReport[] = [];
    let difference = "nothing reported";
    const end = Date.now() + 40_000;
    while (difference !== "") {
      if (Date.now() > end) throw new Error(`the swarm does not agree: ${difference}`);
      await sleep(200);
      reports = (await Promise.all(this.groups.map((group) => this.#report(group)))).flat();
      difference = await this.#difference(reports);
    }
    return reports;
  }

  async verdict(): Promise<Verdict> {
    const { revision } = await this.client.range({ key: this.keys.paused }, 1, 0);
    await until(() => (this.#history.at(-1)?.modRevision ?? 0) >= revision - 1, "the oracle has heard everything");
    return judge(this.lines(), this.#deaths, this.#history);
  }

  async end(): Promise<void> {
    for (const group of this.groups) await this.kill(group);
    for (const proxy of this.proxies.flat()) proxy.stop();
    this.client?.close();
    await this.server?.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #report({ child }: Group): Promise<NodeReport[]> {
    return new Promise((resolve) => {
      child!.once("message", (message) => resolve(message as NodeReport[]));
      child!.send("report");
    });
  }

  /** Blocks, loans and identities, as etcd has them and as the nodes have them; "": the same. */
  async #difference(reports: readonly NodeReport[]): Promise<string> {
    const odd = reports.find(({ state }) => state !== "connected");
    if (odd) return `${odd.node} is ${odd.state}: ${odd.reason}`;
    const theirs = new Map<string, string>();
    for (const { node, blocks, loans } of reports) {
      for (const block of blocks) theirs.set(this.keys.block(block), node);
      for (const loan of loans) {
        const [owner, block, address] = loan.split(" ");
        theirs.set(this.keys.lent(owner, block, address), node);
      }
    }
    const { kvs } = await this.client.range(startingWith(this.keys.root), 100_000, 0);
    const here = new Map(kvs.map(({ key, value }) => [key, value]));
    for (const [key, node] of theirs) {
      const value = here.get(key) ?? "{}";
      const { node: owner, state = "confirmed" } = JSON.parse(value);
      if (owner !== node || state !== "confirmed") return `${node} has ${key}, and etcd says ${value}`;
    }
    for (const { key, value } of kvs) {
      const block = key.startsWith(`${this.keys.root}blocks/`) ? parseBlock(value) : null;
      if (block && (block.state === "pending" || block.state === "confirmed") && theirs.get(key) !== block.node)
        return `${key} is ${block.node}'s in etcd, and ${theirs.get(key) ?? "nobody"} has it`;
      const loan = key.includes("/lent/") ? parseLoan(value) : null;
      if (loan && loan.node !== null && loan.node !== loan.owner && theirs.get(key) !== loan.node)
        return `${key} is in the hands of ${loan.node} in etcd, and of ${theirs.get(key) ?? "nobody"}`;
    }
    return "";
  }

  /** Ranges that blocks of more than one rack are in. */
  async mixedRanges(): Promise<string[]> {
    const mixed: string[] = [];
    const racks = new Map<string, Set<string>>();
    for (const family of [4, 6] as const) {
      const { kvs } = await this.client.range(this.keys.blocks(family), 100_000, 0);
      const ranges = await this.client.range(this.keys.racks(family), 100_000, 0);
      const { isIn } = await import("../../../../cni/blocks/space.ts");
      for (const { key, value } of kvs) {
        const block = this.keys.prefixOf(key);
        const range = ranges.kvs.map((kv) => this.keys.prefixOf(kv.key)).find((of) => isIn(block.split("/")[0], of));
        const record = parseBlock(value);
        if (!range) mixed.push(`${block} is in no rack's range`);
        else racks.set(range, (racks.get(range) ?? new Set()).add(record?.rack ?? ""));
      }
    }
    for (const [range, of] of racks) if (of.size > 1) mixed.push(`${range}: ${[...of].join(", ")}`);
    return mixed;
  }
}
