// One process of the swarm: several nodes, each with the real source, client and copy on the disk, doing what daemons
// do at random. In: its plan as an argument, and a message that asks for a report. Out: log lines, and the report.
import { openSync } from "node:fs";
import { join } from "node:path";
import { EtcdClient } from "../../../../cni/blocks/etcd/client.ts";
import { LOCAL_COPY_FILE, LocalFile } from "../../../../cni/blocks/local-copy.ts";
import { EtcdBlockSource } from "../../../../cni/blocks/source.ts";
import { addressesOf, isIn } from "../../../../cni/blocks/space.ts";
import { BlockSourceError, type ClusterPool, type OwnedBlock } from "../../../../cni/blocks/types.ts";
import { SwarmLog } from "./log.ts";

export interface WorkerPlan {
  readonly log: string;
  readonly pool: ClusterPool;
  readonly nodes: readonly {
    readonly name: string;
    readonly rack: string;
    readonly state: string;
    readonly endpoints: string[];
  }[];
  /** Milliseconds between two deeds of a node, on average. */
  readonly pace: number;
}

export interface NodeReport {
  readonly node: string;
  readonly state: string;
  readonly reason: string | null;
  readonly blocks: readonly string[];
  readonly loans: readonly string[];
  readonly identities: readonly string[];
}

const plan: WorkerPlan = JSON.parse(process.argv[2]);
const log = new SwarmLog(openSync(plan.log, "a"));
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)];
let resting = false;

class Node {
  readonly name: string;
  readonly source: EtcdBlockSource;
  /** Announced blocks. */
  readonly #announced = new Set<string>();
  /** Addresses of pods. */
  readonly #taken = new Set<string>();

  constructor({ name, rack, state, endpoints }: WorkerPlan["nodes"][number]) {
    this.name = name;
    const none = { ca: null, cert: null, key: null };
    this.source = new EtcdBlockSource(
      {
        node: name,
        identity: `machine-${name}`,
        rack,
        pools: [plan.pool],
        startWait: 60_000,
        syncInterval: 4000,
        leaseTime: 3,
      },
      {
        etcd: new EtcdClient({
          endpoints,
          tls: () => none,
          user: () => null,
          attemptTimeout: 400,
          requestTimeout: 2000,
        }),
        store: new LocalFile(join(state, LOCAL_COPY_FILE)),
      },
    );
    this.source.onChange((change) => {
      if (change.kind === "block-gained") this.#announce(change.block.prefix, "gained");
      else if (change.kind === "block-lost") {
        for (const address of this.#in(change.block)) this.#release(address);
        this.#withdraw(change.block.prefix, change.reason);
      } else if (change.kind === "loan-lost") this.#release(change.loan.address);
      else if (change.kind === "identity-lost") for (const address of change.identity.addresses) this.#release(address);
      else if (change.kind === "state")
        log.write({ node: name, kind: "state", what: `${change.state.kind} ${change.state.reason ?? ""}` });
    });
  }

  async run(): Promise<void> {
    await this.source.start();
    log.write({ node: this.name, kind: "boot", what: this.source.state.kind });
    for (const { prefix } of this.source.blocks()) this.#announce(prefix, "boot");
    // Their pods live on.
    for (const { address } of this.source.loans()) this.#take(address);
    for (const { addresses } of this.source.held()) for (const address of addresses) this.#take(address);
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, plan.pace * (0.5 + Math.random())));
      if (resting) continue;
      await this.#deed().catch((error) => {
        if (!(error instanceof BlockSourceError)) throw error;
        log.write({ node: this.name, kind: "refused", what: error.code });
      });
    }
  }

  report(): NodeReport {
    const { source } = this;
    return {
      node: this.name,
      state: source.state.kind,
      reason: source.state.reason,
      blocks: source.blocks().map(({ prefix }) => prefix),
      loans: source.loans().map(({ owner, block, address }) => `${owner} ${block} ${address}`),
      identities: source.held().map(({ namespace, name }) => `${namespace}/${name}`),
    };
  }

  async #deed(): Promise<void> {
    const { source } = this;
    const blocks = source.blocks();
    const die = Math.random();
    const family = Math.random() < 0.75 ? 4 : 6;
    const identity = { pool: plan.pool.name, namespace: "swarm", name: `web-${Math.floor(Math.random() * 20)}` };
    if (blocks.filter((block) => block.family === family).length === 0 || die < 0.2)
      await source.want(plan.pool.name, family);
    else if (die < 0.35) await this.#giveBack(pick(blocks));
    else if (die < 0.45) {
      const { address } = await source.borrow(plan.pool.name, family);
      this.#take(address);
    } else if (die < 0.53) {
      // Those that come with an identity go with it.
      const kept = new Set(source.held().flatMap(({ addresses }) => addresses));
      const loan = source.loans().find(({ address }) => !kept.has(address));
      if (!loan) return;
      this.#release(loan.address);
      await source.giveBackLoan(loan.address);
    } else if (die < 0.6) {
      const address = this.#free(pick(blocks));
      if (address === null) return;
      const result = await source.hold(identity, [address]);
      if (result.kind !== "held") return;
      for (const held of result.addresses) this.#take(held);
    } else if (die < 0.68) {
      const held = source.held()[0];
      if (!held) return;
      for (const address of held.addresses) this.#release(address);
      await source.letGo(held);
    } else if (die < 0.7) {
      const held = source.held()[0];
      if (!held) return;
      for (const address of held.addresses) this.#release(address);
      await source.forget(held);
    } else if (die < 0.9) {
      const address = this.#free(pick(blocks));
      if (address !== null) this.#take(address);
    } else {
      const kept = new Set([
        ...source.loans().map(({ address }) => address),
        ...source.held().flatMap(({ addresses }) => addresses),
      ]);
      const own = [...this.#taken].filter((address) => !kept.has(address));
      if (own.length > 0) this.#release(pick(own));
    }
  }

  /** In the order of a daemon: pods, neighbours, then etcd. */
  async #giveBack(block: OwnedBlock): Promise<void> {
    const inUse = this.#in(block);
    if (inUse.length > 0) {
      // Now and then all its pods end.
      if (Math.random() < 0.5) for (const address of inUse) if (!this.#isKept(address)) this.#release(address);
      return;
    }
    this.#withdraw(block.prefix, "given back");
    try {
      await this.source.giveBack(block.prefix);
    } catch (error) {
      if (this.source.blocks().some(({ prefix }) => prefix === block.prefix)) this.#announce(block.prefix, "kept");
      throw error;
    }
  }

  /** As an allocator: what is lent or reserved is nobody's to hand out here. */
  #free(block: OwnedBlock): string | null {
    if (!this.#announced.has(block.prefix)) return null;
    const reserved = new Set(this.source.reserved());
    for (const address of addressesOf(block.prefix)) {
      if (block.lend !== null && isIn(address, block.lend)) continue;
      if (!reserved.has(address) && !this.#taken.has(address)) return address;
    }
    return null;
  }

  #isKept(address: string): boolean {
    return this.source.held().some(({ addresses }) => addresses.includes(address));
  }

  #in({ prefix }: OwnedBlock): string[] {
    return [...this.#taken].filter((address) => isIn(address, prefix));
  }

  #announce(prefix: string, why: string): void {
    if (this.#announced.has(prefix)) return;
    this.#announced.add(prefix);
    log.write({ node: this.name, kind: "announce", what: prefix, why });
  }

  #withdraw(prefix: string, why: string): void {
    if (!this.#announced.delete(prefix)) return;
    log.write({ node: this.name, kind: "withdraw", what: prefix, why });
  }

  #take(address: string): void {
    if (this.#taken.has(address)) return;
    this.#taken.add(address);
    log.write({ node: this.name, kind: "take", what: address });
  }

  #release(address: string): void {
    if (!this.#taken.delete(address)) return;
    log.write({ node: this.name, kind: "release", what: address });
  }
}

const nodes = plan.nodes.map((node) => new Node(node));
process.on("message", (message) => {
  if (message === "rest") resting = true;
  if (message === "report") process.send!(nodes.map((node) => node.report()));
});
for (const node of nodes)
  node.run().catch((error) => {
    log.write({ node: node.name, kind: "state", what: `died: ${error.stack}` });
    process.exit(1);
  });
