// A node that claims its blocks out of a shared pool, a neighbour, and everything that can happen between them, etcd
// and the kernel. In: deeds out of chance. Out: the first promise that is broken, in words, or null. What is real:
// daemon/shared, daemon/blocks, the allocator, and in the worker what writes; the kernel, the neighbour, etcd, threads
// and time are models (see test/property/blocks).
import type { Allocation } from "../../../cni/ipam/allocator.ts";
import type { PoolConfig } from "../../../config/types.ts";
import type { BlocksConfig, Placement } from "../../../daemon/blocks/placement.ts";
import { Claims } from "../../../daemon/shared/claims.ts";
import { demand } from "../../../daemon/shared/demand.ts";
import { parseAddress } from "../../../net/address.ts";
import { silentLog } from "../../../net/log.ts";
import { contains, hostPrefix, prefix as prefixOf } from "../../../net/prefix.ts";
import { CONFIGS, TABLES } from "../blocks/configs.ts";
import { Crash, Kernel } from "../blocks/kernel.ts";
import { Neighbour } from "../blocks/neighbours.ts";
import { type Pod, Process } from "../blocks/process.ts";
import { random, VirtualClock } from "../blocks/scheduler.ts";
import { BLOCKS, Cluster, POOL, RANGE, type SourceModel } from "./cluster.ts";

const WEIGHTS = {
  worker: 20,
  main: 20,
  send: 10,
  receive: 10,
  time: 10,
  calm: 4,
  answer: 14,
  refuse: 3,
  podAdd: 14,
  podRemove: 12,
  peerUp: 6,
  peerDown: 3,
  crash: 1,
  crashInWrite: 2,
  start: 5,
  removeNode: 1,
  free: 2,
  disconnect: 1,
  connect: 3,
} as const;
type Deed = keyof typeof WEIGHTS;
const LOTS = Object.entries(WEIGHTS).flatMap(([deed, weight]) => Array<Deed>(weight).fill(deed as Deed));

const RELEASE_AFTER = 30;

const pool: PoolConfig = {
  name: POOL,
  blocks: [],
  exclude: [],
  table: TABLES[0],
  announced: { communities: [], extendedCommunities: [], largeCommunities: [] },
  source: "etcd",
  ranges: [RANGE],
  blockSize: { ipv4: 30, ipv6: 122 },
  maxBlocks: 8,
  affinity: "strict",
  lend: 0,
  releaseAfter: RELEASE_AFTER,
  exceptions: {
    budget: 0,
    ranges: [],
    announced: { communities: [], extendedCommunities: [], largeCommunities: [] },
  },
};

const config: BlocksConfig = { ...CONFIGS[0], pools: [pool] };

/** Lets a mistake be made on purpose. */
export type Variant = (claims: Claims) => void;

export class Simulation {
  readonly #next: (limit: number) => number;
  readonly #say: (line: string) => void;
  readonly #variant: Variant;
  readonly #kernel = new Kernel();
  readonly #clock = new VirtualClock();
  readonly #neighbour = new Neighbour("tor-a", TABLES[0]);
  readonly #cluster = new Cluster();
  readonly #pods: Pod[] = [];
  /** Taken away by the operator: what pods had of them is lost, and so is what neighbours believe for a while. */
  readonly #takenAway = new Set<string>();
  #process: Process | null = null;
  #claims: Claims | null = null;
  #source: SourceModel | null = null;
  #problem: string | null = null;

  constructor(seed: number, say: (line: string) => void = () => {}, variant: Variant = () => {}) {
    this.#next = random(seed);
    this.#say = say;
    this.#variant = variant;
    this.#kernel.changed = () => this.#look();
    this.#cluster.onGiveBack = (prefix) => this.#givesBack(prefix);
    // Others have most of it: it runs out.
    for (const prefix of BLOCKS.slice(2 + this.#next(5))) this.#cluster.owners.set(prefix, "another");
  }

  async run(count: number): Promise<string | null> {
    this.#start();
    await settle();
    for (let i = 0; i < count && !this.#problem; i++) {
      try {
        await this.#do(LOTS[this.#next(LOTS.length)]);
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
        this.#ends();
      }
      await settle();
      this.#afterwards();
    }
    if (!this.#problem) await this.#toTheEnd();
    this.#ends();
    return this.#problem;
  }

  async #do(deed: Deed): Promise<void> {
    const process = this.#process;
    const neighbour = this.#neighbour;
    switch (deed) {
      case "worker":
        return process?.toWorker.shift()?.();
      case "main":
        return process?.toMain.shift()?.();
      case "send":
        return void neighbour.send(this.#clock.now());
      case "receive":
        return void neighbour.receive();
      case "time":
        return this.#pass([20, 1000, 6000, 31_000][this.#next(4)]);
      case "calm":
        return this.#calm();
      case "answer":
        if (this.#cluster.answer("done")) this.#say(`etcd answers: ours are ${this.#ours()}`);
        return;
      case "refuse":
        if (this.#cluster.answer("refused")) this.#say("etcd refuses");
        return;
      case "podAdd":
        return this.#addPod();
      case "podRemove":
        return this.#removePod();
      case "peerUp":
        if (process?.running && !neighbour.up) process.speaker.connect(neighbour);
        return;
      case "peerDown":
        return neighbour.lose(this.#next(2) === 0, this.#clock.now());
      case "crash":
        this.#say("crashes");
        return this.#ends();
      case "crashInWrite":
        if (process) this.#kernel.crashAfter = this.#next(6);
        return;
      case "start":
        if (!process) this.#start();
        return;
      case "removeNode":
        this.#say("the operator removes the node");
        for (const prefix of this.#ours()) this.#takenAway.add(prefix);
        return this.#cluster.removeNode();
      case "free":
        return this.#cluster.free(this.#next(8));
      case "disconnect":
        return this.#source?.connect(false);
      case "connect":
        return this.#source?.connect(true);
    }
  }

  #start(): void {
    this.#say(`starts: ours are ${this.#ours()}`);
    const source = this.#cluster.open();
    let process: Process | null = null;
    const placement = (): Placement => ({ claimed: claims.placed(), exceptions: [], elsewhere: [], uplinks: [] });
    const claims: Claims = new Claims({
      source,
      clock: this.#clock,
      log: silentLog,
      place: async () => process?.blocks.place(placement()),
      uses: () => process?.allocator.blocks() ?? [],
      isPlaced: (prefix) => isPlaced(process, prefix),
      onEvent: (event) => this.#say(JSON.stringify(event)),
    });
    this.#variant(claims);
    claims.configure([pool]);
    process = new Process(config, {
      kernel: this.#kernel,
      clock: this.#clock,
      neighbours: [this.#neighbour],
      pods: this.#pods,
      drained: false,
      missed: () => BLOCKS,
      placement,
      onBlock: ({ prefix }) => {
        if (!isPlaced(process, prefix)) claims.gone(prefix);
      },
      onRunning: () => claims.run(),
    });
    source.onChange((change) => {
      if (change.kind !== "state") void process?.blocks.place(placement());
      claims.changed(change);
    });
    this.#process = process;
    this.#claims = claims;
    this.#source = source;
  }

  #ends(): void {
    this.#process?.end();
    this.#claims?.stop();
    this.#process = null;
    this.#claims = null;
    this.#source = null;
    this.#kernel.crashAfter = -1;
    this.#clock.clear();
    this.#neighbour.lose(true, this.#clock.now());
  }

  #ours(): string[] {
    return BLOCKS.filter((prefix) => this.#cluster.owners.get(prefix) === "us");
  }

  #addPod(): void {
    const process = this.#process;
    if (!process?.running) return;
    let allocation: Allocation;
    try {
      allocation = process.allocator.allocate({ pools: [POOL] });
    } catch {
      // What an ADD does that finds nothing.
      this.#claims?.more(POOL, 4).catch(() => undefined);
      return;
    }
    const { addresses, sequence } = allocation;
    this.#say(`a pod gets ${addresses}`);
    for (const address of addresses)
      if (!this.#ours().some((prefix) => isIn(prefix, address))) this.#fail(`a pod got ${address}, which is not ours`);
      else if (!this.#served(address)) this.#fail(`a pod got ${address}, which the kernel has no block for`);
    this.#pods.push({ pool: POOL, addresses, sequence });
    this.#claims?.look();
  }

  #removePod(): void {
    if (!this.#process?.running || this.#pods.length === 0) return;
    const [pod] = this.#pods.splice(this.#next(this.#pods.length), 1);
    this.#say(`the pod with ${pod.addresses} is gone`);
    this.#process.allocator.release(pod.addresses, pod.sequence);
    this.#claims?.look();
  }

  #served(address: string): boolean {
    return BLOCKS.some(
      (prefix) => isIn(prefix, address) && this.#kernel.hasBlackhole(prefix) && this.#kernel.hasRule(prefix, null),
    );
  }

  /** Make before break, the other way round: a block is anybody's only when nobody looks for it here. */
  #givesBack(prefix: string): void {
    this.#say(`gives ${prefix} back`);
    if (this.#neighbour.believes.has(prefix))
      this.#fail(`${prefix} is given back, and ${this.#neighbour.name} believes in it`);
    if (this.#kernel.hasBlackhole(prefix) || this.#kernel.hasRule(prefix, null))
      this.#fail(`${prefix} is given back, and the kernel has it`);
    if (this.#pods.some(({ addresses }) => addresses.some((address) => isIn(prefix, address))))
      this.#fail(`${prefix} is given back, and a pod has an address of it`);
  }

  #fail(text: string): void {
    this.#problem ??= text;
  }

  /** At any moment. */
  #look(): void {
    if (this.#kernel.violation) this.#fail(this.#kernel.violation);
    for (const prefix of BLOCKS) {
      const ours = this.#cluster.owners.get(prefix) === "us" || this.#takenAway.has(prefix);
      const believed = this.#neighbour.believes.has(prefix);
      if (believed && !ours) this.#fail(`the neighbour believes in ${prefix}, which is not ours`);
      if (believed && !this.#kernel.hasBlackhole(prefix)) this.#fail(`${prefix} is believed in without a blackhole`);
      if (believed && !this.#kernel.hasRule(prefix, null)) this.#fail(`${prefix} is believed in without a rule`);
      if (this.#kernel.hasBlackhole(prefix) && !ours) this.#fail(`the kernel has ${prefix}, which is not ours`);
    }
    for (const { addresses } of this.#pods)
      for (const address of addresses) {
        if ([...this.#takenAway].some((prefix) => isIn(prefix, address))) continue;
        if (!this.#served(address)) this.#fail(`a pod has ${address}, and its block is not in the kernel`);
        if (!this.#ours().some((prefix) => isIn(prefix, address)))
          this.#fail(`a pod has ${address}, which is not ours`);
      }
  }

  #afterwards(): void {
    if (this.#process?.failed) this.#ends();
    this.#process?.converge(this.#neighbour.up);
    this.#neighbour.passed(this.#clock.now());
    this.#look();
  }

  #pass(milliseconds: number): Promise<void> {
    return this.#clock.advance(milliseconds, async () => {
      await settle();
      this.#neighbour.passed(this.#clock.now());
      this.#look();
    });
  }

  async #calm(): Promise<void> {
    const process = this.#process;
    for (let busy = true; busy && process && this.#process === process; ) {
      busy = false;
      while (process.toWorker.length > 0 || process.toMain.length > 0) {
        process.toWorker.shift()?.();
        process.toMain.shift()?.();
        await settle();
        busy = true;
      }
      while (this.#cluster.answer("done")) {
        await settle();
        busy = true;
      }
      if (process.running && !this.#neighbour.up) process.speaker.connect(this.#neighbour);
      while (this.#neighbour.send(this.#clock.now()) || this.#neighbour.receive()) busy = true;
      await settle();
      this.#afterwards();
    }
  }

  async #toTheEnd(): Promise<void> {
    this.#say("nothing disturbs any more");
    this.#kernel.crashAfter = -1;
    if (!this.#process) this.#start();
    await settle();
    await this.#calm();
    this.#source?.connect(true);
    // Failed claims are tried again after a minute; what is empty goes after half of one.
    for (let n = 0; n < 40 && !this.#problem; n++) {
      await this.#calm();
      await this.#pass(6_000);
    }
    await this.#calm();
    if (this.#problem) return;
    const ours = this.#ours();
    const believed = [...this.#neighbour.believes.keys()].sort();
    if (believed.join() !== [...ours].sort().join())
      this.#fail(`in the end the neighbour believes in ${believed}, ours are ${ours}`);
    const there = BLOCKS.filter((prefix) => this.#kernel.hasBlackhole(prefix));
    if (there.join() !== ours.join()) this.#fail(`in the end the kernel has ${there}, ours are ${ours}`);
    if (ours.length === 0 && BLOCKS.some((prefix) => !this.#cluster.owners.has(prefix)))
      this.#fail("in the end it has no block");
    const blocks = ours.map((prefix) => {
      const used = this.#pods.flatMap(({ addresses }) => addresses).filter((address) => isIn(prefix, address)).length;
      return { prefix, capacity: 4, free: 4 - used, emptySince: used === 0 ? 0 : null };
    });
    const { claim, release } = demand(blocks, { maxBlocks: 8, releaseAfter: 1 }, 1e9);
    const free = BLOCKS.some((prefix) => !this.#cluster.owners.has(prefix));
    if (claim && free) this.#fail(`in the end it has too little: ${JSON.stringify(blocks)}`);
    if (release) this.#fail(`in the end it has too much: ${JSON.stringify(blocks)}`);
  }
}

function isPlaced(process: Process | null, prefix: string): boolean {
  return process?.blocks.status().some((status) => status.prefix === prefix) ?? false;
}

function isIn(prefix: string, address: string): boolean {
  return contains(prefixOf(prefix), hostPrefix(parseAddress(address)!));
}

/** Lets promises go on until none can. */
async function settle(): Promise<void> {
  for (let i = 0; i < 24; i++) await undefined;
}
