// What attachments live in: the worker that attaches, the disk, the boot, the namespaces and processes of this host.
// Whatever has pods without a host (the warm-up, the simulated histories of the tests) brings others.
import { Attacher, type AttacherEvents, type Attaching } from "./attach/attacher.ts";
import { findHolders, type Holders } from "./holders.ts";
import { type Disk, realDisk } from "./ipam/disk.ts";
import { currentBoot } from "./ipam/store.ts";
import { isNamespace } from "./namespace.ts";

export interface Surroundings {
  readonly attacher: (events: AttacherEvents) => Attaching;
  readonly disk: Disk;
  /** The boot of the host; null: not known. */
  readonly boot: () => string | null;
  readonly isNamespace: (path: string, id: string) => Promise<boolean>;
  readonly findHolders: (ids: ReadonlySet<string>) => Promise<Holders>;
}

export const thisHost: Surroundings = {
  attacher: (events) => new Attacher(events),
  disk: realDisk,
  boot: currentBoot,
  isNamespace,
  findHolders,
};
