// The design's invariants, as they can be seen from outside: in the kernel, at the neighbours, in pods. In: a look at
// it, after each thing that happens. Out: the first invariant that does not hold, in words.
import type { BlocksConfig } from "../../../daemon/blocks/placement.ts";
import { parseAddress } from "../../../net/address.ts";
import { contains, hostPrefix, prefix as prefixOf } from "../../../net/prefix.ts";
import { PREFIXES, wantedBlocks } from "./configs.ts";
import { Kernel } from "./kernel.ts";
import type { Neighbour } from "./neighbours.ts";
import { ideal, type Pod, type Process } from "./process.ts";

export interface Scene {
  readonly kernel: Kernel;
  readonly neighbours: readonly Neighbour[];
  pods(): readonly Pod[];
  /** Null: it is not running. */
  process(): Process | null;
}

const NETWORKS = PREFIXES.map((text) => ({ text, prefix: prefixOf(text) }));

export class Oracle {
  readonly #scene: Scene;
  /** Wanted by the configuration, by the old and the new one while it changes. */
  wanted = new Set<string>();
  /** Have been in the kernel while they were wanted. */
  readonly there = new Set<string>();
  /** Have been announced while they were wanted and nothing spoke against it. */
  readonly announced = new Set<string>();
  /** Somebody has disturbed, and not everybody may have heard of its end so far. */
  readonly #disturbed = new Set<string>();
  problem: string | null = null;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  /** From now on only these are wanted. */
  want(prefixes: Iterable<string>): void {
    this.wanted = new Set(prefixes);
    for (const since of [this.there, this.announced])
      for (const prefix of since) if (!this.wanted.has(prefix)) since.delete(prefix);
  }

  fail(text: string): void {
    this.problem ??= text;
  }

  /** The invariants that hold at any moment. */
  look(): void {
    if (this.problem) return;
    const kernel = this.#scene.kernel;
    if (kernel.violation) this.fail(kernel.violation);
    for (const { name, table, believes } of this.#scene.neighbours)
      for (const prefix of believes.keys()) {
        if (kernel.excuses(prefix)) continue;
        if (!kernel.hasBlackhole(prefix))
          this.fail(`${name} believes in ${prefix}, and the kernel has no blackhole for it`);
        if (!kernel.hasRule(prefix, table))
          this.fail(`${name} believes in ${prefix}, and the kernel has no rule for it`);
      }
    for (const prefix of this.wanted) {
      const whole = kernel.hasBlackhole(prefix) && kernel.hasRule(prefix, null);
      if (whole && !this.there.has(prefix) && this.#isAcknowledged(prefix)) this.there.add(prefix);
      else if (!whole && this.there.has(prefix) && !kernel.excuses(prefix))
        this.fail(`${prefix} is wanted, was there, and is not whole in the kernel`);
    }
    for (const { addresses } of this.#scene.pods())
      for (const address of addresses)
        if (!this.isServed(address)) this.fail(`a pod has ${address}, and its block has gone`);
  }

  /** Not between two writes of the worker: it tells of them when it is done. */
  lookAtWhatIsAnnounced(): void {
    const process = this.#scene.process();
    if (!process || this.problem) return;
    const kernel = this.#scene.kernel;
    const local = [...process.speaker.local.values()];
    for (const prefix of [...kernel.taken.values(), ...kernel.refused]) this.#disturbed.add(prefix);
    // Whoever could have heard of a loss has heard of it.
    const quiet = process.toWorker.length === 0 && process.toMain.length === 0;
    if (quiet)
      for (const { prefix, table } of local)
        if (!kernel.hasBlackhole(prefix) || !kernel.hasRule(prefix, table))
          this.fail(`${prefix} is announced, and the kernel does not have it`);
    const now = new Set(local.map(({ prefix }) => prefix));
    for (const prefix of this.announced)
      if (!now.has(prefix)) {
        if (!this.#disturbed.has(prefix))
          this.fail(`${prefix} is wanted, was announced, and is not announced any more`);
        this.announced.delete(prefix);
      }
    for (const prefix of now) if (this.wanted.has(prefix)) this.announced.add(prefix);
    if (quiet) this.#disturbed.clear();
  }

  #isAcknowledged(prefix: string): boolean {
    const blocks = this.#scene.process()?.blocks.status() ?? [];
    return blocks.some((block) => block.prefix === prefix && ["installed", "announced"].includes(block.state.phase));
  }

  isServed(address: string): boolean {
    return networksOf(address).some(
      (prefix) =>
        (this.#scene.kernel.hasBlackhole(prefix) && this.#scene.kernel.hasRule(prefix, null)) ||
        this.#scene.kernel.excuses(prefix),
    );
  }

  /** The kernel and the neighbours have what is wanted, and nothing else. */
  lookAtTheEnd(process: Process, config: BlocksConfig, drained: boolean): void {
    const retiring = process.allocator.retiring().map(({ prefix }) => prefix);
    const kept = process.blocks.status().filter(({ configured }) => !configured);
    for (const { prefix, state } of kept)
      if (!retiring.includes(prefix)) this.fail(`${prefix} is not wanted, and is still ${state.phase}`);
    const wanted = [...wantedBlocks(config), ...kept.map(({ prefix, table }) => ({ prefix, table, attributes: null }))];
    const blocks = wanted.map(({ prefix, table }) => ({ prefix, table }));
    const kernel = this.#scene.kernel.list();
    const expected = ideal({ blocks, tables: config.tables }, config, () => new Kernel());
    if (JSON.stringify(kernel) !== JSON.stringify(expected))
      this.fail(`in the end the kernel has ${kernel.join("; ")} and not ${expected.join("; ")}`);
    for (const { name, table, believes } of this.#scene.neighbours) {
      const told = drained ? [] : wanted.filter((block) => block.table === table);
      for (const { prefix, attributes } of told)
        if (!believes.has(prefix)) this.fail(`in the end ${name} does not know of ${prefix}`);
        else if (attributes !== null && believes.get(prefix) !== attributes)
          this.fail(`in the end ${name} knows ${prefix} with other attributes`);
      for (const prefix of believes.keys())
        if (!told.some((block) => block.prefix === prefix)) this.fail(`in the end ${name} still believes in ${prefix}`);
    }
  }
}

const networks = new Map<string, readonly string[]>();

/** Those that an address is in. */
export function networksOf(address: string): readonly string[] {
  let found = networks.get(address);
  if (!found) {
    const host = hostPrefix(parseAddress(address) as Uint8Array);
    const around = NETWORKS.filter(({ prefix }) => prefix.family === host.family && contains(prefix, host));
    found = around.map(({ text }) => text);
    networks.set(address, found);
  }
  return found;
}
