// Several paths per prefix from one peer (RFC 7911): finds the lane of a (prefix, path identifier), and counts prefixes
// beside paths. Exists while a session has path identifiers; what it does per path costs a walk over the lanes.
//
// More simultaneous paths of a prefix than `limit` are counted and otherwise ignored: the session stays, and which of a
// prefix's paths are kept is a matter of who came first, save that a stale one makes room.
import { DirtySet } from "../net/dirty-set.ts";
import type { PrefixTable } from "../net/prefix-table.ts";
import type { Lane } from "./lane.ts";
import { PATH_ID_LENGTH, readPathId } from "./wire/nlri.ts";

export interface PathLanes {
  lanes(): readonly Lane[];
  /** Opens a further lane; null: there are too many already, over all peers. */
  addLane(): Lane | null;
}

export class PeerPaths {
  readonly #prefixes: PrefixTable;
  readonly #owner: PathLanes;
  readonly #limit: number;
  readonly #onIgnored: (id: number, pathId: number) => void;
  /** Prefixes with at least one path. */
  readonly #present = new DirtySet();

  constructor(prefixes: PrefixTable, owner: PathLanes, limit: number, onIgnored: (id: number, pathId: number) => void) {
    this.#prefixes = prefixes;
    this.#owner = owner;
    this.#limit = limit;
    this.#onIgnored = onIgnored;
  }

  /** Prefixes that the peer announces. */
  get size(): number {
    return this.#present.size;
  }

  announce(buffer: Uint8Array, start: number, end: number, attributes: number): void {
    for (let at = start; at < end; ) {
      const pathId = readPathId(buffer, at);
      at += PATH_ID_LENGTH;
      const length = buffer[at++];
      const id = this.#prefixes.intern(buffer, at, length);
      at += (length + 7) >>> 3;
      const lane = this.#laneFor(id, pathId);
      if (lane === null) {
        this.#onIgnored(id, pathId);
        continue;
      }
      lane.pathIds?.set(id, pathId);
      if (!lane.adjRibIn.announce(id, attributes)) continue;
      this.#present.add(id);
      lane.update(id);
    }
  }

  withdraw(buffer: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; ) {
      const pathId = readPathId(buffer, at);
      at += PATH_ID_LENGTH;
      const length = buffer[at++];
      const id = this.#prefixes.find(buffer, at, length);
      at += (length + 7) >>> 3;
      const lane = id === 0 ? null : this.#find(id, pathId);
      if (lane === null) continue;
      lane.adjRibIn.withdraw(id);
      if (!this.#owner.lanes().some((other) => other.has(id))) this.#present.delete(id);
      lane.update(id);
    }
  }

  /** Many paths have been doomed at once: counts again. */
  recount(): void {
    this.#present.clear();
    for (const { adjRibIn } of this.#owner.lanes()) {
      for (let id = adjRibIn.next(0); id >= 0; id = adjRibIn.next(id + 1)) this.#present.add(id);
    }
  }

  #find(id: number, pathId: number): Lane | null {
    for (const lane of this.#owner.lanes()) if (lane.has(id) && lane.pathIds?.get(id) === pathId) return lane;
    return null;
  }

  /** The lane that has the path, or else a free one; null: there are enough of this prefix. */
  #laneFor(id: number, pathId: number): Lane | null {
    const lanes = this.#owner.lanes();
    let free: Lane | null = null;
    let stale: Lane | null = null;
    for (const lane of lanes) {
      if (!lane.has(id)) free ??= lane;
      else if (lane.pathIds?.get(id) === pathId) return lane;
      else if (lane.adjRibIn.isStale(id)) stale ??= lane;
    }
    return free ?? (lanes.length < this.#limit ? this.#owner.addLane() : null) ?? stale;
  }
}
