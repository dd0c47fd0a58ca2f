// One run of the daemon, as far as blocks are concerned: the real Blocks with their life and the real allocator on one
// side of a thread boundary, the real Owned, Rules and StaticRoutes on the other. What crosses it waits until it is
// told to go on.
import { Allocator } from "../../../cni/ipam/allocator.ts";
import { type BlockStatus, Blocks } from "../../../daemon/blocks/blocks.ts";
import { type BlocksConfig, nothingPlaced, type Placement } from "../../../daemon/blocks/placement.ts";
import { silentLog } from "../../../net/log.ts";
import { InstalledBlocks } from "../../../routing/fib/installed-blocks.ts";
import type { NextHops } from "../../../routing/fib/next-hops.ts";
import { Owned } from "../../../routing/fib/owned.ts";
import { removeEverything } from "../../../routing/fib/remove.ts";
import { Rules } from "../../../routing/fib/rules.ts";
import { StaticRoutes } from "../../../routing/fib/static-routes.ts";
import { decodeRoute, encodeRouteDump, RouteReader } from "../../../routing/netlink/route.ts";
import type { NetlinkSocket } from "../../../routing/netlink/socket.ts";
import { Ownership } from "../../../routing/ownership.ts";
import type { BlockChange, Fib, OwnedResult, OwnedState } from "../../../routing/types.ts";
import type { Kernel } from "./kernel.ts";
import { type Neighbour, SpeakerModel } from "./neighbours.ts";
import type { VirtualClock } from "./scheduler.ts";

const DEFERRAL = 60_000;

export interface Pod {
  readonly pool: string;
  readonly addresses: readonly string[];
  readonly sequence: number;
}

export interface World {
  readonly kernel: Kernel;
  readonly clock: VirtualClock;
  readonly neighbours: readonly Neighbour[];
  readonly pods: readonly Pod[];
  readonly drained: boolean;
  /** Prefixes that pods have addresses of, or neighbours believe in. */
  missed(): readonly string[];
  /** What is claimed at the start. Absent: nothing. */
  placement?(): Placement;
  onBlock?(status: BlockStatus): void;
  /** The allocator knows the pods. */
  onRunning?(): void;
}

export class Process {
  readonly kernel: Kernel;
  readonly speaker: SpeakerModel;
  readonly allocator: Allocator;
  readonly blocks: Blocks;
  /** What the worker has yet to do, and what the main thread has yet to hear. */
  readonly toWorker: (() => void)[] = [];
  readonly toMain: (() => void)[] = [];
  config: BlocksConfig;
  running = false;
  /** Why it could not start. */
  failed: Error | null = null;
  drained = false;
  /** Under way: a reload, a drain, a stop. */
  busy = false;
  #converged = false;
  readonly #missed: () => readonly string[];
  readonly #clock: VirtualClock;
  readonly #startedAt: number;
  readonly #socket: NetlinkSocket;
  readonly #ownership: Ownership;
  readonly #static: StaticRoutes;
  readonly #rules: Rules;
  readonly #owned: Owned;
  readonly #installed = new InstalledBlocks();
  readonly #listeners: ((change: BlockChange) => void)[] = [];

  constructor(
    config: BlocksConfig,
    world: World,
    variant: (fib: Pick<Fib, "formerBlocks" | "setOwned" | "onBlock">, process: Process) => typeof fib = (fib) => fib,
  ) {
    this.config = config;
    this.kernel = world.kernel;
    this.drained = world.drained;
    this.#missed = world.missed;
    this.#clock = world.clock;
    this.#startedAt = world.clock.now();
    this.#socket = world.kernel.socket();
    this.#ownership = new Ownership(config.routing);
    this.#static = new StaticRoutes(this.#socket, this.#ownership);
    this.#rules = new Rules(this.#socket, this.#ownership);
    this.#owned = new Owned(this.#static, this.#rules, this.#ownership, {
      refusedBlocks: (refused) =>
        this.toMain.push(() => {
          for (const change of this.#installed.repaired(refused))
            for (const listener of this.#listeners) listener(change);
        }),
    });
    this.speaker = new SpeakerModel(world.neighbours, world.clock);
    this.allocator = new Allocator(config.pools, { onRetired: () => this.blocks.podsChanged() });
    const fib = variant(
      {
        setOwned: (owned) => this.#setOwned(owned),
        formerBlocks: () => this.request(() => this.#owned.found()),
        onBlock: (listener) => void this.#listeners.push(listener),
      },
      this,
    );
    this.blocks = new Blocks(config, {
      fib,
      speaker: this.speaker.face,
      pods: this.allocator,
      clock: world.clock,
      log: silentLog,
      onChange: (status) => world.onBlock?.(status),
    });
    void this.#start(world);
  }

  async #start(world: World): Promise<void> {
    await this.request(() => this.#adopt());
    try {
      await this.blocks.start(world.placement?.() ?? nothingPlaced);
    } catch (error) {
      this.failed = error as Error;
      return;
    }
    this.allocator.keep(this.blocks.leftBehind());
    for (const pod of world.pods) this.allocator.adopt(pod);
    this.blocks.podsChanged();
    if (!this.drained) this.blocks.announceAll();
    this.running = true;
    world.onRunning?.();
  }

  /** As the fib worker at its start: what carries our number is taken over. */
  #adopt(): void {
    this.#rules.adopt();
    this.#static.beginDump();
    for (const family of [4, 6] as const)
      for (const route of this.#socket.dump(
        (out) => encodeRouteDump(out, family, 0, this.config.routing.protocol),
        decodeRoute,
      ))
        if (this.#ownership.ownsProtocol(route.protocol)) this.#static.found(route);
    this.#static.endDump();
  }

  /** As the client of the fib worker. */
  async #setOwned(owned: OwnedState): Promise<OwnedResult> {
    this.#installed.asking(owned.blocks);
    const refused = await this.request(() => {
      const { refused } = this.#owned.set(owned, () => []);
      this.kernel.refused.clear();
      for (const { prefix } of refused) this.kernel.refused.add(prefix);
      this.kernel.forgetTaken(new Set([...owned.blocks.map(({ prefix }) => prefix), ...this.#missed()]));
      return refused;
    });
    return this.#installed.answered(owned.blocks, refused);
  }

  /** The worker does it when its turn comes, and the answer arrives when its turn comes. */
  request<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.toWorker.push(() => {
        try {
          const value = work();
          this.toMain.push(() => resolve(value));
        } catch (error) {
          if ((error as Error).constructor.name === "Crash") throw error;
          this.toMain.push(() => reject(error));
        }
      });
    });
  }

  /** The kernel says that somebody has changed something; as Repairs does it, routes and rules each in their own time. */
  notified(kind: "route" | "rule", bytes: Buffer): void {
    this.toWorker.push(() => {
      const reader = new RouteReader();
      if (kind === "route" && reader.read(bytes, 0, bytes.length)) this.#static.deleted(reader);
      this.toWorker.push(() => (kind === "route" ? this.#repairRoutes() : this.#repairRules()));
    });
  }

  #repairRoutes(): void {
    this.#static.restore(() => true);
    this.#repairing(() => this.#owned.routesRepaired());
  }

  #repairRules(): void {
    this.#repairing(() => this.#owned.repairRules());
  }

  #repairing(work: () => void): void {
    try {
      work();
    } catch (error) {
      if ((error as Error).constructor.name === "Crash") throw error;
      // Resync tries again, with growing pauses.
      this.#clock.after(1000, () => {
        if (this.#live) this.toWorker.push(() => this.#repairRules());
      });
    }
  }

  #live = true;

  end(): void {
    this.#live = false;
    this.blocks.stop();
    this.toWorker.length = 0;
    this.toMain.length = 0;
  }

  /** When every neighbour has sent its routes, or the time for it has passed. */
  converge(allUp: boolean): void {
    if (this.#converged || !this.running) return;
    if (!allUp && this.#clock.now() - this.#startedAt < DEFERRAL) return;
    this.#converged = true;
    void this.request(() => {
      if (this.#rules.stale > 0) this.#rules.removeAll();
      this.#static.sweep();
    }).then(() => this.blocks.converged());
  }

  removeEverything(): void {
    removeEverything(this.#socket, this.#ownership, this.#rules, { removeAll: () => 0 } as unknown as NextHops);
  }
}

const ideals = new Map<string, readonly string[]>();

/** What the kernel holds when it holds just this, and nothing has disturbed. */
export function ideal(owned: OwnedState, config: BlocksConfig, kernel: () => Kernel): readonly string[] {
  const key = JSON.stringify(owned);
  let list = ideals.get(key);
  if (!list) {
    const fresh = kernel();
    const ownership = new Ownership(config.routing);
    const parts = [new StaticRoutes(fresh.socket(), ownership), new Rules(fresh.socket(), ownership)] as const;
    new Owned(...parts, ownership, { refusedBlocks: () => {} }).set(owned, () => []);
    list = fresh.list();
    ideals.set(key, list);
  }
  return list;
}
