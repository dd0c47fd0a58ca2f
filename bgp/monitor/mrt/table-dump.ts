// A TABLE_DUMP_V2 of all Adj-RIBs-In before policy, and of this node's own routes under the address 0.0.0.0: in slices,
// as fast as the disk takes it. Every record shows its prefix at one moment; the table may change between two of them.
//
// RFC 8050: paths of neighbours that send identifiers are in records of their own, beside those of the others.
// Of an entry's originated time it is only known that it is not before its session's beginning: that is what stands there.
import type { Family } from "../../../net/address.ts";
import type { PrefixTable } from "../../../net/prefix-table.ts";
import type { SliceTask } from "../../../net/slices.ts";
import type { PeerFamily } from "../../peer-family.ts";
import type { RibCore } from "../../rib-core.ts";
import { Writer } from "../../wire/writer.ts";
import { AttributeOctets } from "../attribute-octets.ts";
import type { DumpResult } from "../types.ts";
import { FileWriter } from "./file-writer.ts";
import { type MrtPeer, RibRecord, writePeerIndexTable } from "./records.ts";

/** Octets that wait for the disk at most, and that a step writes; Adj-RIBs-In that it looks into. */
const LONGEST_QUEUE = 4 << 20;
const STEP_OCTETS = 64 * 1024;
const STEP_LOOKS = 8192;

export interface DumpedPeer extends MrtPeer {
  /** When its session came up, milliseconds since 1970. */
  readonly since: number;
  /** Null: this node itself. */
  readonly families: ReadonlyMap<Family, PeerFamily> | null;
}

/** One path of a prefix. */
type PathOf = (id: number) => number;
interface Lane {
  readonly peer: number;
  readonly since: number;
  readonly setOf: PathOf;
  /** Null: no path identifiers. */
  readonly pathIdOf: PathOf | null;
}

export class TableDump implements SliceTask {
  readonly #core: RibCore;
  readonly #file: FileWriter;
  readonly #time: number;
  readonly #startedAt: number;
  readonly #peers: readonly DumpedPeer[];
  readonly #octets: AttributeOctets;
  readonly #writer = new Writer(STEP_OCTETS * 2);
  readonly #record = new RibRecord(this.#writer);
  readonly #address = new Uint8Array(16);
  readonly #families: Family[] = [4, 6];
  #id = 1;
  #sequence = 0;
  #prefixes = 0;
  #routes = 0;
  #done: (result: DumpResult) => void = () => {};
  #failed: (error: unknown) => void = () => {};

  private constructor(core: RibCore, file: FileWriter, peers: readonly DumpedPeer[], time: number) {
    this.#core = core;
    this.#file = file;
    this.#time = time;
    this.#peers = peers;
    this.#startedAt = core.clock.now();
    this.#octets = new AttributeOctets(core.store);
    file.onProgress = () => core.slices.schedule(this);
  }

  /** Rejects with what is wrong with the file; there is none of that name then, or the one that was there before. */
  static async write(path: string, core: RibCore, peers: readonly DumpedPeer[], time: number): Promise<DumpResult> {
    const file = await FileWriter.create(path);
    const dump = new TableDump(core, file, peers, time);
    try {
      return await dump.#run();
    } catch (error) {
      await file.abandon();
      throw error;
    }
  }

  #run(): Promise<DumpResult> {
    writePeerIndexTable(this.#writer, this.#time, this.#core.routerId, "", this.#peers);
    return new Promise((resolve, reject) => {
      this.#done = resolve;
      this.#failed = reject;
      this.#core.slices.schedule(this);
    });
  }

  step(): boolean {
    const { error, pending } = this.#file;
    if (error) {
      this.#failed(error);
      return false;
    }
    if (pending > LONGEST_QUEUE) return false;
    try {
      const [family] = this.#families;
      if (family) this.#walk(this.#core.prefixes[family]);
      this.#file.write(this.#writer.slice());
      this.#writer.reset();
    } catch (failure) {
      this.#failed(failure);
      return false;
    }
    if (this.#families.length > 0) return true;
    this.#file.onProgress = () => {};
    void this.#finish();
    return false;
  }

  async #finish(): Promise<void> {
    try {
      await this.#file.finish();
      this.#done({
        file: this.#file.path,
        prefixes: this.#prefixes,
        routes: this.#routes,
        bytes: this.#file.written,
        duration: Math.round(this.#core.clock.now() - this.#startedAt),
      });
    } catch (error) {
      this.#failed(error);
    }
  }

  #walk(prefixes: PrefixTable): void {
    const lanes = this.#lanes(prefixes.family);
    const plain = lanes.filter(({ pathIdOf }) => pathIdOf === null);
    const withIds = lanes.filter(({ pathIdOf }) => pathIdOf !== null);
    let looks = 0;
    while (this.#id < prefixes.limit && looks < STEP_LOOKS && this.#writer.offset < STEP_OCTETS) {
      const id = this.#id++;
      const before = this.#routes;
      this.#writeRecord(prefixes, id, plain, false);
      this.#writeRecord(prefixes, id, withIds, true);
      if (this.#routes > before) this.#prefixes++;
      looks += lanes.length + 1;
    }
    if (this.#id < prefixes.limit) return;
    this.#families.shift();
    this.#id = 1;
  }

  #writeRecord(prefixes: PrefixTable, id: number, lanes: readonly Lane[], withIds: boolean): void {
    const { family } = prefixes;
    let begun = false;
    for (const { peer, since, setOf, pathIdOf } of lanes) {
      const set = setOf(id);
      if (set === 0) continue;
      if (!begun) {
        begun = true;
        const length = prefixes.read(id, this.#address, 0);
        this.#record.begin(this.#time, family, withIds, this.#sequence++, this.#address, length);
      }
      this.#octets.read(set, family, true);
      this.#record.add(peer, since, pathIdOf?.(id) ?? 0, this.#octets.octets, this.#octets.nextHop);
    }
    if (!begun) return;
    this.#record.end();
    this.#routes += this.#record.entries;
  }

  /** As they are now: neighbours come and go, and the paths they send become more and fewer. */
  #lanes(family: Family): Lane[] {
    return this.#peers.flatMap(({ families, since }, peer): Lane[] => {
      if (families === null) return this.#own(family, peer, since);
      return (families.get(family)?.lanes ?? []).map(({ adjRibIn, pathIds }) => ({
        peer,
        since,
        setOf: (id) => adjRibIn.get(id),
        pathIdOf: pathIds && ((id) => pathIds.get(id)),
      }));
    });
  }

  #own(family: Family, peer: number, since: number): Lane[] {
    const locRibs = this.#core.locRibs.filter((locRib) => locRib.family === family);
    const own = locRibs.flatMap(({ sources }) => sources.filter(({ local }) => local));
    // One that is in several tables is announced once.
    const setOf: PathOf = (id) => {
      for (const { adjRibIn } of own) {
        const set = adjRibIn.get(id);
        if (set !== 0) return set;
      }
      return 0;
    };
    return [{ peer, since, setOf, pathIdOf: null }];
  }
}
