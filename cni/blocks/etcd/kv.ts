// Keys, values and transactions of etcd's v3 API as data: what the claim protocol is written in. A client executes it
// (client.ts); tests execute it against a map.

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
}

/** One key, or every key from `key` up to but not including `end`. */
export interface KeyRange {
  readonly key: string;
  readonly end?: string;
}

/** Holds when it holds for every key of the range; a key that is not there has revision 0. */
export interface Compare extends KeyRange {
  readonly target: "create" | "mod";
  readonly result: "equal" | "less" | "greater";
  readonly revision: number;
}

export type Operation =
  | { readonly put: { readonly key: string; readonly value: string; readonly lease?: string } }
  | { readonly get: KeyRange }
  | { readonly remove: KeyRange };

export interface Txn {
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export interface TxnResult {
  readonly succeeded: boolean;
  /** Of the store, after it. */
  readonly revision: number;
  /** What each operation has read, in their order; nothing for those that write. */
  readonly read: readonly (readonly KeyValue[])[];
}

export interface RangeResult {
  readonly kvs: readonly KeyValue[];
  readonly revision: number;
  /** There are more keys than the limit. */
  readonly more: boolean;
}

export interface WatchEvent {
  readonly kind: "put" | "delete";
  readonly key: string;
  /** Empty for a deletion. */
  readonly value: string;
  readonly modRevision: number;
}

export interface WatchHandlers {
  /** Everything from the wanted revision on has been or will be told. */
  onEstablished(): void;
  /** Events of one or several revisions, in order, none twice. */
  onEvents(events: readonly WatchEvent[], revision: number): void;
  /**
   * Events are lost: compacted before they could be told, or the store has become another one. What is watched has to
   * be read anew. The watch goes on after `resumeFrom`.
   */
  onLost(reason: string): void;
  /** The stream has ended and is opened again by itself. */
  onInterrupted(reason: string): void;
}

export interface Watch {
  /** After onLost: goes on with this revision. */
  resumeFrom(revision: number): void;
  stop(): void;
}

/** What the claim protocol needs of etcd. Everything rejects with EtcdError. */
export interface Etcd {
  txn(txn: Txn): Promise<TxnResult>;
  /** `revision` 0: the present one. */
  range(range: KeyRange, limit: number, revision: number): Promise<RangeResult>;
  /** Seconds. Resolves with the id. */
  grantLease(ttl: number): Promise<string>;
  /** False: there is no such lease any more. */
  keepLease(id: string): Promise<boolean>;
  watch(ranges: readonly KeyRange[], fromRevision: number, handlers: WatchHandlers): Watch;
  close(): void;
}

/** Everything that begins with `prefix`. */
export function startingWith(prefix: string): { readonly key: string; readonly end: string } {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { key: prefix, end: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}

/** The key has been written last at this revision; 0: it does not exist. */
export function unchanged(key: string, modRevision: number): Compare {
  return { key, target: "mod", result: "equal", revision: modRevision };
}

export function absent(range: KeyRange): Compare {
  return { ...range, target: "create", result: "equal", revision: 0 };
}
