// The learned routes of all tables. In: batches of what is wanted, what a dump or notification says of the kernel, next-hop
// groups that come and go. Out: dirty routes for the writer, and how many routes use a set or a group.
import type { Family } from "../../net/address.ts";
import type { RouteReader } from "../netlink/route.ts";
import type { RouteBatch } from "../types.ts";
import { RouteTable } from "./route-table.ts";

export class Routes {
  readonly #tables: RouteTable[] = [];
  #bySet = new Uint32Array(64);
  /** By nexthop id: routes in the kernel that use it. */
  readonly #byGroup = new Map<number, { users: number }>();
  #lastGroupId = 0;
  /** Most routes are written to the group of the one before. */
  #lastGroup = { users: 0 };
  #takeFrom = 0;

  tables(): readonly RouteTable[] {
    return this.#tables;
  }

  table(family: Family, table: number): RouteTable {
    let found = this.find(family, table);
    if (!found) {
      found = new RouteTable(family, table);
      this.#tables.push(found);
    }
    return found;
  }

  find(family: Family, table: number): RouteTable | undefined {
    return this.#tables.find((candidate) => candidate.family === family && candidate.table === table);
  }

  apply(batch: RouteBatch): void {
    const table = this.table(batch.family, batch.table);
    const { addresses, lengths, nextHopSets } = batch;
    for (let i = 0; i < batch.count; i++) {
      const set = nextHopSets[i];
      const offset = i * table.size;
      const id = set === 0 ? table.find(addresses, offset, lengths[i]) : table.intern(addresses, offset, lengths[i]);
      if (id < 0) continue;
      this.want(table, id, set);
      table.markDirty(id);
    }
  }

  want(table: RouteTable, id: number, set: number): void {
    const before = table.desired[id];
    if (before !== set) {
      if (before !== 0) this.#bySet[before]--;
      if (set >= this.#bySet.length) {
        const larger = new Uint32Array(Math.max(set + 1, this.#bySet.length * 2));
        larger.set(this.#bySet);
        this.#bySet = larger;
      }
      if (set !== 0) this.#bySet[set]++;
    }
    table.want(id, set);
  }

  setKernel(table: RouteTable, id: number, nextHopId: number): void {
    const before = table.kernel[id];
    if (before !== nextHopId) {
      if (before !== 0) this.#groupOf(before).users--;
      if (nextHopId !== 0) this.#groupOf(nextHopId).users++;
    }
    table.setKernel(id, nextHopId);
  }

  /** The kernel has the route no more. One that is wanted, or listed as failed, is for the writer. */
  gone(table: RouteTable, id: number): void {
    this.setKernel(table, id, 0);
    if (table.desired[id] !== 0 || table.isFailed(id)) table.markDirty(id);
    else table.releaseIfUnused(id);
  }

  #groupOf(groupId: number): { users: number } {
    if (groupId === this.#lastGroupId) return this.#lastGroup;
    let group = this.#byGroup.get(groupId);
    if (!group) {
      group = { users: 0 };
      this.#byGroup.set(groupId, group);
    }
    this.#lastGroupId = groupId;
    this.#lastGroup = group;
    return group;
  }

  usersOf(groupId: number): number {
    return this.#byGroup.get(groupId)?.users ?? 0;
  }

  usedBy(groupId: number, set: number): boolean {
    return this.usersOf(groupId) > 0 || (set !== 0 && set < this.#bySet.length && this.#bySet[set] > 0);
  }

  /** The kernel dropped every route of this group. */
  groupGone(groupId: number): void {
    if (this.usersOf(groupId) === 0) return;
    for (const table of this.#tables) {
      for (let id = 0; id < table.top; id++) {
        if (table.kernel[id] === groupId) this.gone(table, id);
      }
    }
  }

  /** What a set stands for in the kernel is another group now, or none. */
  setChanged(set: number): void {
    if (set >= this.#bySet.length || this.#bySet[set] === 0) return;
    for (const table of this.#tables)
      for (let id = 0; id < table.top; id++) if (table.desired[id] === set) table.markDirty(id);
  }

  /** A learned route of ours that a dump found; `adopt`: it may be asked for yet. */
  found(reader: RouteReader, adopt: boolean): void {
    const table = this.table(reader.family, reader.table);
    const known = table.find(reader.address, 0, reader.length);
    if (known >= 0 && table.isSeen(known)) return; // written by us since the dump began: that is newer
    const id = known >= 0 ? known : table.intern(reader.address, 0, reader.length);
    this.setKernel(table, id, reader.nextHopId);
    if (table.desired[id] !== 0) table.markDirty(id);
    else if (adopt) table.setStale(id, true);
    else if (!table.isStale(id)) table.markDirty(id);
  }

  beginDump(): void {
    for (const table of this.#tables) table.clearSeen();
  }

  /** Everything that the dump did not show is not in the kernel. Returns how many routes had been lost. */
  endDump(): number {
    let lost = 0;
    for (const table of this.#tables) {
      for (let id = 0; id < table.top; id++) {
        if (table.kernel[id] === 0 || table.isSeen(id)) continue;
        this.gone(table, id);
        lost++;
      }
    }
    return lost;
  }

  /** Stale routes become unwanted. Returns how many. */
  sweep(): number {
    let swept = 0;
    for (const table of this.#tables) {
      if (table.staleCount === 0) continue;
      for (let id = 0; id < table.top; id++) {
        if (!table.isStale(id)) continue;
        table.setStale(id, false);
        table.markDirty(id);
        swept++;
      }
    }
    return swept;
  }

  retryFailed(): void {
    for (const table of this.#tables)
      for (let id = 0; id < table.top; id++)
        if (table.isFailed(id)) {
          table.setFailed(id, false);
          table.markDirty(id);
        }
  }

  /** Nothing is left to write: room for forgetting what is not needed. */
  forgetUnused(): void {
    for (const table of this.#tables) table.forgetUnused();
    for (const [id, { users }] of this.#byGroup) if (users === 0 && id !== this.#lastGroupId) this.#byGroup.delete(id);
  }

  /** A table with something to do, in turn; undefined when all is done. */
  nextDirtyTable(): RouteTable | undefined {
    for (let i = 0; i < this.#tables.length; i++) {
      const table = this.#tables[(this.#takeFrom + i) % this.#tables.length];
      if (table.dirty === 0) continue;
      this.#takeFrom = (this.#takeFrom + i + 1) % this.#tables.length;
      return table;
    }
    return undefined;
  }

  get dirty(): number {
    return this.#sum((table) => table.dirty);
  }

  get desired(): number {
    return this.#sum((table) => table.desiredCount);
  }

  get installed(): number {
    return this.#sum((table) => table.installedCount);
  }

  get stale(): number {
    return this.#sum((table) => table.staleCount);
  }

  #sum(of: (table: RouteTable) => number): number {
    return this.#tables.reduce((sum, table) => sum + of(table), 0);
  }
}
