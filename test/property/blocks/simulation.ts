// A node and two neighbours, and everything that can happen to them, one thing at a time; after each thing that
// happens, and after each write to the kernel, the design's invariants are looked at. In: a list of deeds, out of
// chance or by hand. Out: the first invariant that does not hold, in words, or null.

import type { Allocation } from "../../../cni/ipam/allocator.ts";
import type { BlocksConfig } from "../../../daemon/blocks/placement.ts";
import type { Fib } from "../../../routing/types.ts";
import { CONFIGS, PREFIXES, TABLES, wantedBlocks } from "./configs.ts";
import { type Deed, SILENT } from "./deeds.ts";
import { Crash, Kernel } from "./kernel.ts";
import { Neighbour } from "./neighbours.ts";
import { networksOf, Oracle } from "./oracle.ts";
import { type Pod, Process } from "./process.ts";
import { VirtualClock } from "./scheduler.ts";

export type Variant = (fib: Pick<Fib, "formerBlocks" | "setOwned" | "onBlock">, process: Process) => typeof fib;

/** Timers, one after the other. */
const LONGEST_QUIET = 2000;

export class Simulation {
  readonly #kernel = new Kernel();
  readonly #clock = new VirtualClock();
  readonly #neighbours = [new Neighbour("tor-a", TABLES[0]), new Neighbour("tor-b", TABLES[1])];
  readonly #variant: Variant | undefined;
  readonly #say: (line: string) => void;
  #pods: Pod[] = [];
  /** Null: it is not running. */
  #process: Process | null = null;
  #config: BlocksConfig;
  readonly #oracle: Oracle;
  #drained = false;

  constructor(first: number, say: (line: string) => void = () => {}, variant?: Variant) {
    this.#variant = variant;
    this.#say = say;
    this.#config = CONFIGS[first % CONFIGS.length];
    this.#oracle = new Oracle({
      kernel: this.#kernel,
      neighbours: this.#neighbours,
      pods: () => this.#pods,
      process: () => this.#process,
    });
    this.#kernel.changed = () => this.#oracle.look();
  }

  /** What went wrong first. `toTheEnd`: until everything has come to its end, too. */
  async run(deeds: readonly Deed[], toTheEnd = true): Promise<string | null> {
    try {
      this.#start(this.#config);
      await settle();
      for (const deed of deeds) {
        await this.#step(deed);
        if (this.#oracle.problem) return this.#oracle.problem;
      }
      if (toTheEnd) await this.#quiesce();
    } finally {
      this.#process?.end();
    }
    return this.#oracle.problem;
  }

  async #step(deed: Deed): Promise<void> {
    try {
      await this.#do(deed);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.#crashed("in the middle of a write");
    }
    // The worker and the neighbours keep no promises.
    if (!SILENT.has(deed.kind)) await settle();
    this.#afterwards();
  }

  #afterwards(): void {
    const process = this.#process;
    if (process?.failed) {
      this.#say(`   the start failed: ${process.failed.message}`);
      this.#ends(true);
    }
    process?.converge(this.#neighbours.every(({ up }) => up));
    for (const neighbour of this.#neighbours) neighbour.passed(this.#clock.now());
    this.#oracle.look();
    this.#oracle.lookAtWhatIsAnnounced();
  }

  async #do({ kind, n }: Deed): Promise<void> {
    const process = this.#process;
    const kernel = this.#kernel;
    const neighbour = this.#neighbours[n & 1];
    switch (kind) {
      case "worker":
        if (process?.toWorker.length) this.#say("worker acts");
        return process?.toWorker.shift()?.();
      case "main":
        if (process?.toMain.length) this.#say("main hears the worker");
        return process?.toMain.shift()?.();
      case "send":
        if (neighbour.send(this.#clock.now())) this.#say(`${neighbour.name} is sent an update`);
        return;
      case "receive":
        if (neighbour.receive()) this.#say(`${neighbour.name} has received it`);
        return;
      case "time": {
        const milliseconds = [20, 200, 1000, 6000][n & 3];
        this.#say(`${milliseconds} ms pass`);
        return this.#pass(milliseconds);
      }
      case "calm":
        this.#say("everything under way arrives, neighbours are up");
        return this.#calm();
      case "reload":
        return this.#reload(CONFIGS[n % CONFIGS.length]);
      case "podAdd":
        return this.#addPod(n);
      case "podRemove":
        return this.#removePod(n);
      case "peerUp":
        if (!process?.running || process.busy || neighbour.up) return;
        this.#say(`${neighbour.name} is up`);
        return process.speaker.connect(neighbour);
      case "peerDown":
        if (!neighbour.up) return;
        this.#say(`${neighbour.name} is down, ${n & 2 ? "gracefully" : "for good"}`);
        return neighbour.lose((n & 2) !== 0, this.#clock.now());
      case "crash":
        if (process) this.#crashed("now");
        return;
      case "crashInWrite":
        if (!process) return;
        this.#say(`will crash after ${n % 6} writes`);
        kernel.crashAfter = n % 6;
        return;
      case "start":
        if (!process) this.#start(n & 1 ? this.#config : CONFIGS[(n >> 1) % CONFIGS.length]);
        return;
      case "refuse":
        kernel.refusals = n % 4;
        return this.#say(`the kernel refuses the next ${n % 4} writes`);
      case "takeAway": {
        const taken = kernel.takeAway(n);
        if (!taken) return;
        this.#say(`another program deletes ${taken.what}`);
        return process?.notified(taken.kind, taken.bytes);
      }
      case "obstruct":
        this.#say(`another program has a route in the place of ${PREFIXES[n & 3]}`);
        return kernel.obstruct(PREFIXES[n & 3]);
      case "replace": {
        const taken = kernel.takeAway(n, "route");
        if (!taken) return;
        this.#say(`another program puts its own in the place of ${taken.what}`);
        kernel.obstruct(taken.prefix);
        return process?.notified(taken.kind, taken.bytes);
      }
      case "clear":
        kernel.refusals = 0;
        return kernel.clear();
      case "drain":
      case "undrain":
        return this.#drain(kind === "drain");
      case "stop":
        if (!process) return;
        this.#say("stops to be restarted");
        return this.#ends(true);
      case "shutdown":
      case "uninstall":
        return this.#shutDown(kind === "uninstall");
    }
  }

  #start(config: BlocksConfig): void {
    this.#say(`starts with ${describe(config)}`);
    this.#takeOver(config);
    const world = {
      kernel: this.#kernel,
      clock: this.#clock,
      neighbours: this.#neighbours,
      pods: this.#pods,
      drained: this.#drained,
      missed: () => [
        ...this.#pods.flatMap(({ addresses }) => addresses.flatMap(networksOf)),
        ...this.#neighbours.flatMap(({ believes }) => [...believes.keys()]),
      ],
    };
    this.#process = new Process(config, world, this.#variant);
  }

  #takeOver(config: BlocksConfig): void {
    this.#config = config;
    this.#oracle.want(wantedBlocks(config).map(({ prefix }) => prefix));
  }

  #crashed(when: string): void {
    this.#say(`crashes ${when}`);
    this.#kernel.crashAfter = -1;
    this.#ends(true);
  }

  /** The process is gone; `gracefully`: neighbours wait for it. */
  #ends(gracefully: boolean): void {
    this.#process?.end();
    this.#process = null;
    this.#oracle.announced.clear();
    this.#kernel.crashAfter = -1;
    this.#clock.clear();
    for (const neighbour of this.#neighbours) neighbour.lose(gracefully, this.#clock.now());
  }

  #pass(milliseconds: number): Promise<void> {
    return this.#clock.advance(milliseconds, async () => {
      await settle();
      for (const neighbour of this.#neighbours) neighbour.passed(this.#clock.now());
      this.#oracle.look();
    });
  }

  /** Under way until its promise is settled; what happens to it meanwhile is up to the other deeds. */
  #background(process: Process, work: () => Promise<void>): void {
    process.busy = true;
    work()
      .catch((error: Error) => {
        this.#oracle.fail(error.message);
      })
      .finally(() => {
        process.busy = false;
      });
  }

  #reload(config: BlocksConfig): void {
    const process = this.#process;
    if (!process?.running || process.busy) return;
    this.#say(`reloads ${describe(config)}`);
    const before = this.#config;
    const wanted = new Set(wantedBlocks(config).map(({ prefix }) => prefix));
    this.#oracle.want([...this.#oracle.wanted].filter((prefix) => wanted.has(prefix)));
    this.#config = config;
    this.#background(process, async () => {
      try {
        await process.blocks.change(config);
        process.config = config;
        if (this.#process === process) this.#takeOver(config);
      } catch (error) {
        this.#say(`   refused: ${(error as Error).message}`);
        if (this.#process === process) this.#takeOver(before);
      }
    });
  }

  #drain(drained: boolean): void {
    const process = this.#process;
    if (!process?.running || process.busy || drained === this.#drained) return;
    this.#say(drained ? "drains" : "is undrained");
    this.#drained = drained;
    if (drained) this.#background(process, () => this.#withdrawn(process));
    else process.blocks.announceAll();
  }

  /** Whoever has a session has been sent every withdrawal, unless time has run out. */
  async #withdrawn(process: Process): Promise<void> {
    this.#oracle.announced.clear();
    const began = this.#clock.now();
    await process.blocks.withdrawAll(2000);
    const untold = this.#neighbours.filter(({ up, told }) => up && !told).map(({ name }) => name);
    if (process.speaker.local.size > 0) this.#oracle.fail("withdrawAll() has left something announced");
    if (untold.length > 0 && this.#clock.now() - began < 2000)
      this.#oracle.fail(`withdrawAll() is done before ${untold} has been sent everything`);
  }

  #shutDown(uninstall: boolean): void {
    const process = this.#process;
    if (!process?.running || process.busy) return;
    this.#say(uninstall ? "is uninstalled" : "shuts down");
    this.#background(process, async () => {
      await this.#withdrawn(process);
      if (this.#process !== process) return;
      process.blocks.stop();
      // Cease: they forget at once.
      this.#ends(false);
      if (!uninstall) return;
      for (const neighbour of this.#neighbours) neighbour.lose(false, 0);
      for (const neighbour of this.#neighbours) neighbour.believes.clear();
      this.#oracle.want([]);
      this.#pods = [];
      this.#kernel.refusals = 0;
      process.removeEverything();
      if (this.#kernel.list().length > 0) this.#oracle.fail(`an uninstall has left ${this.#kernel.list()}`);
    });
  }

  #addPod(n: number): void {
    const process = this.#process;
    const pools = this.#config.pools;
    if (!process?.running || pools.length === 0) return;
    const { name } = pools[n % pools.length];
    let allocation: Allocation;
    try {
      allocation = process.allocator.allocate({ pools: [name] });
    } catch {
      return; // held back, or a pool that is not there yet
    }
    const { addresses, sequence } = allocation;
    this.#say(`a pod gets ${addresses}`);
    for (const address of addresses)
      if (!this.#oracle.isServed(address))
        this.#oracle.fail(`a pod was given ${address}, which the kernel has no block for`);
    this.#pods.push({ pool: name, addresses, sequence });
  }

  #removePod(n: number): void {
    if (!this.#process?.running || this.#pods.length === 0) return;
    const [pod] = this.#pods.splice(n % this.#pods.length, 1);
    this.#say(`the pod with ${pod.addresses} is gone`);
    this.#process.allocator.release(pod.addresses, pod.sequence);
  }

  /** Nothing disturbs any more: in the end everything is as it is wanted to be, and nothing else is there. */
  async #quiesce(): Promise<void> {
    this.#say("nothing disturbs any more");
    this.#kernel.refusals = 0;
    this.#kernel.crashAfter = -1;
    this.#kernel.clear();
    for (let round = 0; round < LONGEST_QUIET; round++) {
      if (!this.#process) this.#start(this.#config);
      const process = this.#process as Process;
      await this.#calm();
      if (this.#oracle.problem) return;
      if (this.#process !== process) continue;
      const next = this.#clock.next;
      if (next === null) return this.#oracle.lookAtTheEnd(process, this.#config, this.#drained);
      await this.#pass(next);
      this.#afterwards();
      if (this.#oracle.problem) return;
    }
    this.#oracle.fail("there is no end to it");
  }

  /** Everything under way arrives, and neighbours are up. */
  async #calm(): Promise<void> {
    const process = this.#process;
    for (let busy = true; busy && process; ) {
      busy = false;
      while (process.toWorker.length > 0 || process.toMain.length > 0) {
        process.toWorker.shift()?.();
        if (process.toMain.length > 0) {
          process.toMain.shift()?.();
          await settle();
        }
        busy = true;
      }
      if (this.#process !== process) return;
      for (const neighbour of this.#neighbours) {
        if (process.running && !process.busy && !neighbour.up) process.speaker.connect(neighbour);
        while (neighbour.send(this.#clock.now()) || neighbour.receive()) busy = true;
      }
      this.#afterwards();
      await settle();
      if (this.#oracle.problem) return;
    }
  }
}

function describe({ pools, tables }: BlocksConfig): string {
  const texts = pools.map(({ name, blocks, table, announced }) => {
    return `${name}: ${blocks.join(" ")} -> ${table} with ${announced.communities}`;
  });
  return `${texts.join("; ") || "no pools"} (${tables[0].fallback})`;
}

/** Lets promises go on until none can. */
async function settle(): Promise<void> {
  for (let i = 0; i < 14; i++) await undefined;
}
