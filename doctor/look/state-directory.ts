// The state directory, the journal of allocations in it, and the spool of DELs beside the socket.
import { readdir, readFile, rm, stat, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { decodeJournal, describeDamage } from "../../cni/ipam/journal.ts";
import { Ledger } from "../../cni/ipam/ledger.ts";
import { JOURNAL_NAME } from "../../cni/ipam/store.ts";

const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;
const ASIDE = /^allocations\.journal\.(damaged|displaced)$/;
/** A DEL that is being replayed at this moment is no news. Milliseconds. */
const SPOOL_PATIENCE = 10_000;

export interface JournalLook {
  readonly path: string;
  /** Null: there is none. */
  readonly found: null | {
    /** Why it cannot be used, null: it can. */
    readonly damage: string | null;
    /** Bytes of a last record that is not whole. */
    readonly torn: number;
    /** Keys of the pods in it. */
    readonly pods: readonly string[];
  };
}

export interface StateDirectory {
  readonly path: string;
  /** Error code of an attempt to write; null: it worked. */
  readonly refused: string | null;
  /** Bytes, and in percent of all; null: not known. */
  readonly free: { readonly bytes: number; readonly percent: number; readonly inodes: number } | null;
  /** It is gone with the next boot. */
  readonly inMemory: boolean;
  readonly journal: JournalLook;
  /** Journals that a start or a look has put aside: names. */
  readonly aside: readonly string[];
  readonly spool: { readonly path: string; readonly waiting: readonly string[]; readonly setAside: readonly string[] };
}

export async function lookAtState(options: { state: string; socket: string }): Promise<StateDirectory> {
  const { state: path, socket } = options;
  const file = await statfs(path).catch(() => null);
  return {
    path,
    refused: await probe(path),
    free: file && {
      bytes: file.bavail * file.bsize,
      percent: file.blocks > 0 ? Math.round((file.bavail * 1000) / file.blocks) / 10 : 100,
      // Some file systems do not count them.
      inodes: file.files > 0 ? file.ffree : Number.POSITIVE_INFINITY,
    },
    inMemory: file?.type === TMPFS || file?.type === RAMFS,
    journal: await lookAtJournal(join(path, JOURNAL_NAME)),
    aside: (await readdir(path).catch(() => [])).filter((name) => ASIDE.test(name)).sort(),
    spool: await lookAtSpool(join(dirname(socket), "spool")),
  };
}

async function probe(directory: string): Promise<string | null> {
  const file = join(directory, `.doctor-${process.pid}`);
  try {
    await writeFile(file, "underlay");
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    await rm(file, { force: true }).catch(() => undefined);
  }
}

async function lookAtJournal(path: string): Promise<JournalLook> {
  try {
    const { operations, torn, damage } = decodeJournal(await readFile(path));
    const ledger = new Ledger();
    for (const operation of operations) ledger.apply(operation);
    return { path, found: { damage: describeDamage(damage), torn, pods: [...ledger.pods.keys()] } };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { path, found: null };
    const words = error instanceof Error ? error.message : String(error);
    return { path, found: { damage: `cannot be used: ${words}`, torn: 0, pods: [] } };
  }
}

async function lookAtSpool(path: string): Promise<StateDirectory["spool"]> {
  const names = (await readdir(path).catch(() => [])).sort();
  const waiting: string[] = [];
  for (const name of names) {
    if (!/\.(del|doing)$/.test(name) || name.startsWith(".")) continue;
    const file = await stat(join(path, name)).catch(() => null);
    if (file && Date.now() - file.mtimeMs > SPOOL_PATIENCE) waiting.push(name);
  }
  return { path, waiting, setAside: names.filter((name) => name.endsWith(".bad")) };
}
