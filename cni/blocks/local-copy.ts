// What is this node's, on the node's own disk: what counts while etcd cannot be asked. Written before anything is used,
// and before anything that is given back is gone from etcd; so it never names what may be another node's.
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { replaceFileLater } from "../../net/durable-file.ts";
import type { BlockRecord, Departed, LoanRecord, StoredIdentity } from "./records.ts";
import { parseBlock, parseDeparted, parseIdentity, parseLoan } from "./records.ts";

export const LOCAL_COPY_FILE = "blocks.json";

export interface LocalBlock {
  readonly prefix: string;
  readonly record: BlockRecord;
}

export interface LocalCopy {
  /** Null: never registered. */
  readonly registration: string | null;
  readonly blocks: readonly LocalBlock[];
  readonly loans: readonly LoanRecord[];
  readonly identities: readonly StoredIdentity[];
  /** Addresses of our blocks that are not ours to hand out, as far as we knew. */
  readonly lent: readonly LoanRecord[];
  /** Let go here, and not forgotten yet. */
  readonly departed: readonly Departed[];
}

export const EMPTY_COPY: LocalCopy = {
  registration: null,
  blocks: [],
  loans: [],
  identities: [],
  lent: [],
  departed: [],
};

export interface LocalStore {
  /** Rejects when there is one that cannot be understood. */
  load(): Promise<LocalCopy>;
  /** Resolves when it is on disk. */
  save(copy: LocalCopy): Promise<void>;
}

export class LocalFile implements LocalStore {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  async load(): Promise<LocalCopy> {
    let text: string;
    try {
      text = await readFile(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return EMPTY_COPY;
      throw new Error(`${this.path} cannot be read: ${(error as Error).message}`);
    }
    const copy = parseLocalCopy(text);
    if (copy) return copy;
    throw new Error(
      `${this.path} is damaged: it says which blocks are this node's while etcd cannot be asked. Restore it, or move it away when no pod is left: etcd then says what is ours`,
    );
  }

  async save(copy: LocalCopy): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true });
    await replaceFileLater(this.path, `${JSON.stringify({ version: 1, ...copy }, null, 1)}\n`, 0o600);
  }
}

/** Null: damaged, or of a version that is not known. */
export function parseLocalCopy(text: string): LocalCopy | null {
  try {
    const value = JSON.parse(text) as Record<string, unknown>;
    if (value.version !== 1) return null;
    const { registration } = value;
    if (registration !== null && typeof registration !== "string") return null;
    const all = <T>(list: unknown, parse: (text: string) => T | null): T[] => {
      const parsed = (list as unknown[]).map((entry) => parse(JSON.stringify(entry)));
      if (parsed.includes(null)) throw new RangeError("damaged");
      return parsed as T[];
    };
    const blocks = (value.blocks as { prefix: unknown; record: unknown }[]).map(({ prefix, record }) => {
      const parsed = parseBlock(JSON.stringify(record));
      if (typeof prefix !== "string" || !parsed) throw new RangeError("damaged");
      return { prefix, record: parsed };
    });
    return {
      registration,
      blocks,
      loans: all(value.loans, parseLoan),
      identities: all(value.identities, parseIdentity),
      lent: all(value.lent, parseLoan),
      // Not written by earlier versions.
      departed: all(value.departed ?? [], parseDeparted),
    };
  } catch {
    return null;
  }
}
