// What the values in etcd are: JSON, one object each. Written by this version and by others: unknown fields are
// ignored, and what cannot be understood is null, so that a damaged record is in nobody's hands but still in the way of
// a claim.

export interface NodeRecord {
  readonly node: string;
  /** Of the machine: another one with the same node name is refused. */
  readonly identity: string;
  /** Made once, kept on the node's disk; new after a removal. */
  readonly registration: string;
  /** Of the process: a second one with the same name and disk (a cloned machine) is noticed. */
  readonly incarnation: string;
  readonly rack: string | null;
  readonly since: string;
}

/**
 * `pending`: claimed, under the node's lease, not to be used yet. `confirmed`: the node's. `reclaimed`: of a removed
 * node, free when its lease ends. `orphaned`: of a removed node, with addresses in other nodes' hands; free when the
 * last one is back.
 */
export type BlockRecordState = "pending" | "confirmed" | "reclaimed" | "orphaned";

export interface BlockRecord {
  readonly node: string;
  readonly registration: string;
  readonly pool: string;
  readonly state: BlockRecordState;
  /** Of this claim, so that the claimer knows its own record again when an answer was lost. */
  readonly claim: string;
  readonly rack: string | null;
  /** Range `a-b` that can be borrowed; null: none. */
  readonly lend: string | null;
  readonly since: string;
}

/** An address of `owner`'s block that the owner must not hand out by itself. */
export interface LoanRecord {
  readonly address: string;
  readonly block: string;
  readonly owner: string;
  readonly pool: string;
  /** In whose hands it is; null: kept for an identity that no node has in its hands. */
  readonly node: string | null;
  readonly registration: string | null;
  /** `namespace/name`, when it is kept for one. */
  readonly identity: string | null;
  /** Of this loan, as BlockRecord.claim. */
  readonly loan: string;
  readonly since: string;
}

export interface StoredIdentity {
  readonly pool: string;
  readonly namespace: string;
  readonly name: string;
  /** Where its addresses are kept: the owner's `lent`. */
  readonly places: readonly Place[];
  readonly node: string | null;
  readonly registration: string | null;
  /** The node that was removed while it had this in its hands: its quarantine counts. */
  readonly quarantine: string | null;
  /** In nobody's hands: until when the node that had it last keeps it, ISO 8601. Absent: not said. */
  readonly keptUntil?: string | undefined;
  /** Of the last change, as BlockRecord.claim. */
  readonly change: string;
  readonly since: string;
}

/** An identity that a node has let go, and is to forget when its time is over. */
export interface Departed {
  readonly pool: string;
  readonly namespace: string;
  readonly name: string;
  /** ISO 8601 */
  readonly keptUntil: string;
}

export interface Place {
  readonly address: string;
  readonly block: string;
  readonly owner: string;
}

export interface RemovedRecord {
  /** The one that ends; a node that has it on its disk has lost everything. */
  readonly registration: string;
  readonly since: string;
  /** Seconds that what it had is kept back. */
  readonly quarantine: number;
}

type Check = (value: unknown) => boolean;
const text: Check = (value) => typeof value === "string";
const textOrNull: Check = (value) => value === null || typeof value === "string";
const textOrAbsent: Check = (value) => value === undefined || typeof value === "string";
const number: Check = (value) => typeof value === "number" && Number.isFinite(value);
const places: Check = (value) =>
  Array.isArray(value) &&
  value.every((place) =>
    matches(place, { address: text, block: text, owner: text } satisfies Record<keyof Place, Check>),
  );
const state: Check = (value) => ["pending", "confirmed", "reclaimed", "orphaned"].includes(value as string);

function matches(value: unknown, shape: Readonly<Record<string, Check>>): boolean {
  if (typeof value !== "object" || value === null) return false;
  const record = value as Record<string, unknown>;
  return Object.entries(shape).every(([field, check]) => check(record[field]));
}

function parser<T>(shape: Readonly<Record<keyof T & string, Check>>): (value: string) => T | null {
  return (value) => {
    try {
      const parsed: unknown = JSON.parse(value);
      return matches(parsed, shape) ? (parsed as T) : null;
    } catch {
      return null;
    }
  };
}

export const parseNode = parser<NodeRecord>({
  node: text,
  identity: text,
  registration: text,
  incarnation: text,
  rack: textOrNull,
  since: text,
});

export const parseBlock = parser<BlockRecord>({
  node: text,
  registration: text,
  pool: text,
  state,
  claim: text,
  rack: textOrNull,
  lend: textOrNull,
  since: text,
});

export const parseLoan = parser<LoanRecord>({
  address: text,
  block: text,
  owner: text,
  pool: text,
  node: textOrNull,
  registration: textOrNull,
  identity: textOrNull,
  loan: text,
  since: text,
});

export const parseIdentity = parser<StoredIdentity>({
  pool: text,
  namespace: text,
  name: text,
  places,
  node: textOrNull,
  registration: textOrNull,
  quarantine: textOrNull,
  keptUntil: textOrAbsent,
  change: text,
  since: text,
});

export const parseDeparted = parser<Departed>({ pool: text, namespace: text, name: text, keptUntil: text });

export const parseRemoved = parser<RemovedRecord>({ registration: text, since: text, quarantine: number });

export const parseRack = parser<{ readonly rack: string }>({ rack: text });
