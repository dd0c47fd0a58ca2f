// A disk as hostile as the real ones: what is written is in the page cache until it is synced, a write that is under
// way when the power goes is there in any of its sectors, names are changed on disk when the directory is synced or
// when it pleases, and after a write that failed the cache shows what may never be written.
import type { Disk, DiskFile } from "../../../../cni/ipam/disk.ts";
import type { Steps } from "./steps.ts";

const SECTOR = 512;

interface Inode {
  readonly id: number;
  /** What a reader sees, and what is on the platter. */
  cache: Buffer;
  durable: Buffer;
  /** Sectors of the cache that are yet to be written back. */
  readonly dirty: Set<number>;
}

export type DiskFault = "none" | "full" | "readOnly" | "io";

type Random = (limit: number) => number;

export class SimulatedDisk {
  fault: DiskFault = "none";
  readonly #random: Random;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  /** Changes of names since the last sync of the directory. */
  #renames: (readonly [path: string, inode: Inode | null])[] = [];
  #serial = 1;
  /** As if the code under test did not sync what it writes. */
  lazy = false;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The face that one run sees. */
  face(steps: Pick<Steps, "step">): Disk {
    return {
      read: async (path) => {
        await steps.step(`read ${name(path)}`);
        const inode = this.#names.get(path);
        return inode ? Buffer.from(inode.cache) : null;
      },
      create: async (path) => {
        await steps.step(`create ${name(path)}`);
        this.#refuse(this.fault === "full" && this.#random(2) === 0);
        let inode = this.#names.get(path);
        if (inode) {
          inode.cache = Buffer.alloc(0);
          inode.dirty.clear();
          // The size may reach the platter at any time.
          if (this.#random(2) === 0) inode.durable = Buffer.alloc(0);
        } else {
          inode = { id: this.#serial++, cache: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: new Set() };
          this.#set(path, inode);
        }
        return this.#file(inode, name(path), steps);
      },
      rename: async (from, to) => {
        await steps.step(`rename ${name(from)}`);
        this.#refuse();
        const inode = this.#names.get(from);
        if (!inode) throw failure("ENOENT");
        this.#set(to, inode);
        this.#set(from, null);
        await steps.step("renamed");
        // It happened, and the answer says that it did not.
        this.#refuse(this.fault === "io" && this.#random(2) === 0);
      },
      remove: async (path) => {
        await steps.step(`remove ${name(path)}`);
        this.#refuse();
        if (this.#names.has(path)) this.#set(path, null);
      },
      makeDirectory: async () => {
        if (this.fault === "readOnly") throw failure("EROFS");
      },
      syncDirectory: async () => {
        await steps.step("sync directory");
        this.#refuse(this.fault === "io");
        this.#durableNames = new Map(this.#names);
        this.#renames = [];
        await steps.step("directory synced");
      },
      identity: async (path) => {
        await steps.step("look at the journal");
        const inode = this.#names.get(path);
        return inode ? String(inode.id) : null;
      },
    };
  }

  #file(inode: Inode, label: string, steps: Pick<Steps, "step">): DiskFile {
    return {
      identity: String(inode.id),
      write: async (bytes, position) => {
        await steps.step(`write ${bytes.length} bytes at ${position} of ${label}`);
        if (this.fault === "readOnly") throw failure("EROFS");
        const grows = position + bytes.length > inode.durable.length;
        const short = this.fault === "full" && grows ? this.#random(bytes.length) : bytes.length;
        this.#put(inode, bytes.subarray(0, short), position);
        await steps.step(`sync ${label}`);
        if (short < bytes.length) throw failure("ENOSPC");
        if (this.fault === "io" && this.#random(2) === 0) {
          // Some of it is on the platter, and the kernel takes all of it for written.
          this.#writeBack(inode, () => this.#random(2) === 0);
          inode.dirty.clear();
          throw failure("EIO");
        }
        if (this.lazy) return;
        this.#writeBack(inode, () => true);
        await steps.step(`written ${label}`);
      },
      close: async () => {
        if (this.fault === "io" && this.#random(4) === 0) throw failure("EIO");
      },
    };
  }

  #put(inode: Inode, bytes: Buffer, position: number): void {
    const end = position + bytes.length;
    if (end > inode.cache.length) inode.cache = Buffer.concat([inode.cache, Buffer.alloc(end - inode.cache.length)]);
    bytes.copy(inode.cache, position);
    for (let sector = Math.floor(position / SECTOR); sector * SECTOR < end; sector++) inode.dirty.add(sector);
  }

  #writeBack(inode: Inode, which: () => boolean): void {
    const sectors = [...inode.dirty].filter(which);
    if (sectors.length === 0) return;
    const end = Math.min(inode.cache.length, (Math.max(...sectors) + 1) * SECTOR);
    if (end > inode.durable.length) {
      const grown = Buffer.alloc(end);
      inode.durable.copy(grown);
      inode.durable = grown;
    }
    for (const sector of sectors) {
      inode.cache.copy(inode.durable, sector * SECTOR, sector * SECTOR, Math.min(end, (sector + 1) * SECTOR));
      inode.dirty.delete(sector);
    }
  }

  #set(path: string, inode: Inode | null): void {
    if (inode) this.#names.set(path, inode);
    else this.#names.delete(path);
    this.#renames.push([path, inode]);
  }

  #refuse(also = false): void {
    if (this.fault === "readOnly") throw failure("EROFS");
    if (also) throw failure(this.fault === "full" ? "ENOSPC" : "EIO");
  }

  /** Of what is not synced, any part may be there, and a sector under way in any of its bytes. */
  powerCut(): void {
    const inodes = new Set([...this.#names.values(), ...this.#durableNames.values()]);
    for (const inode of inodes) {
      const torn = [...inode.dirty][0];
      this.#writeBack(inode, () => this.#random(2) === 0);
      if (torn !== undefined && inode.dirty.has(torn)) {
        const from = torn * SECTOR;
        const length = Math.min(this.#random(SECTOR), Math.max(0, inode.durable.length - from));
        inode.cache.subarray(from, from + length).copy(inode.durable, from);
      }
      inode.dirty.clear();
      inode.cache = Buffer.from(inode.durable);
    }
    for (const [path, inode] of this.#renames) {
      if (this.#random(2) === 0) continue;
      if (inode) this.#durableNames.set(path, inode);
      else this.#durableNames.delete(path);
    }
    this.#renames = [];
    this.#names = new Map(this.#durableNames);
  }

  /** The state directory is gone. */
  lose(): void {
    this.#names.clear();
    this.#durableNames.clear();
    this.#renames = [];
  }

  /** A few bytes somewhere are not what was written. */
  rot(): void {
    for (const inode of this.#names.values()) {
      const length = inode.cache.length;
      if (length === 0) continue;
      // Most of it is room.
      const written = Math.min(length, inode.cache.indexOf(0) >>> 0);
      const at = this.#random(written || length);
      const bytes = 1 + this.#random(40);
      for (let i = at; i < Math.min(length, at + bytes); i++) inode.cache[i] = this.#random(256);
      inode.durable = Buffer.from(inode.cache);
      inode.dirty.clear();
    }
  }
}

function name(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}
