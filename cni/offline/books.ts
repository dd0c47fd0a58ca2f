// The allocations of a daemon that does not run: what its journal holds, what its start would make of it beside the
// kernel, and the same done. It is the start's own code (cni/recovery.ts) that decides; looking at it writes to
// nothing.
//
// In: a state directory, and the network namespace that this runs in. Out: plain data.
import { constants, existsSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../../net/log.ts";
import { check, native } from "../../net/native.ts";
import { encodeDelLink, encodeSetLink } from "../../routing/netlink/link.ts";
import { NetlinkSocket } from "../../routing/netlink/socket.ts";
import type { Attaching } from "../attach/attacher.ts";
import { findPods } from "../attach/find.ts";
import { listHostLinks } from "../attach/host-links.ts";
import { type Disk, realDisk } from "../ipam/disk.ts";
import { decodeJournal, describeDamage, JournalVersionError } from "../ipam/journal.ts";
import { Ledger } from "../ipam/ledger.ts";
import type { PodRecord, ReleasedAddress } from "../ipam/records.ts";
import { currentBoot, JOURNAL_NAME, Store } from "../ipam/store.ts";
import { type RecoveryParts, recover } from "../recovery.ts";

const READ_ONLY = "nothing is written to";
const LOCK_EX = 2;
const LOCK_NB = 4;

export interface Books {
  readonly journal: string;
  readonly missing: boolean;
  /** In words; null: it is whole. */
  readonly damage: string | null;
  /** Bytes of a last record that is not whole. */
  readonly torn: number;
  /** The host has been booted since: none of the pods is there any more. */
  readonly booted: boolean;
  readonly lastSequence: number;
  readonly pods: readonly PodRecord[];
  /** Given back and not given out since, oldest first. */
  readonly released: readonly ReleasedAddress[];
}

/** Rejects when the journal cannot be read. Without a journal the books are empty. */
export async function readBooks(state: string): Promise<Books> {
  const journal = join(state, JOURNAL_NAME);
  const bytes = await realDisk.read(journal);
  const ledger = new Ledger();
  if (!bytes) return { journal, missing: true, damage: null, torn: 0, booted: false, ...contentOf(ledger) };
  try {
    const { operations, damage, torn } = decodeJournal(bytes);
    for (const operation of operations) ledger.apply(operation);
    const booted = ledger.boot !== null && ledger.boot !== currentBoot();
    return { journal, missing: false, damage: describeDamage(damage), torn, booted, ...contentOf(ledger) };
  } catch (error) {
    if (error instanceof JournalVersionError) throw new Error(`${journal} ${error.message}`);
    throw error;
  }
}

function contentOf({ pods, released }: Ledger) {
  return { pods: [...pods.values()], released: [...released.entries], lastSequence: released.lastSequence };
}

/** Something that a start would mend, or that nobody can. */
export interface Discrepancy {
  /** The journal, a pod (`network/container/interface`) or an interface. */
  readonly subject: string;
  readonly text: string;
  /** What a repair does about it; null: a start of the daemon, or a person, has to. */
  readonly repair: string | null;
}

export interface Repair {
  readonly discrepancies: readonly Discrepancy[];
  /** As they are afterwards. */
  readonly pods: readonly PodRecord[];
}

/** What is wrong, and what a repair would do. Writes to nothing. */
export function verifyBooks(state: string): Promise<Repair> {
  return work(state, false);
}

/**
 * Does it. The journal as it was is kept beside it as `.before-repair`. Rejects when a daemon holds the lock, and when
 * something cannot be written; interfaces may have been changed then, and the journal is as it was.
 */
export async function repairBooks(state: string): Promise<Repair> {
  const unlock = lock(state);
  try {
    const journal = join(state, JOURNAL_NAME);
    if (existsSync(journal)) await copyFile(journal, `${journal}.before-repair`);
    return await work(state, true);
  } finally {
    unlock();
  }
}

async function work(state: string, forReal: boolean): Promise<Repair> {
  const before = await readBooks(state);
  const found: Discrepancy[] = [];
  const add = (subject: string, text: string, repair: string | null) => found.push({ subject, text, repair });
  if (before.missing) add(before.journal, "there is no journal", "written anew");
  if (before.damage !== null) add(before.journal, before.damage, "what is good is kept, the rest is cut out");
  if (before.torn > 0)
    add(
      before.journal,
      `its last record was cut off by a crash (${before.torn} bytes)`,
      "cut off; nobody was told of it",
    );
  const host = new NetlinkSocket();
  const failures: string[] = [];
  const log: Log = {
    debug() {},
    info() {},
    warn() {},
    error: (fields, text) => {
      const { error, key, hostInterface, kept } = fields as Record<string, string | undefined>;
      // That it is damaged is known.
      if (kept !== undefined || error === READ_ONLY) return;
      if (error === undefined) add(key ?? hostInterface ?? before.journal, text, null);
      else failures.push(`${text} (${error})`);
    },
  };
  try {
    const store = new Store(state, log, forReal ? realDisk : readOnly, currentBoot);
    const parts: RecoveryParts = {
      store,
      allocator: new OpenBooks(),
      attacher: attacherOf(host, forReal, add),
      routes: { addPodRoutes: async () => {}, removePodRoutes: async () => {} },
      log,
      ...(forReal ? {} : { giveBack: async () => {} }),
    };
    await recover(parts, await store.open(), currentBoot(), async () => listHostLinks(host).links);
    compare(before, store.pods, add);
    await store.close();
    if (failures.length > 0) throw new Error(failures.join("; "));
    return { discrepancies: found, pods: [...store.pods.values()] };
  } finally {
    host.close();
  }
}

function compare(
  before: Books,
  after: ReadonlyMap<string, PodRecord>,
  add: (subject: string, text: string, repair: string | null) => unknown,
): void {
  const keyOf = ({ network, containerId, ifname }: PodRecord) => `${network}/${containerId}/${ifname}`;
  const known = new Set(before.pods.map(keyOf));
  for (const record of before.pods) {
    if (after.has(keyOf(record))) continue;
    const { addresses, hostInterface } = record;
    const why = before.booted ? "the host was booted since it was attached" : `its interface ${hostInterface} is gone`;
    add(keyOf(record), why, `forgotten; ${addresses.join(", ")} are free`);
  }
  for (const [key, { hostInterface, addresses, containerId }] of after)
    if (!known.has(key))
      add(
        hostInterface,
        `belongs to no pod of the journal; it says ${containerId}`,
        `adopted, with ${addresses.join(", ")}`,
      );
}

/** Of interfaces: looks, and does what changes something only for real. */
function attacherOf(
  host: NetlinkSocket,
  forReal: boolean,
  add: (subject: string, text: string, repair: string | null) => unknown,
): Pick<Attaching, "find" | "mark" | "detach"> {
  return {
    find: async (links) => findPods(host, links),
    mark: async (ifindex, alias) => {
      add(`interface ${ifindex}`, "its alias was changed", "set again");
      if (forReal) host.request((out) => encodeSetLink(out, { ifindex }, { alias }), "set the alias of a host end");
      return null;
    },
    detach: async ({ hostInterface, ifindex }) => {
      add(hostInterface, "was left by an ADD that was cut short", "removed");
      if (forReal && ifindex !== null) host.request((out) => encodeDelLink(out, { ifindex }), "remove a host end");
      return null;
    },
  };
}

/** Addresses need no blocks here: which there are, the daemon's configuration says. */
class OpenBooks {
  #sequence = 0;
  readonly #owners = new Set<string>();

  continueFrom(sequence: number): void {
    this.#sequence = Math.max(this.#sequence, sequence);
  }

  nextSequence(): number {
    return ++this.#sequence;
  }

  adopt({ addresses }: Pick<PodRecord, "addresses">): boolean {
    const free = addresses.every((address) => !this.#owners.has(address));
    for (const address of addresses) this.#owners.add(address);
    return free;
  }

  restoreReleased(released: Iterable<ReleasedAddress>): ReleasedAddress[] {
    return [...released].filter(({ address }) => !this.#owners.has(address));
  }

  covers(): boolean {
    return true;
  }
}

const refuse = async (): Promise<never> => {
  throw Object.assign(new Error(READ_ONLY), { code: "EROFS" });
};

const readOnly: Disk = {
  ...realDisk,
  create: refuse,
  rename: refuse,
  remove: async () => {},
  makeDirectory: async () => {},
  syncDirectory: async () => {},
};

/** Throws when somebody has it. */
function lock(state: string): () => void {
  const n = native();
  const path = join(state, "lock");
  const fd = check(n.open(path, constants.O_RDWR | constants.O_CREAT), "open", path);
  try {
    check(n.flock(fd, LOCK_EX | LOCK_NB), "flock", path);
  } catch (error) {
    n.close(fd);
    throw error;
  }
  return () => n.close(fd);
}
