// RTM_*RULE: struct fib_rule_hdr { family u8, dst_len u8, src_len u8, tos u8, table u8, res1 u8, res2 u8, action u8,
// flags u32 } and FRA_* attributes.
import type { Family } from "../../net/address.ts";
import { Attributes, LITTLE } from "./attribute.ts";
import { AF_INET, AF_INET6, Flag, MessageType, RT_TABLE_COMPAT, RuleAttribute, RuleFlag } from "./constants.ts";
import type { MessageWriter } from "./message.ts";

const HEADER = 12;

export interface Rule {
  readonly family: Family;
  readonly priority: number;
  /** Null: from anywhere. */
  readonly source: Uint8Array | null;
  readonly sourceLength: number;
  readonly destination: Uint8Array | null;
  readonly destinationLength: number;
  readonly table: number;
  /** FR_ACT_*. */
  readonly action: number;
  readonly invert: boolean;
  readonly protocol: number;
  readonly iif: string | null;
  readonly oif: string | null;
  readonly fwmark: number;
  readonly fwmask: number;
  /** Rule that a `goto` continues with; 0 otherwise. */
  readonly goto: number;
  /** -1: nothing suppressed. */
  readonly suppressPrefixLength: number;
  /** True when there are conditions besides those above (ports, user ids, IP protocol, l3mdev, tos). */
  readonly more: boolean;
}

/** What a rule of ours consists of, and nothing else. */
export interface RuleSpec {
  readonly family: Family;
  readonly priority: number;
  readonly source: Uint8Array | null;
  readonly sourceLength: number;
  readonly destination: Uint8Array | null;
  readonly destinationLength: number;
  /** FR_ACT_TO_TBL with a table, or FR_ACT_UNREACHABLE with 0. */
  readonly action: number;
  readonly table: number;
  readonly protocol: number;
  /** A route that is not longer than this counts as none; -1: every route counts. */
  readonly suppressPrefixLength: number;
}

function encode(out: MessageWriter, type: number, flags: number, rule: RuleSpec): void {
  out.begin(type, flags);
  out.u8(rule.family === 4 ? AF_INET : AF_INET6);
  out.u8(rule.destination ? rule.destinationLength : 0);
  out.u8(rule.source ? rule.sourceLength : 0);
  out.u8(0);
  out.u8(rule.table < 256 ? rule.table : 0);
  out.u16(0);
  out.u8(rule.action);
  out.u32(0);
  out.attributeU32(RuleAttribute.priority, rule.priority);
  if (rule.table !== 0) out.attributeU32(RuleAttribute.table, rule.table);
  out.attributeU8(RuleAttribute.protocol, rule.protocol);
  if (rule.source) out.attributeBytes(RuleAttribute.source, rule.source);
  if (rule.destination) out.attributeBytes(RuleAttribute.destination, rule.destination);
  if (rule.suppressPrefixLength >= 0) out.attributeU32(RuleAttribute.suppressPrefixLength, rule.suppressPrefixLength);
  out.end();
}

/** Adds the rule, without NLM_F_EXCL: somebody else's equal rule does not stand in for ours. */
export function encodeNewRule(out: MessageWriter, rule: RuleSpec): void {
  encode(out, MessageType.newRule, Flag.create, rule);
}

/** Deletes one rule that matches in everything named, the protocol included. */
export function encodeDelRule(out: MessageWriter, rule: RuleSpec): void {
  encode(out, MessageType.delRule, 0, rule);
}

export function encodeRuleDump(out: MessageWriter, family: Family): void {
  out.begin(MessageType.getRule, Flag.dump);
  out.u8(family === 4 ? AF_INET : AF_INET6);
  out.zeros(HEADER - 1);
  out.end();
}

const attributes = new Attributes(RuleAttribute.destinationPorts);

/** Body of RTM_NEWRULE or RTM_DELRULE; null when it is neither of IPv4 nor of IPv6. */
export function decodeRule(buffer: Buffer, start: number, end: number): Rule | null {
  if (end - start < HEADER) return null;
  const family = buffer[start];
  if (family !== AF_INET && family !== AF_INET6) return null;
  attributes.parse(buffer, start + HEADER, end);
  const flags = LITTLE ? buffer.readUInt32LE(start + 8) : buffer.readUInt32BE(start + 8);
  const header = buffer[start + 4];
  const suppress = attributes.u32(RuleAttribute.suppressPrefixLength, 0xffffffff);
  return {
    family: family === AF_INET ? 4 : 6,
    priority: attributes.u32(RuleAttribute.priority),
    source: attributes.address(RuleAttribute.source),
    sourceLength: buffer[start + 2],
    destination: attributes.address(RuleAttribute.destination),
    destinationLength: buffer[start + 1],
    table: attributes.u32(RuleAttribute.table, header === RT_TABLE_COMPAT ? 0 : header),
    action: buffer[start + 7],
    invert: (flags & RuleFlag.invert) !== 0,
    protocol: attributes.u8(RuleAttribute.protocol),
    iif: attributes.text(RuleAttribute.iif),
    oif: attributes.text(RuleAttribute.oif),
    fwmark: attributes.u32(RuleAttribute.fwmark),
    fwmask: attributes.u32(RuleAttribute.fwmask),
    goto: attributes.u32(RuleAttribute.goto),
    suppressPrefixLength: suppress === 0xffffffff ? -1 : suppress,
    more:
      buffer[start + 3] !== 0 ||
      attributes.u8(RuleAttribute.l3mdev) !== 0 ||
      attributes.has(RuleAttribute.uidRange) ||
      attributes.u8(RuleAttribute.ipProtocol) !== 0 ||
      attributes.has(RuleAttribute.sourcePorts) ||
      attributes.has(RuleAttribute.destinationPorts),
  };
}
