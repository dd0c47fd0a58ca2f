// A cluster of nodes around one simulated etcd, with an oracle that looks after every step at what all of them hold.

import { Keys } from "../../../../cni/blocks/keys.ts";
import { EMPTY_COPY, type LocalCopy, type LocalStore, parseLocalCopy } from "../../../../cni/blocks/local-copy.ts";
import { putPool } from "../../../../cni/blocks/pool-records.ts";
import { parseBlock, parseRemoved } from "../../../../cni/blocks/records.ts";
import { removeNode } from "../../../../cni/blocks/removal.ts";
import { EtcdBlockSource } from "../../../../cni/blocks/source.ts";
import { isIn } from "../../../../cni/blocks/space.ts";
import type { ClusterPool } from "../../../../cni/blocks/types.ts";
import { overlaps, prefix } from "../../../../net/prefix.ts";
import { type Faults, SimulatedConnection, SimulatedEtcd } from "./simulated-etcd.ts";
import { ProcessClock, World } from "./time.ts";

export const POOL: ClusterPool = {
  name: "default",
  cidrs: ["10.0.0.0/26", "2001:db8::/120"],
  blockSize: { 4: 29, 6: 125 },
  exclude: ["10.0.0.8/29", "10.0.0.17"],
  rackSize: { 4: 28, 6: 123 },
  racks: {},
  lend: 2,
  maxBlocks: 3,
};

/** A disk: what is written is there after a crash; what is being written may be. */
class Disk implements LocalStore {
  readonly #random: () => number;
  content: string = JSON.stringify({ version: 1, ...EMPTY_COPY });
  clock: ProcessClock | null = null;
  writes = 0;
  #parsed: { readonly of: string; readonly copy: LocalCopy } | null = null;

  get copy(): LocalCopy {
    if (this.#parsed?.of !== this.content) this.#parsed = { of: this.content, copy: parseLocalCopy(this.content)! };
    return this.#parsed!.copy;
  }

  constructor(random: () => number) {
    this.#random = random;
  }

  load(): Promise<LocalCopy> {
    return Promise.resolve(parseLocalCopy(this.content)!);
  }

  save(copy: LocalCopy): Promise<void> {
    const { clock } = this;
    const text = JSON.stringify({ version: 1, ...copy });
    return new Promise((resolve) => {
      const half = this.#random() * 5;
      clock!.after(half, () => {
        this.content = text;
        this.writes++;
        clock!.after(half, resolve);
      });
    });
  }
}

export class SimulatedNode {
  readonly name: string;
  readonly rack: string | null;
  readonly disk: Disk;
  readonly faults: Faults = { loseRequest: 0, loseAnswer: 0, twice: 0, delay: 20, cut: false };
  clock: ProcessClock | null = null;
  source: EtcdBlockSource | null = null;
  started = false;
  /** An operator has said that it will not come back, or only with etcd in reach. */
  removed = false;

  constructor(name: string, rack: string | null, random: () => number) {
    this.name = name;
    this.rack = rack;
    this.disk = new Disk(random);
  }
}

export class Cluster {
  readonly world = new World();
  readonly etcd = new SimulatedEtcd(this.world);
  readonly keys = new Keys();
  readonly nodes: SimulatedNode[];
  readonly random: () => number;
  readonly pool: ClusterPool;
  /** What etcd says is not the measure, until everybody has put back what it has. */
  wiped = false;
  claims = 0;
  steps = 0;
  #id = 0;
  #changes = 0;
  #checked = "";

  constructor(random: () => number, pool: ClusterPool, racks: readonly (string | null)[]) {
    this.random = random;
    this.pool = pool;
    this.nodes = racks.map((rack, i) => new SimulatedNode(`n${i}`, rack, random));
  }

  /** `startWait`: Infinity when etcd has to be asked first. */
  boot(node: SimulatedNode, wait: number): void {
    const startWait = node.removed ? Number.POSITIVE_INFINITY : wait;
    const clock = new ProcessClock(this.world);
    node.clock = clock;
    node.disk.clock = clock;
    node.started = false;
    const source = new EtcdBlockSource(
      {
        node: node.name,
        identity: `machine-${node.name}`,
        rack: node.rack,
        pools: [this.pool],
        startWait,
        syncInterval: 20_000,
        leaseTime: 15,
      },
      {
        etcd: new SimulatedConnection(this.world, this.etcd, clock, node.faults, this.random),
        store: node.disk,
        clock,
        random: this.random,
        newId: () => `id${this.#id++}`,
        timeOfDay: () => String(this.world.now),
      },
    );
    node.source = source;
    source.onChange(({ kind }) => {
      this.#changes++;
      if (kind === "block-gained") this.claims++;
    });
    void source.start().then(() => {
      node.started = true;
      if (source.state.kind === "connected") node.removed = false;
      this.#changes++;
    });
  }

  kill(node: SimulatedNode): void {
    if (node.clock) node.clock.dead = true;
    this.#changes++;
    node.clock = null;
    node.source = null;
    node.started = false;
  }

  /** By an operator whose own connection is sound. */
  async remove(node: SimulatedNode, force: boolean): Promise<void> {
    const clock = new ProcessClock(this.world);
    const sound: Faults = { loseRequest: 0, loseAnswer: 0, twice: 0, delay: 2, cut: false };
    const connection = new SimulatedConnection(this.world, this.etcd, clock, sound, this.random);
    node.removed = !force;
    const options = { force, quarantine: 60, timeOfDay: () => String(this.world.now) };
    await removeNode(connection, this.keys, node.name, options).catch((error) => {
      if (!(error instanceof RangeError)) throw error;
    });
  }

  /** By an operator: from now on blocks have another size, or other addresses are excluded. */
  async editPool(): Promise<void> {
    const clock = new ProcessClock(this.world);
    const sound: Faults = { loseRequest: 0, loseAnswer: 0, twice: 0, delay: 2, cut: false };
    const connection = new SimulatedConnection(this.world, this.etcd, clock, sound, this.random);
    const blockSize = { 4: this.random() < 0.5 ? 29 : 28, 6: 125 };
    const exclude = this.random() < 0.5 ? this.pool.exclude : ["10.0.0.32-10.0.0.50"];
    await putPool(connection, this.keys, { ...this.pool, blockSize, exclude });
  }

  /**
   * etcd loses everything, and the operator does as docs/etcd.md says: claims are paused until every node has put back
   * what it has.
   */
  async wipe(): Promise<void> {
    this.wiped = true;
    this.etcd.wipe([{ key: this.keys.paused, value: "restore" }]);
    for (const node of this.nodes) {
      Object.assign(node.faults, { loseRequest: 0, loseAnswer: 0, twice: 0, cut: false });
      if (!node.source) this.boot(node, Number.POSITIVE_INFINITY);
    }
    await this.run(this.world.now + 100_000);
    this.etcd.txn({ compare: [], success: [{ remove: { key: this.keys.paused } }], failure: [] });
    this.wiped = false;
    this.check();
    this.checkQuiet();
  }

  async run(until: number): Promise<void> {
    while (await this.world.step(until)) {
      this.steps++;
      // Nothing to look at where nothing has changed.
      const now = [this.#changes, this.etcd.revision, ...this.nodes.map(({ disk }) => disk.writes)].join();
      if (now !== this.#checked) this.check();
      this.#checked = now;
    }
  }

  /** Throws when something is not as it must be. */
  check(): void {
    const held: { node: SimulatedNode; prefix: string }[] = [];
    const hands = new Map<string, SimulatedNode>();
    for (const node of this.nodes) {
      const copy = node.disk.copy;
      const removed = this.etcd.keys.get(this.keys.removed(node.name));
      const lost = removed && parseRemoved(removed.value)?.registration === copy.registration;
      const registration = this.etcd.keys.get(this.keys.registration(node.name));
      // A node that does not run announces nothing. One that has been removed finds out before its quarantine is over.
      if (!lost)
        for (const { prefix } of copy.blocks) {
          held.push({ node, prefix });
          const record = parseBlock(this.etcd.keys.get(this.keys.block(prefix))?.value ?? "");
          if (!this.wiped && registration && (record?.node !== node.name || record.state === "pending"))
            throw new Error(`${node.name} has ${prefix} on its disk, and etcd says ${JSON.stringify(record)}`);
        }
      if (!node.started || !node.source) continue;
      for (const { prefix } of node.source.blocks()) {
        const record = parseBlock(this.etcd.keys.get(this.keys.block(prefix))?.value ?? "");
        if (!this.wiped && (record?.node !== node.name || record.state === "pending"))
          throw new Error(`${node.name} may announce ${prefix}, and etcd says ${JSON.stringify(record)}`);
      }
      const mine = [
        ...node.source.loans().map(({ address }) => address),
        ...node.source.held().flatMap(({ addresses }) => addresses),
      ];
      for (const address of new Set(mine)) {
        const other = hands.get(address);
        if (other) throw new Error(`${address} is in the hands of ${other.name} and ${node.name}`);
        hands.set(address, node);
      }
    }
    for (let i = 0; i < held.length; i++)
      for (let j = 0; j < i; j++)
        if (overlaps(prefix(held[i].prefix), prefix(held[j].prefix)))
          throw new Error(`${held[j].node.name} has ${held[j].prefix} and ${held[i].node.name} has ${held[i].prefix}`);
    for (const [address, node] of hands)
      for (const owner of this.nodes) {
        if (owner === node || !owner.source || !owner.started) continue;
        const block = owner.source.blocks().find((own) => isIn(address, own.prefix));
        if (!block || (block.lend !== null && isIn(address, block.lend))) continue;
        if (!owner.source.reserved().includes(address))
          throw new Error(`${owner.name} may give ${address} of ${block.prefix} to a pod, and ${node.name} has it`);
      }
  }

  /** After all faults have ended: everybody agrees, and nothing has leaked. */
  checkQuiet(): void {
    const expected = new Map<string, string>();
    for (const node of this.nodes) {
      if (node.source?.state.kind !== "connected")
        throw new Error(`${node.name} is ${node.source?.state.kind}: ${node.source?.state.reason}`);
      for (const { prefix } of node.source.blocks()) expected.set(this.keys.block(prefix), node.name);
      for (const loan of node.source.loans())
        expected.set(this.keys.lent(loan.owner, loan.block, loan.address), node.name);
    }
    for (const [key, { value }] of this.etcd.keys) {
      const record = parseBlock(value);
      if (!key.startsWith(`${this.keys.root}blocks/`) || !record) continue;
      if (record.state === "confirmed" || record.state === "pending") {
        if (expected.get(key) !== record.node) throw new Error(`${key} has leaked: ${value}`);
      }
    }
    for (const [key, node] of expected) {
      const value = this.etcd.keys.get(key)?.value ?? "";
      if (JSON.parse(value || "{}").node !== node) throw new Error(`${node} has ${key}, and etcd says ${value}`);
    }
    for (const node of this.nodes) {
      const { blocks } = node.disk.copy;
      if (
        blocks
          .map(({ prefix }) => prefix)
          .sort()
          .join() !==
        node
          .source!.blocks()
          .map(({ prefix }) => prefix)
          .sort()
          .join()
      )
        throw new Error(`${node.name}'s disk and memory differ`);
    }
  }
}
