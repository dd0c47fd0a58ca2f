// The v3 API as etcd's JSON gateway has it (/v3/kv/txn and so on, etcd 3.4 and later): our data -> JSON bodies, JSON answers
// -> our data. Keys and values are base64, 64-bit integers are strings, and what is zero or empty is left out.
//
// Pure. Answers come from the network: what is not as it should be is an EtcdError of kind `protocol`, never a TypeError.
import { EtcdError } from "./error.ts";
import type { Compare, KeyRange, KeyValue, Operation, RangeResult, Txn, TxnResult, WatchEvent } from "./kv.ts";

export type Json = Readonly<Record<string, unknown>>;

const base64 = (text: string) => Buffer.from(text).toString("base64");

function encodeRange({ key, end }: KeyRange): Json {
  return end === undefined ? { key: base64(key) } : { key: base64(key), range_end: base64(end) };
}

function encodeCompare(compare: Compare): Json {
  const target = compare.target === "create" ? "CREATE" : "MOD";
  const field = compare.target === "create" ? "create_revision" : "mod_revision";
  return {
    ...encodeRange(compare),
    target,
    result: compare.result.toUpperCase(),
    [field]: String(compare.revision),
  };
}

function encodeOperation(operation: Operation): Json {
  if ("put" in operation) {
    const { key, value, lease } = operation.put;
    return { request_put: { key: base64(key), value: base64(value), ...(lease ? { lease } : {}) } };
  }
  if ("get" in operation) return { request_range: encodeRange(operation.get) };
  return { request_delete_range: encodeRange(operation.remove) };
}

export function encodeTxn(txn: Txn): Json {
  return {
    compare: txn.compare.map(encodeCompare),
    success: txn.success.map(encodeOperation),
    failure: txn.failure.map(encodeOperation),
  };
}

export function encodeRangeRequest(range: KeyRange, limit: number, revision: number): Json {
  return { ...encodeRange(range), limit: String(limit), ...(revision > 0 ? { revision: String(revision) } : {}) };
}

/** Several watches in one request; each is named by its place. */
export function encodeWatch(watches: readonly { readonly range: KeyRange; readonly from: number }[]): string {
  return watches
    .map(({ range, from }, i) =>
      JSON.stringify({
        create_request: { ...encodeRange(range), start_revision: String(from), watch_id: String(i + 1) },
      }),
    )
    .join("");
}

export function decodeTxn(answer: Json): TxnResult {
  const responses = list(answer.responses);
  return {
    succeeded: answer.succeeded === true,
    revision: headerRevision(answer),
    read: responses.map((response) => {
      const range = object(response).response_range;
      return range === undefined ? [] : list(object(range).kvs).map(decodeKeyValue);
    }),
  };
}

export function decodeRange(answer: Json): RangeResult {
  return {
    kvs: list(answer.kvs).map(decodeKeyValue),
    revision: headerRevision(answer),
    more: answer.more === true,
  };
}

export interface WatchAnswer {
  readonly created: boolean;
  readonly canceled: boolean;
  /** 0: not compacted. */
  readonly compactRevision: number;
  readonly reason: string;
  readonly revision: number;
  readonly events: readonly WatchEvent[];
  readonly watchId: number;
}

/** One line of a watch stream's `result`. */
export function decodeWatch(answer: Json): WatchAnswer {
  return {
    created: answer.created === true,
    canceled: answer.canceled === true,
    compactRevision: integer(answer.compact_revision),
    reason: typeof answer.cancel_reason === "string" ? answer.cancel_reason : "",
    // A canceled watch's header has none.
    revision: integer(object(answer.header ?? {}).revision),
    watchId: integer(answer.watch_id),
    events: list(answer.events).map((entry) => {
      const event = object(entry);
      const kv = decodeKeyValue(event.kv);
      const kind = event.type === "DELETE" ? "delete" : "put";
      return { kind, key: kv.key, value: kind === "put" ? kv.value : "", modRevision: kv.modRevision };
    }),
  };
}

function decodeKeyValue(value: unknown): KeyValue {
  const kv = object(value);
  return {
    key: text(kv.key),
    value: text(kv.value),
    createRevision: integer(kv.create_revision),
    modRevision: integer(kv.mod_revision),
  };
}

function headerRevision(answer: Json): number {
  return integer(object(answer.header).revision);
}

export function object(value: unknown): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw malformed(value);
}

function list(value: unknown): readonly unknown[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  throw malformed(value);
}

function text(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string") return Buffer.from(value, "base64").toString();
  throw malformed(value);
}

/** Revisions stay below 2^53: at a million writes a second that is 285 years. */
export function integer(value: unknown): number {
  if (value === undefined) return 0;
  const number = typeof value === "string" ? Number(value) : value;
  if (typeof number === "number" && Number.isSafeInteger(number)) return number;
  throw malformed(value);
}

function malformed(value: unknown): EtcdError {
  const shown = JSON.stringify(value)?.slice(0, 60) ?? "nothing";
  return new EtcdError(
    "protocol",
    `an answer of etcd has ${shown} where something else belongs: is it etcd 3.4 or later?`,
  );
}
