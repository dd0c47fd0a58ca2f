// A node's pods over its life: containers come and go while the daemon, the disk and the host fail in every way. The real
// Attachments, Store and Allocator run on a simulated disk and kernel; what was promised to the runtime is held against them.
//
//   In: a list of deeds, out of chance or by hand. Out: the first promise that was not kept, in words, or null.
import type { Attaching } from "../../../../cni/attach/attacher.ts";
import type { Attachment } from "../../../../cni/attachment.ts";
import { Attachments } from "../../../../cni/attachments.ts";
import type { Disk } from "../../../../cni/ipam/disk.ts";
import { CniErrorCode } from "../../../../cni/protocol/error.ts";
import { silentLog } from "../../../../net/log.ts";
import { random } from "../../blocks/scheduler.ts";
import type { Deed } from "./deeds.ts";
import { SimulatedDisk } from "./disk.ts";
import { SimulatedKernel } from "./kernel.ts";
import { Oracle } from "./oracle.ts";
import { Steps, settle } from "./steps.ts";

/** A mistake made on purpose. */
export interface Mistake {
  readonly disk?: (disk: Disk, simulated: SimulatedDisk) => Disk;
  readonly attacher?: (attacher: Attaching) => Attaching;
  readonly attachments?: (attachments: Attachments) => void;
}

export const NETWORK = "net";
const POOLS = [
  {
    name: "default",
    blocks: ["10.0.0.0/29", "2001:db8::/126"],
    exclude: ["10.0.0.3-10.0.0.7", "2001:db8::"],
    table: 7100,
  },
];
export const CAPACITY = 3;
const DIRECTORY = "/state";
const LONGEST = 5000;

/** What a runtime has asked for and was told. */
export interface Container {
  readonly id: string;
  readonly path: string;
  namespace: string;
  /** `unknown`: a call is under way, or was when the daemon ended, or failed. */
  promised: "unknown" | "attached" | "absent";
  addresses: readonly string[];
  /** Calls under way. */
  calls: number;
  /** Somebody has deleted its interface. */
  cutOff: boolean;
  /** Somebody has changed the alias of its interface. */
  unnamed: boolean;
}

interface Run {
  readonly attachments: Attachments;
  readonly steps: Steps;
  started: boolean;
  failed: Error | null;
}

export class History {
  readonly kernel = new SimulatedKernel();
  readonly disk: SimulatedDisk;
  readonly containers = new Map<string, Container>();
  readonly #say: (line: string) => void;
  readonly #mistake: Mistake;
  readonly #oracle: Oracle;
  #random: (limit: number) => number = random(1);
  run: Run | null = null;
  /** Not everything that was acknowledged can be in the journal any more. */
  journalLost = false;
  /**
   * What is gone may be in the journal yet: the disk could not be written, or refused what it had written. The kernel
   * knows better.
   */
  journalBehind = false;
  /** Milliseconds. */
  #clockOffset = 0;
  /** Milliseconds of the clock that nobody sets. */
  #now = 0;

  constructor(say: (line: string) => void = () => {}, mistake: Mistake = {}) {
    this.#say = say;
    this.#mistake = mistake;
    this.disk = new SimulatedDisk((limit) => this.#random(limit));
    this.#oracle = new Oracle(this, say);
  }

  async play(deeds: readonly Deed[]): Promise<string | null> {
    const { now } = Date;
    Date.now = () => now() + this.#clockOffset;
    try {
      return await this.#play(deeds);
    } finally {
      Date.now = now;
    }
  }

  async #play(deeds: readonly Deed[]): Promise<string | null> {
    for (const deed of deeds) {
      this.#random = random(deed.n * 31 + 7);
      await this.#do(deed);
      if (this.#wrong()) return this.#wrong();
    }
    await this.#toTheEnd();
    this.run?.steps.end();
    return this.#wrong();
  }

  #wrong(): string | null {
    return this.kernel.wrong ?? this.#oracle.wrong;
  }

  async #do({ kind, n }: Deed): Promise<void> {
    const id = `c${n % 5}`;
    switch (kind) {
      case "add":
        return this.#add(id);
      case "del":
        return this.#del(id);
      case "swap":
        // One goes, another comes, as in a rollout.
        this.#del(id);
        return this.#add(`c${(n >> 4) % 5}`);
      case "check":
        return this.#check(id);
      case "gc":
        return this.#gc(n);
      case "go":
        return this.#go(1 + (n % 12), n % 2 === 0);
      case "calm":
        this.#say("everything under way comes to its end");
        return this.#go(LONGEST, n % 2 === 0);
      case "vanish": {
        const container = this.containers.get(id);
        if (!container || !this.kernel.namespaces.has(container.namespace)) return;
        this.#say(`the namespace of ${id} vanishes`);
        container.promised = "unknown";
        return this.kernel.destroyNamespace(container.path);
      }
      case "unmount": {
        const container = this.containers.get(id);
        if (container === undefined || this.kernel.paths.get(container.path) !== container.namespace) return;
        const holder = n % 2 ? "a process is in it" : null;
        this.#say(`the namespace of ${id} loses its path${holder === null ? "" : `, and ${holder}`}`);
        // Released in time, but not at once: nothing of it is promised.
        if (holder === null) container.promised = "unknown";
        return this.kernel.unmount(container.path, holder);
      }
      case "start":
        if (!this.run) await this.#start();
        return;
      case "kill":
        return this.#kill();
      case "crashSoon":
        if (!this.run) return;
        this.#say(`will be killed after ${n % 25} steps`);
        this.run.steps.crashAfter = n % 25;
        return;
      case "powerSoon":
        if (!this.run) return;
        this.#say(`the power will go after ${n % 25} steps`);
        this.run.steps.crashAfter = n % 25;
        await this.#go(LONGEST, n % 2 === 0);
        return this.#losePower();
      case "powerCut":
        return this.#losePower();
      case "reboot":
        await this.#stop();
        this.#say("the host is booted");
        return this.#boot();
      case "stop":
        return this.#stop();
      case "fault":
        this.disk.fault = (["full", "readOnly", "io"] as const)[n % 3];
        this.journalBehind ||= this.disk.fault === "io";
        return this.#say(`the disk: ${this.disk.fault}`);
      case "heal":
        this.disk.fault = "none";
        this.kernel.failures = 0;
        return this.#say("disk and kernel are well");
      case "refuse":
        this.kernel.failures = 1 + (n % 3);
        return this.#say(`the kernel refuses the next ${this.kernel.failures} requests`);
      case "lose":
        this.#ends("is killed, and its state directory is lost");
        this.#loseJournal();
        return this.disk.lose();
      case "rot":
        this.#ends("is killed, and its disk is damaged");
        this.#loseJournal();
        return this.disk.rot();
      case "cut":
        return this.#cut(n);
      case "alias":
        return this.#changeAlias(n);
      case "watch":
        this.#now += n % 25_000;
        this.#say(`looks after pods and journal, at ${this.#now} ms`);
        if (this.run?.started) void this.run.attachments.upkeep(this.#now);
        return;
      case "clock":
        this.#clockOffset += (n % 2 ? 1 : -1) * (n % 100_000_000);
        return this.#say("somebody sets the clock");
      case "displace":
        this.#say("somebody deletes the journal");
        this.#loseJournal();
        return this.disk.lose();
    }
  }

  async #start(): Promise<void> {
    this.#say("starts");
    const steps = new Steps(this.#say);
    const { mistake, kernel } = { mistake: this.#mistake, kernel: this.kernel };
    const disk = this.disk.face(steps);
    const attachments = new Attachments(
      { pools: POOLS, stateDir: DIRECTORY, mtu: 1500 },
      { log: silentLog, routes: kernel.podRoutes(steps) },
      {
        attacher: (events) => {
          const attacher = kernel.attacher(steps, events);
          return mistake.attacher?.(attacher) ?? attacher;
        },
        disk: mistake.disk?.(disk, this.disk) ?? disk,
        boot: () => kernel.boot,
        findHolders: async (ids) => kernel.holders(ids),
        isNamespace: async (path, id) => kernel.isNamespace(path, id),
      },
    );
    mistake.attachments?.(attachments);
    const run: Run = { attachments, steps, started: false, failed: null };
    this.run = run;
    attachments.start().then(
      () => {
        run.started = true;
        this.journalBehind ||= this.disk.fault !== "none";
        if (this.run === run) this.#oracle.lookAtStart(run.attachments);
      },
      (error: Error) => {
        run.failed = error;
      },
    );
    await settle();
  }

  /** A call of the runtime. It hears of its end unless the daemon ends before. */
  #call(container: Container, what: string, work: (run: Run) => Promise<void>): void {
    const run = this.run;
    if (!run?.started) return;
    this.#say(`${what} ${container.id}`);
    container.promised = "unknown";
    container.calls++;
    const over = (settled: () => void) => {
      if (this.run !== run) return;
      container.calls--;
      settled();
    };
    run.attachments
      .exclusively(container.id, "eth0", () => work(run))
      .then(
        () => over(() => this.#say(`  ${what} ${container.id} succeeds`)),
        (error: Error & { code?: number }) =>
          over(() => {
            this.#say(`  ${what} ${container.id} fails: ${error.message}`);
            this.journalBehind ||= error.code === CniErrorCode.io;
          }),
      );
  }

  #add(id: string): void {
    if (!this.run?.started) return;
    let container = this.containers.get(id);
    if (container && container.calls > 0) return;
    if (!container) {
      const path = `/run/netns/${id}`;
      container = {
        id,
        path,
        namespace: "",
        promised: "absent",
        addresses: [],
        calls: 0,
        cutOff: false,
        unnamed: false,
      };
      this.containers.set(id, container);
    }
    const owner = container;
    if (owner.promised === "attached") return;
    if (!this.kernel.namespaces.has(owner.namespace) || this.kernel.paths.get(owner.path) !== owner.namespace)
      owner.namespace = this.kernel.createNamespace(owner.path);
    owner.cutOff = false;
    owner.unnamed = false;
    const netnsId = owner.namespace;
    this.#call(owner, "ADD", async ({ attachments }) => {
      const attachment: Attachment = await attachments.add({
        network: NETWORK,
        containerId: id,
        ifname: "eth0",
        pools: ["default"],
        netns: owner.path,
        netnsId,
        mtu: 1500,
        request: { addresses: [], mac: null, pod: `ns/${id}` } as never,
      });
      this.#oracle.attached(owner, attachment.record.addresses);
      const nameless = owner.unnamed && this.journalLost;
      if (owner.calls === 1 && owner.namespace === netnsId && this.kernel.namespaces.has(netnsId) && !nameless)
        owner.promised = "attached";
      owner.addresses = attachment.record.addresses;
    });
  }

  #del(id: string): void {
    const container = this.containers.get(id);
    if (!container) return;
    this.#call(container, "DEL", async ({ attachments }) => {
      await attachments.remove({ network: NETWORK, containerId: id, ifname: "eth0" });
      this.#oracle.removed(container);
      if (container.calls === 1) container.promised = "absent";
    });
  }

  #check(id: string): void {
    const container = this.containers.get(id);
    const run = this.run;
    if (!container || !run?.started || container.calls > 0) return;
    const attachment = run.attachments.get({ network: NETWORK, containerId: id, ifname: "eth0" });
    if (attachment) void run.attachments.inspect(attachment, container.path, null).catch(() => undefined);
  }

  /** Those of which the runtime knows nothing any more. */
  #gc(n: number): void {
    const run = this.run;
    if (!run?.started) return;
    for (const record of run.attachments.ofNetwork(NETWORK)) {
      const container = this.containers.get(record.containerId);
      if (!container || (n >> Number(record.containerId.slice(1))) & 1) continue;
      this.#call(container, "GC of", async ({ attachments }) => {
        await attachments.remove(record);
        if (container.calls === 1) container.promised = "absent";
      });
    }
  }

  async #go(most: number, newest = false): Promise<void> {
    const run = this.run;
    if (!run) return;
    for (let i = 0; i < most && (await run.steps.next((limit) => this.#random(limit), newest)); i++)
      if (this.#wrong()) return;
    if (run.steps.dead) this.#ends("is killed");
    else if (run.failed) this.#ends(`could not start: ${run.failed.message}`);
  }

  #kill(): void {
    this.#ends("is killed");
  }

  #ends(how: string): void {
    if (!this.run) return;
    this.#say(how);
    this.run.steps.end();
    this.run = null;
    for (const container of this.containers.values()) container.calls = 0;
  }

  async #stop(): Promise<void> {
    if (!this.run?.started) return this.#kill();
    const run = this.run;
    this.#say("stops");
    let over = false;
    void run.attachments.stop().then(
      () => {
        over = true;
      },
      () => {
        over = true;
      },
    );
    await this.#go(LONGEST);
    if (!over && !run.steps.dead) this.#oracle.fail("a stop has no end");
    this.#ends("has stopped");
  }

  async #losePower(): Promise<void> {
    this.#ends("the power goes");
    this.disk.powerCut();
    await this.#oracle.lookAtDisk();
    this.#boot();
  }

  #boot(): void {
    this.#ends("ends");
    this.kernel.reboot();
    // Runtimes begin anew.
    this.containers.clear();
  }

  /** A pod whose alias says nothing is known by its name alone, which the journal had. */
  #loseJournal(): void {
    this.journalLost = true;
    for (const container of this.containers.values()) if (container.unnamed) container.promised = "unknown";
  }

  #cut(n: number): void {
    const cables = [...this.kernel.cables.values()];
    if (cables.length === 0) return;
    const { name, namespace } = cables[n % cables.length];
    this.#say(`somebody deletes ${name}`);
    for (const container of this.containers.values()) if (container.namespace === namespace) container.cutOff = true;
    this.kernel.deleteCable(name);
  }

  #changeAlias(n: number): void {
    const marked = [...this.kernel.cables.values()].filter(({ alias, ifindex }) => {
      return alias !== null && [...this.kernel.routes.values()].includes(ifindex);
    });
    if (marked.length === 0) return;
    const cable = marked[n % marked.length];
    this.#say(`somebody changes the alias of ${cable.name}`);
    cable.alias = n % 2 ? null : "mine";
    for (const container of this.containers.values()) {
      if (container.namespace !== cable.namespace) continue;
      container.unnamed = true;
      if (this.journalLost) container.promised = "unknown";
    }
  }

  /** Nothing disturbs any more. Every promise is looked at; then everything goes, and nothing may be left. */
  async #toTheEnd(): Promise<void> {
    this.#say("nothing disturbs any more");
    this.disk.fault = "none";
    this.kernel.failures = 0;
    for (let i = 0; i < 3 && !this.run?.started; i++) {
      if (!this.run) await this.#start();
      this.run!.steps.crashAfter = -1;
      await this.#go(LONGEST);
    }
    if (!this.run?.started) return this.#oracle.fail("there is no start");
    this.run.steps.crashAfter = -1;
    await this.#go(LONGEST);
    if (this.#wrong()) return;
    void this.run.attachments.upkeep(this.#now);
    await this.#go(LONGEST);
    this.#oracle.lookAtPromises(this.run.attachments);
    for (const { id } of this.containers.values()) this.#del(id);
    await this.#go(LONGEST);
    if (this.#wrong()) return;
    this.#oracle.lookAtTheEnd(this.run.attachments);
    await this.#start();
    await this.#go(LONGEST);
    this.#oracle.lookAtTheEnd(this.run.attachments);
  }
}
