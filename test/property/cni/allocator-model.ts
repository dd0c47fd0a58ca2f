// What the allocator must answer, worked out the slow way: every address of every pool in one list, looked through from the
// beginning each time. In: the same deeds. Out: the addresses or the error code that are right.
import type { PoolOptions } from "../../../cni/types.ts";

export interface ModelPool {
  readonly name: string;
  /** By family and block, in the order in which they are given out. */
  readonly blocks: Readonly<Record<4 | 6, readonly (readonly string[])[]>>;
  readonly excluded: readonly string[];
  readonly reserved: readonly string[];
  readonly cooldown: number;
  /** Cooling ones are given when there are no others, and by name. */
  readonly reuse?: boolean;
  readonly sticky: NonNullable<PoolOptions["sticky"]> | null;
}

export interface Request {
  readonly pools: readonly string[];
  readonly wanted: readonly string[];
  readonly identity: string;
  readonly named: boolean;
}

interface Used {
  readonly kind: "used";
  readonly id: number;
  readonly request: Request;
}

interface Given {
  readonly kind: "released";
  readonly id: number;
  readonly identity: string;
  named: boolean;
  at: number;
  since: number;
  readonly time: number;
  /** Among those that were given back at the same moment. */
  rank: number;
  /** In the store. */
  order: number;
  kept: boolean;
}

type State = Used | Given;

export type Answer = { readonly code: number } | { readonly addresses: readonly string[]; readonly id: number };

export class AllocatorModel {
  readonly #pools: readonly ModelPool[];
  #states = new Map<string, State>();
  #before: Map<string, State> = new Map();
  #count = 0;
  now = 0;
  wall = 0;

  constructor(pools: readonly ModelPool[]) {
    this.#pools = pools;
  }

  expire(): void {
    for (const pool of this.#pools) {
      for (;;) {
        const kept = this.#reservations(pool);
        if (kept.length === 0 || !pool.sticky) break;
        const [oldest] = kept;
        if (oldest.since + pool.sticky.for * 1000 > this.now && kept.length <= pool.sticky.limit) break;
        this.#unkeep(oldest.states);
      }
    }
  }

  add(request: Request): Answer {
    this.#before = new Map([...this.#states].map(([address, state]) => [address, { ...state }]));
    const pools = request.pools.map((name) => this.#pools.find((pool) => pool.name === name)!);
    if (request.wanted.length > 0) {
      const pool = pools.find((one) => request.wanted.every((address) => of(one).includes(address)));
      if (!pool) return { code: 102 };
      return this.#inOne([pool], request);
    }
    const keepers = pools.filter((pool) =>
      this.#reservations(pool).some(({ identity }) => identity === request.identity),
    );
    return this.#inOne([...keepers, ...pools.filter((pool) => !keepers.includes(pool))], request);
  }

  /** As if the last add() had not been. */
  undo(): void {
    const undone = [...this.#states].filter(
      ([address, state]) => state.kind === "used" && this.#before.get(address) !== state,
    );
    this.#states = this.#before;
    for (const [address] of undone) {
      const state = this.#states.get(address);
      if (state?.kind !== "released") continue;
      state.order = state.rank = ++this.#count;
      state.named &&= state.kept;
    }
  }

  release(id: number): void {
    const given: Given[] = [];
    for (const [address, state] of [...this.#states]) {
      if (state.kind !== "used" || state.id !== id) continue;
      const { identity, named } = state.request;
      const { now, wall } = this;
      const rank = ++this.#count;
      const times = { at: now, since: now, time: wall };
      const back: Given = { kind: "released", id, identity, named, ...times, rank, order: rank, kept: false };
      this.#states.set(address, back);
      given.push(back);
    }
    for (const state of given) this.#keep(state);
  }

  /** A new process; `booted`: of a machine that was booted as well. */
  restart(booted: boolean): void {
    const released = [...this.#states.values()].filter((state) => state.kind === "released");
    released.sort((a, b) => a.order - b.order);
    for (const state of released) {
      if (booted) {
        state.since = this.now - Math.max(0, this.wall - state.time);
        state.at = this.now;
      }
      state.kept = false;
    }
    for (const state of released) {
      state.rank = ++this.#count;
      this.#keep(state);
    }
  }

  counts(
    name: string,
    family: 4 | 6,
  ): { used: number; free: number; cooling: number; reserved: number; sticky: number } {
    const pool = this.#pools.find((one) => one.name === name)!;
    const counts = { used: 0, free: 0, cooling: 0, reserved: 0, sticky: 0 };
    for (const address of pool.blocks[family].flat()) {
      const state = this.#states.get(address);
      const withheld = pool.reserved.includes(address);
      if (withheld && state?.kind !== "used") counts.reserved++;
      if (state?.kind === "used") counts.used++;
      else if (state?.kept) counts.sticky++;
      else if (state && state.at + pool.cooldown > this.now) counts.cooling++;
      else if (!withheld) counts.free++;
    }
    return counts;
  }

  /** Whose last pair is kept in a pool, oldest first. */
  kept(name: string): string[] {
    return this.#reservations(this.#pools.find((one) => one.name === name)!).map(({ identity }) => identity);
  }

  #inOne(pools: readonly ModelPool[], request: Request): Answer {
    let later = false;
    for (const pool of pools) {
      const chosen = this.#choose(pool, request);
      if (Array.isArray(chosen)) return this.#take(pool, chosen, request);
      if (chosen.byName || chosen.code === 101 || chosen.code === 102) return { code: chosen.code };
      later ||= chosen.code === 11;
    }
    for (const pool of pools.filter(({ reuse }) => reuse)) {
      const chosen = this.#choose(pool, request, true);
      if (Array.isArray(chosen)) return this.#take(pool, chosen, request);
    }
    if (later) return { code: 11 };
    for (const pool of pools) {
      const evicted: { state: Given; kept: Given }[] = [];
      for (;;) {
        const chosen = this.#choose(pool, request);
        if (Array.isArray(chosen)) return this.#take(pool, chosen, request);
        const { family } = chosen as { family: 4 | 6 };
        const oldest = this.#reservations(pool).find(({ addresses }) =>
          addresses.some((address) => pool.blocks[family].flat().includes(address)),
        );
        const address = oldest?.addresses.find((one) => pool.blocks[family].flat().includes(one));
        if (oldest && address && (this.#states.get(address) as Given).at + pool.cooldown <= this.now) {
          for (const state of oldest.states) evicted.push({ state, kept: { ...state } });
          this.#unkeep(oldest.states);
          continue;
        }
        for (const { state } of evicted) {
          state.kept = true;
          state.rank = ++this.#count;
        }
        if (oldest) return { code: 11 };
        break;
      }
    }
    return { code: 100 };
  }

  #choose(
    pool: ModelPool,
    request: Request,
    cooling = false,
  ): string[] | { code: number; family?: 4 | 6; byName?: boolean } {
    for (const wanted of request.wanted) {
      const state = this.#states.get(wanted);
      if (pool.excluded.includes(wanted)) return { code: 102 };
      if (state?.kind === "used") return { code: 101 };
      if (!state || state.identity === request.identity) continue;
      if (state.kept) return { code: 101 };
      if (state.at + pool.cooldown > this.now && !pool.reuse) return { code: 11, byName: true };
    }
    const chosen: string[] = [];
    for (const family of [4, 6] as const) {
      const all = pool.blocks[family].flat();
      const wanted = request.wanted.find((address) => address.includes(":") === (family === 6));
      if (wanted !== undefined) {
        chosen.push(wanted);
        continue;
      }
      if (all.length === 0) continue;
      const own = this.#reservations(pool).find(({ identity }) => identity === request.identity);
      const again = own?.addresses.find((address) => all.includes(address));
      const back = (block: readonly string[]) =>
        block
          .flatMap((address) => {
            const state = this.#states.get(address);
            return state?.kind === "released" && !state.kept && !withheld(pool, address) ? [{ address, state }] : [];
          })
          .sort((a, b) => a.state.at - b.state.at || a.state.rank - b.state.rank);
      const free = pool.blocks[family].map((block) => {
        const fresh = block.find((address) => !this.#states.has(address) && !withheld(pool, address));
        return fresh ?? back(block).find(({ state }) => state.at + pool.cooldown <= this.now)?.address;
      });
      const longest = pool.blocks[family]
        .flatMap((block) => back(block).slice(0, 1))
        .sort((a, b) => a.state.at - b.state.at)[0]?.address;
      const address = again ?? free.find((one) => one !== undefined) ?? (cooling ? longest : undefined);
      if (address === undefined) return { code: back(all).length > 0 ? 11 : 100, family };
      chosen.push(address);
    }
    return chosen;
  }

  #take(pool: ModelPool, addresses: string[], request: Request): Answer {
    const id = ++this.#count;
    const own = this.#reservations(pool).find(({ identity }) => identity === request.identity);
    if (own) this.#unkeep(own.states);
    for (const address of addresses) this.#states.set(address, { kind: "used", id, request });
    return { addresses, id };
  }

  /** An address given back is kept, in place of what another allocation of that identity has left. */
  #keep(state: Given): void {
    const pool = this.#pools.find((one) => of(one).some((address) => this.#states.get(address) === state))!;
    if (!pool.sticky || !state.named || state.since + pool.sticky.for * 1000 <= this.now) return;
    const former = this.#reservations(pool).find(({ identity }) => identity === state.identity);
    if (former && former.states[0].id !== state.id) this.#unkeep(former.states);
    state.kept = true;
    this.expire();
  }

  #unkeep(states: readonly Given[]): void {
    for (const state of states) {
      state.kept = false;
      state.rank = ++this.#count;
    }
  }

  #reservations(pool: ModelPool) {
    const found = new Map<
      string,
      { identity: string; since: number; order: number; addresses: string[]; states: Given[] }
    >();
    for (const address of of(pool)) {
      const state = this.#states.get(address);
      if (state?.kind !== "released" || !state.kept) continue;
      const one = found.get(state.identity) ?? {
        identity: state.identity,
        since: state.since,
        order: state.order,
        addresses: [],
        states: [],
      };
      one.addresses.push(address);
      one.states.push(state);
      found.set(state.identity, one);
    }
    return [...found.values()].sort((a, b) => a.since - b.since || a.order - b.order);
  }
}

function of(pool: ModelPool): string[] {
  return [...pool.blocks[4].flat(), ...pool.blocks[6].flat()];
}

function withheld(pool: ModelPool, address: string): boolean {
  return pool.excluded.includes(address) || pool.reserved.includes(address);
}
