// A node and two neighbours, and everything that can happen to them, one thing at a time; after each thing that happens, and after
// each write to the kernel, the design's invariants are looked at. In: a list of deeds, out of chance or by hand. Out: the first
// invariant that does not hold, in words, or null.

import type { BlocksConfig } from "../../../daemon/blocks/blocks.ts";
import { parseAddress } from "../../../net/address.ts";
import { contains, hostPrefix, prefix as prefixOf } from "../../../net/prefix.ts";
import type { Fib } from "../../../routing/types.ts";
import { CONFIGS, PREFIXES, TABLES, wantedBlocks } from "./configs.ts";
import { Crash, Kernel } from "./kernel.ts";
import { Neighbour } from "./neighbours.ts";
import { ideal, type Pod, Process } from "./process.ts";
import { random, VirtualClock } from "./scheduler.ts";

export interface Deed {
  readonly kind: DeedKind;
  readonly n: number;
}

/** How often each happens. */
const WEIGHTS = {
  worker: 24,
  main: 24,
  send: 10,
  receive: 10,
  time: 10,
  calm: 3,
  reload: 9,
  podAdd: 5,
  podRemove: 5,
  peerUp: 6,
  peerDown: 3,
  crash: 1,
  crashInWrite: 2,
  start: 4,
  refuse: 2,
  takeAway: 3,
  obstruct: 1,
  replace: 2,
  clear: 2,
  drain: 1,
  undrain: 2,
  stop: 1,
  shutdown: 1,
  uninstall: 1,
} as const;

export type DeedKind = keyof typeof WEIGHTS;

const LOTS = Object.entries(WEIGHTS).flatMap(([kind, weight]) => Array<DeedKind>(weight).fill(kind as DeedKind));

export function deedsOf(seed: number, count: number): Deed[] {
  const next = random(seed);
  const deeds = Array.from({ length: count }, () => ({ kind: LOTS[next(LOTS.length)], n: next(1 << 16) }));
  // Most of what can go wrong goes wrong after a start, not in it.
  return seed % 3 === 0 ? deeds : [{ kind: "calm", n: 0 }, ...deeds];
}

export type Variant = (fib: Pick<Fib, "formerBlocks" | "setOwned" | "onBlock">, process: Process) => typeof fib;

/** Timers, one after the other. */
const LONGEST_QUIET = 2000;

const SILENT: ReadonlySet<DeedKind> = new Set([
  "worker",
  "send",
  "receive",
  "peerDown",
  "refuse",
  "takeAway",
  "replace",
  "obstruct",
  "clear",
]);

class Violation extends Error {}

const NETWORKS = PREFIXES.map((text) => ({ text, prefix: prefixOf(text) }));

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
  /** Wanted by the configuration, the old and the new one while it changes. */
  #wanted = new Set<string>();
  /** Have been in the kernel while they were wanted. */
  readonly #there = new Set<string>();
  /** Have been announced while they were wanted and nothing spoke against it. */
  readonly #announced = new Set<string>();
  /** Somebody has disturbed, and not everybody may have heard of its end so far. */
  readonly #disturbed = new Set<string>();
  #drained = false;
  #problem: string | null = null;

  constructor(first: number, say: (line: string) => void = () => {}, variant?: Variant) {
    this.#variant = variant;
    this.#say = say;
    this.#config = CONFIGS[first % CONFIGS.length];
    this.#kernel.changed = () => this.#look();
  }

  /** What went wrong first. `toTheEnd`: until everything has come to its end, too. */
  async run(deeds: readonly Deed[], toTheEnd = true): Promise<string | null> {
    try {
      this.#start(this.#config);
      await settle();
      for (const deed of deeds) {
        await this.#step(deed);
        if (this.#problem) return this.#problem;
      }
      if (toTheEnd) await this.#quiesce();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#problem ??= error.message;
    } finally {
      this.#process?.end();
    }
    return this.#problem;
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
    this.#look();
    this.#lookAtWhatIsAnnounced();
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
    this.#wanted = new Set(wantedBlocks(config).map(({ prefix }) => prefix));
    this.#forgetUnwanted();
  }

  #forgetUnwanted(): void {
    for (const since of [this.#there, this.#announced])
      for (const prefix of since) if (!this.#wanted.has(prefix)) since.delete(prefix);
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
    this.#announced.clear();
    this.#kernel.crashAfter = -1;
    this.#clock.clear();
    for (const neighbour of this.#neighbours) neighbour.lose(gracefully, this.#clock.now());
  }

  #pass(milliseconds: number): Promise<void> {
    return this.#clock.advance(milliseconds, async () => {
      await settle();
      for (const neighbour of this.#neighbours) neighbour.passed(this.#clock.now());
      this.#look();
    });
  }

  /** Under way until its promise is settled; what happens to it meanwhile is up to the other deeds. */
  #background(process: Process, work: () => Promise<void>): void {
    process.busy = true;
    work()
      .catch((error: Error) => {
        this.#problem ??= error.message;
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
    this.#wanted = new Set([...this.#wanted].filter((prefix) => wanted.has(prefix)));
    this.#forgetUnwanted();
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
    this.#announced.clear();
    const began = this.#clock.now();
    await process.blocks.withdrawAll(2000);
    const untold = this.#neighbours.filter(({ up, told }) => up && !told).map(({ name }) => name);
    if (process.speaker.local.size > 0) this.#fail("withdrawAll() has left something announced");
    if (untold.length > 0 && this.#clock.now() - began < 2000)
      this.#fail(`withdrawAll() is done before ${untold} has been sent everything`);
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
      this.#wanted.clear();
      this.#there.clear();
      this.#pods = [];
      this.#kernel.refusals = 0;
      process.removeEverything();
      if (this.#kernel.list().length > 0) this.#fail(`an uninstall has left ${this.#kernel.list()}`);
    });
  }

  #addPod(n: number): void {
    const process = this.#process;
    const pools = this.#config.pools;
    if (!process?.running || pools.length === 0) return;
    const { name } = pools[n % pools.length];
    let addresses: string[];
    try {
      addresses = process.allocator.allocate(name, []);
    } catch {
      return; // held back, or a pool that is not there yet
    }
    this.#say(`a pod gets ${addresses}`);
    for (const address of addresses)
      if (!this.#isServed(address)) this.#fail(`a pod was given ${address}, which the kernel has no block for`);
    this.#pods.push({ pool: name, addresses });
  }

  #removePod(n: number): void {
    if (!this.#process?.running || this.#pods.length === 0) return;
    const [pod] = this.#pods.splice(n % this.#pods.length, 1);
    this.#say(`the pod with ${pod.addresses} is gone`);
    this.#process.allocator.release(pod.addresses);
  }

  #fail(text: string): void {
    this.#problem ??= text;
  }

  /** The invariants that hold at any moment. */
  #look(): void {
    if (this.#problem) return;
    const kernel = this.#kernel;
    if (kernel.violation) this.#fail(kernel.violation);
    for (const { name, table, believes } of this.#neighbours)
      for (const prefix of believes.keys()) {
        if (kernel.excuses(prefix)) continue;
        if (!kernel.hasBlackhole(prefix))
          this.#fail(`${name} believes in ${prefix}, and the kernel has no blackhole for it`);
        if (!kernel.hasRule(prefix, table))
          this.#fail(`${name} believes in ${prefix}, and the kernel has no rule for it`);
      }
    for (const prefix of this.#wanted) {
      const whole = kernel.hasBlackhole(prefix) && kernel.hasRule(prefix, null);
      if (whole && !this.#there.has(prefix) && this.#isAcknowledged(prefix)) this.#there.add(prefix);
      else if (!whole && this.#there.has(prefix) && !kernel.excuses(prefix))
        this.#fail(`${prefix} is wanted, was there, and is not whole in the kernel`);
    }
    for (const { addresses } of this.#pods)
      for (const address of addresses)
        if (!this.#isServed(address)) this.#fail(`a pod has ${address}, and its block has gone`);
  }

  /** Not between two writes of the worker: it tells of them when it is done. */
  #lookAtWhatIsAnnounced(): void {
    const process = this.#process;
    if (!process || this.#problem) return;
    const kernel = this.#kernel;
    const local = [...process.speaker.local.values()];
    for (const prefix of [...kernel.taken.values(), ...kernel.refused]) this.#disturbed.add(prefix);
    // Whoever could have heard of a loss has heard of it.
    const quiet = process.toWorker.length === 0 && process.toMain.length === 0;
    if (quiet)
      for (const { prefix, table } of local)
        if (!kernel.hasBlackhole(prefix) || !kernel.hasRule(prefix, table))
          this.#fail(`${prefix} is announced, and the kernel does not have it`);
    const now = new Set(local.map(({ prefix }) => prefix));
    for (const prefix of this.#announced)
      if (!now.has(prefix)) {
        if (!this.#disturbed.has(prefix))
          this.#fail(`${prefix} is wanted, was announced, and is not announced any more`);
        this.#announced.delete(prefix);
      }
    for (const prefix of now) if (this.#wanted.has(prefix)) this.#announced.add(prefix);
    if (quiet) this.#disturbed.clear();
  }

  #isAcknowledged(prefix: string): boolean {
    const blocks = this.#process?.blocks.status() ?? [];
    return blocks.some((block) => block.prefix === prefix && ["installed", "announced"].includes(block.state.phase));
  }

  #isServed(address: string): boolean {
    return networksOf(address).some(
      (prefix) =>
        (this.#kernel.hasBlackhole(prefix) && this.#kernel.hasRule(prefix, null)) || this.#kernel.excuses(prefix),
    );
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
      if (this.#problem) return;
      if (this.#process !== process) continue;
      const next = this.#clock.next;
      if (next === null) return this.#lookAtTheEnd(process);
      await this.#pass(next);
      this.#afterwards();
      if (this.#problem) return;
    }
    this.#fail("there is no end to it");
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
      if (this.#problem) return;
    }
  }

  #lookAtTheEnd(process: Process): void {
    const retiring = process.allocator.retiring().map(({ prefix }) => prefix);
    const kept = process.blocks.status().filter(({ configured }) => !configured);
    for (const { prefix, state } of kept)
      if (!retiring.includes(prefix)) this.#fail(`${prefix} is not wanted, and is still ${state.phase}`);
    const wanted = [
      ...wantedBlocks(this.#config),
      ...kept.map(({ prefix, table }) => ({ prefix, table, attributes: null })),
    ];
    const blocks = wanted.map(({ prefix, table }) => ({ prefix, table }));
    const kernel = this.#kernel.list();
    const expected = ideal({ blocks, tables: this.#config.tables }, this.#config, () => new Kernel());
    if (JSON.stringify(kernel) !== JSON.stringify(expected))
      this.#fail(`in the end the kernel has ${kernel.join("; ")} and not ${expected.join("; ")}`);
    for (const { name, table, believes } of this.#neighbours) {
      const told = this.#drained ? [] : wanted.filter((block) => block.table === table);
      for (const { prefix, attributes } of told)
        if (!believes.has(prefix)) this.#fail(`in the end ${name} does not know of ${prefix}`);
        else if (attributes !== null && believes.get(prefix) !== attributes)
          this.#fail(`in the end ${name} knows ${prefix} with other attributes`);
      for (const prefix of believes.keys())
        if (!told.some((block) => block.prefix === prefix))
          this.#fail(`in the end ${name} still believes in ${prefix}`);
    }
  }
}

const networks = new Map<string, readonly string[]>();

/** Those that an address is in. */
function networksOf(address: string): readonly string[] {
  let found = networks.get(address);
  if (!found) {
    const host = hostPrefix(parseAddress(address) as Uint8Array);
    const around = NETWORKS.filter(({ prefix }) => prefix.family === host.family && contains(prefix, host));
    found = around.map(({ text }) => text);
    networks.set(address, found);
  }
  return found;
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
