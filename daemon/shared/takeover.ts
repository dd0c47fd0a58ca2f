// Pods that were here before their pool was shared, with addresses in its ranges. In: pools, addresses in use, the
// source of blocks. Out: the blocks around those addresses are claimed like any other, before the pools change; or, in
// words, why that cannot be. A reload is refused then: pods go on as they are. At a start, when the configuration has
// changed already, what cannot be claimed is not announced, since another node may have it.
import { blockAround, isIn } from "../../cni/blocks/space.ts";
import { type BlockSource, BlockSourceError } from "../../cni/blocks/types.ts";
import type { PoolConfig } from "../../config/types.ts";
import type { Log } from "../../net/log.ts";
import { asSourceError } from "./claims.ts";

type Pool = Pick<PoolConfig, "name" | "source" | "ranges" | "blockSize">;

export interface TakeoverDependencies {
  /** Null: no pool is shared. */
  readonly source: () => BlockSource | null;
  /** Addresses in use here, except those that were let in one by one. */
  readonly addresses: () => readonly string[];
  readonly log: Log;
  /** Resolves when the kernel has what has been claimed. */
  place(): Promise<void>;
}

interface Needed {
  readonly pool: Pool;
  readonly address: string;
}

export class Takeover {
  readonly #deps: TakeoverDependencies;
  #pools: readonly Pool[];
  #failure: BlockSourceError | null = null;

  constructor(pools: readonly Pool[], deps: TakeoverDependencies) {
    this.#pools = pools;
    this.#deps = deps;
  }

  /**
   * Before other pools come. Rejects with BlockSourceError at the first block that cannot be had; those before it stay
   * this node's.
   */
  async prepare(pools: readonly Pool[]): Promise<void> {
    const needed = () => this.#fresh(pools);
    if (needed().length === 0) return;
    await this.#takeOver(needed);
    await this.#deps.place();
  }

  /** Other pools are there. */
  configured(pools: readonly Pool[]): void {
    this.#pools = pools;
  }

  /** At a start. What cannot be had is told. */
  async late(): Promise<void> {
    try {
      if (this.#missing().length > 0) {
        await this.#takeOver(() => this.#missing());
        await this.#deps.place();
      }
      this.#failure = null;
    } catch (error) {
      this.#failure = asSourceError(error);
      this.#deps.log.error({ reason: this.#failure.message }, "pods here cannot be reached");
    }
  }

  /** Etcd can be asked again. */
  async connected(): Promise<void> {
    if (this.waiting) await this.late();
  }

  /** Until etcd can be asked. */
  get waiting(): boolean {
    return this.#failure?.code === "unavailable";
  }

  /** Null: none, or none any more. */
  get problem(): string | null {
    return this.#failure && this.#missing().length > 0 ? this.#failure.message : null;
  }

  /** Blocks that prepare() would claim, by what the configuration says; etcd may say otherwise. */
  foresee(pools: readonly Pool[]): { readonly pool: string; readonly prefix: string }[] {
    const blocks = this.#fresh(pools).map(({ pool, address }) => {
      const size = address.includes(":") ? pool.blockSize.ipv6 : pool.blockSize.ipv4;
      return { pool: pool.name, prefix: blockAround(address, pool.ranges, size)! };
    });
    return [...new Map(blocks.map((block) => [block.prefix, block])).values()];
  }

  /** Of ranges that were not shared so far: what has been lost since is not asked for again. */
  #fresh(pools: readonly Pool[]): Needed[] {
    return this.#missing(pools).filter(({ address }) => inRanges(this.#pools, [address]).length === 0);
  }

  #missing(pools = this.#pools): Needed[] {
    const own = this.#deps.source()?.blocks() ?? [];
    if (!pools.some(({ source }) => source === "etcd")) return [];
    return inRanges(pools, this.#deps.addresses()).filter(
      ({ address }) => !own.some(({ prefix }) => isIn(address, prefix)),
    );
  }

  /** Until nothing is needed: pods may come meanwhile. */
  async #takeOver(needed: () => readonly Needed[]): Promise<void> {
    for (let [next] = needed(); next; [next] = needed()) {
      try {
        const source = this.#deps.source();
        if (!source) return;
        await source.take(next.pool.name, next.address);
      } catch (error) {
        const { code, message } = asSourceError(error);
        throw new BlockSourceError(code, refusal(next, code, message));
      }
    }
  }
}

function inRanges(pools: readonly Pool[], addresses: readonly string[]): Needed[] {
  const shared = pools.filter(({ source }) => source === "etcd");
  return addresses.flatMap((address) => {
    const pool = shared.find(({ ranges }) => ranges.some((range) => isIn(address, range)));
    return pool ? [{ pool, address }] : [];
  });
}

function refusal({ pool, address }: Needed, code: BlockSourceError["code"], reason: string): string {
  const what = `a pod here has ${address}, in a range that pool "${pool.name}" shares with other nodes, and the block around it cannot be claimed: ${reason}`;
  return code === "unavailable"
    ? `${what}; it can when etcd answers`
    : `${what}; remove the pods of that block, or leave it out of the pool's ranges`;
}
