// nf_tables messages (nfnetlink): tables with all that is in them out, single answers and dumps in. What changes
// anything goes into a batch, which the kernel carries out as a whole or not at all.
import { Attributes } from "../attribute.ts";
import { Flag } from "../constants.ts";
import type { MessageWriter } from "../message.ts";
import {
  BatchMessage,
  ChainAttribute,
  CounterAttribute,
  ElementAttribute,
  ElementsAttribute,
  GenerationAttribute,
  HookAttribute,
  ListAttribute,
  Message,
  NFTABLES,
  OBJECT_COUNTER,
  ObjectAttribute,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
  TableFamily,
  type TableFamilyName,
} from "./constants.ts";
import { attributeBe32, type Expression, encodeExpressions, encodeValue } from "./expression.ts";

export interface TableSpec {
  readonly family: TableFamilyName;
  readonly name: string;
  /** Says whose it is; stays with the table. */
  readonly userData: Uint8Array;
  readonly counters: readonly string[];
  readonly sets: readonly SetSpec[];
  readonly chains: readonly ChainSpec[];
}

export interface SetSpec {
  readonly name: string;
  /** For those who list it; the kernel keeps it. */
  readonly keyType: number;
  readonly keyLength: number;
}

export interface ChainSpec {
  readonly name: string;
  /** Null: one that others lead to. */
  readonly hook: { readonly number: number; readonly priority: number } | null;
  readonly rules: readonly (readonly Expression[])[];
}

const POLICY_ACCEPT = 1;
const APPEND = 0x800;

function begin(out: MessageWriter, message: number, flags: number, family: number): void {
  out.begin((NFTABLES << 8) | message, flags);
  out.u8(family);
  out.u8(0); // NFNETLINK_V0
  out.u16(0);
}

/** `acknowledged` messages of `write`, of which the last is answered: see NetlinkSocket.batch. */
export function encodeBatch(out: MessageWriter, write: () => void): void {
  const bracket = (type: number) => {
    out.begin(type, 0);
    out.u8(0);
    out.u8(0);
    // In network order.
    out.u8(0);
    out.u8(NFTABLES);
    out.end();
  };
  bracket(BatchMessage.begin);
  write();
  out.flagLast(Flag.ack);
  bracket(BatchMessage.end);
}

export function encodeDeleteTable(out: MessageWriter, { family, name }: Pick<TableSpec, "family" | "name">): void {
  begin(out, Message.deleteTable, 0, TableFamily[family]);
  out.attributeText(TableAttribute.name, name);
  out.end();
}

/** A table with all that is in it. */
export function encodeTable(out: MessageWriter, table: TableSpec): void {
  const family = TableFamily[table.family];
  begin(out, Message.newTable, Flag.create, family);
  out.attributeText(TableAttribute.name, table.name);
  attributeBe32(out, TableAttribute.flags, 0);
  out.attributeBytes(TableAttribute.userData, table.userData);
  out.end();
  for (const counter of table.counters) {
    begin(out, Message.newObject, Flag.create, family);
    out.attributeText(ObjectAttribute.table, table.name);
    out.attributeText(ObjectAttribute.name, counter);
    attributeBe32(out, ObjectAttribute.type, OBJECT_COUNTER);
    out.endNested(out.beginNested(ObjectAttribute.data));
    out.end();
  }
  table.sets.forEach((set, index) => {
    begin(out, Message.newSet, Flag.create, family);
    out.attributeText(SetAttribute.table, table.name);
    out.attributeText(SetAttribute.name, set.name);
    attributeBe32(out, SetAttribute.flags, 0);
    attributeBe32(out, SetAttribute.keyType, set.keyType);
    attributeBe32(out, SetAttribute.keyLength, set.keyLength);
    attributeBe32(out, SetAttribute.id, index + 1);
    out.end();
  });
  // A rule may lead to any chain.
  for (const { name, hook } of table.chains) {
    begin(out, Message.newChain, Flag.create, family);
    out.attributeText(ChainAttribute.table, table.name);
    out.attributeText(ChainAttribute.name, name);
    if (hook) {
      const nested = out.beginNested(ChainAttribute.hook);
      attributeBe32(out, HookAttribute.number, hook.number);
      attributeBe32(out, HookAttribute.priority, hook.priority);
      out.endNested(nested);
      attributeBe32(out, ChainAttribute.policy, POLICY_ACCEPT);
      out.attributeText(ChainAttribute.type, "filter");
    }
    out.end();
  }
  for (const chain of table.chains)
    for (const rule of chain.rules) {
      begin(out, Message.newRule, Flag.create | APPEND, family);
      out.attributeText(RuleAttribute.table, table.name);
      out.attributeText(RuleAttribute.chain, chain.name);
      encodeExpressions(out, RuleAttribute.expressions, rule);
      out.end();
    }
}

/** Keys into a set, or out of it. */
export function encodeElements(
  out: MessageWriter,
  operation: "add" | "delete",
  { family, name }: Pick<TableSpec, "family" | "name">,
  set: string,
  keys: readonly Uint8Array[],
): void {
  const message = operation === "add" ? Message.newElements : Message.deleteElements;
  begin(out, message, operation === "add" ? Flag.create : 0, TableFamily[family]);
  out.attributeText(ElementsAttribute.table, name);
  out.attributeText(ElementsAttribute.set, set);
  const list = out.beginNested(ElementsAttribute.elements);
  for (const key of keys) {
    const element = out.beginNested(ListAttribute.element);
    encodeValue(out, ElementAttribute.key, key);
    out.endNested(element);
  }
  out.endNested(list);
  out.end();
}

export function encodeGetTable(out: MessageWriter, { family, name }: Pick<TableSpec, "family" | "name">): void {
  begin(out, Message.getTable, 0, TableFamily[family]);
  out.attributeText(TableAttribute.name, name);
  out.end();
}

export function encodeGetChain(out: MessageWriter, { family, name }: TableSpec, chain: string): void {
  begin(out, Message.getChain, 0, TableFamily[family]);
  out.attributeText(ChainAttribute.table, name);
  out.attributeText(ChainAttribute.name, chain);
  out.end();
}

/** All rules of a table. */
export function encodeRuleDump(out: MessageWriter, { family, name }: TableSpec): void {
  begin(out, Message.getRule, Flag.dump, TableFamily[family]);
  out.attributeText(RuleAttribute.table, name);
  out.end();
}

/** The counters of a table, with what they have counted. */
export function encodeCounterDump(out: MessageWriter, { family, name }: Pick<TableSpec, "family" | "name">): void {
  begin(out, Message.getObject, Flag.dump, TableFamily[family]);
  out.attributeText(ObjectAttribute.table, name);
  attributeBe32(out, ObjectAttribute.type, OBJECT_COUNTER);
  out.end();
}

/** Length of struct nfgenmsg, before the attributes of every message. */
export const HEADER = 4;
const attributes = new Attributes(16);
const nested = new Attributes(4);

export function decodeUserData(buffer: Buffer, start: number, end: number): Uint8Array {
  return attributes.parse(buffer, start + HEADER, end).bytes(TableAttribute.userData) ?? new Uint8Array(0);
}

/** Null: another table's, or no counter. */
export function decodeCounter(
  buffer: Buffer,
  start: number,
  end: number,
  table: string,
): { readonly name: string; readonly packets: number } | null {
  attributes.parse(buffer, start + HEADER, end);
  const name = attributes.text(ObjectAttribute.name);
  if (attributes.text(ObjectAttribute.table) !== table || name === null) return null;
  const packets = attributes.nested(ObjectAttribute.data, nested)?.bytes(CounterAttribute.packets);
  return packets?.length === 8 ? { name, packets: Number(Buffer.from(packets).readBigUInt64BE()) } : null;
}

/** What a notification is about: the name of a table, or who ended a transaction; null: nothing that is of interest. */
export type Notification =
  | { readonly kind: "change"; readonly table: string }
  | { readonly kind: "generation"; readonly pid: number; readonly name: string };

export function decodeNotification(buffer: Buffer, start: number, end: number, type: number): Notification | null {
  if (type >>> 8 !== NFTABLES) return null;
  attributes.parse(buffer, start + HEADER, end);
  if ((type & 255) === Message.newGeneration) {
    const pid = attributes.bytes(GenerationAttribute.processId);
    const name = attributes.text(GenerationAttribute.processName);
    if (pid?.length !== 4 || name === null) return null;
    return { kind: "generation", pid: Buffer.from(pid).readUInt32BE(), name };
  }
  // The name of its table comes first in every other message, under the same number.
  const table = attributes.text(TableAttribute.name);
  return table === null ? null : { kind: "change", table };
}
