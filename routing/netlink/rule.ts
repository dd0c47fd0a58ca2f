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
  /** Interface group whose links a route of the table must not use; -1: any may be used. */
  readonly suppressInterfaceGroup: number;
  /** The old `tos` condition: bits of the DS field as in the IP header; 0: any. */
  readonly tos: number;
  /** The whole DS field without ECN, as in the IP header; null: any. */
  readonly dscp: number | null;
  /** Looks in the table of the VRF that the flow belongs to. */
  readonly l3mdev: boolean;
  /** Null: every user. */
  readonly uidRange: readonly [first: number, last: number] | null;
  /** IPPROTO_*; 0: any. */
  readonly ipProtocol: number;
  readonly sourcePorts: PortRange | null;
  readonly destinationPorts: PortRange | null;
  /** A `goto` to a rule that does not exist: it has no effect. */
  readonly unresolved: boolean;
  /** Interface named in `iif` or `oif` that does not exist: the condition holds for no packet. */
  readonly detached: boolean;
  /** Conditions that are not decoded here (tunnel id, flow label, masks of ports and DSCP). */
  readonly unknown: boolean;
  /** True when there are conditions besides those above (ports, user ids, IP protocol, l3mdev, tos, interface group). */
  readonly more: boolean;
}

export type PortRange = readonly [first: number, last: number];

/** What a rule of ours consists of, and nothing else. */
export interface RuleSpec {
  readonly family: Family;
  readonly priority: number;
  readonly source: Uint8Array | null;
  readonly sourceLength: number;
  readonly destination: Uint8Array | null;
  readonly destinationLength: number;
  /** Interface that the packet arrives by, `lo`: made here. Null or absent: any. */
  readonly iif?: string | null;
  /** FR_ACT_TO_TBL with a table, FR_ACT_UNREACHABLE or FR_ACT_BLACKHOLE with 0. */
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
  if (rule.iif) out.attributeBytes(RuleAttribute.iif, Buffer.from(`${rule.iif}\0`));
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

const attributes = new Attributes(RuleAttribute.dscpMask);

const UNKNOWN = [RuleAttribute.tunnelId, RuleAttribute.flowLabel, RuleAttribute.flowLabelMask];
const DSCP_MASK = 0x3f;

/** A mask of a port or DSCP that leaves bits out; a full one is said of every single value. */
function masks(buffer: Buffer): boolean {
  const port = (type: number) => attributes.length(type) >= 2 && buffer.readUInt16LE(attributes.start(type)) !== 0xffff; // the same in both orders
  return (
    port(RuleAttribute.sourcePortMask) ||
    port(RuleAttribute.destinationPortMask) ||
    attributes.u8(RuleAttribute.dscpMask, DSCP_MASK) !== DSCP_MASK
  );
}

function range(buffer: Buffer, type: number, size: 2 | 4): readonly [number, number] | null {
  if (attributes.length(type) < 2 * size) return null;
  const at = attributes.start(type);
  const read = (offset: number) => (LITTLE ? buffer.readUIntLE(offset, size) : buffer.readUIntBE(offset, size));
  return [read(at), read(at + size)];
}

/** Body of RTM_NEWRULE or RTM_DELRULE; null when it is neither of IPv4 nor of IPv6. */
export function decodeRule(buffer: Buffer, start: number, end: number): Rule | null {
  if (end - start < HEADER) return null;
  const family = buffer[start];
  if (family !== AF_INET && family !== AF_INET6) return null;
  attributes.parse(buffer, start + HEADER, end);
  const flags = LITTLE ? buffer.readUInt32LE(start + 8) : buffer.readUInt32BE(start + 8);
  const header = buffer[start + 4];
  const suppress = (type: number) => {
    const value = attributes.u32(type, 0xffffffff);
    return value === 0xffffffff ? -1 : value;
  };
  const tos = buffer[start + 3];
  const dscp = attributes.has(RuleAttribute.dscp) ? attributes.u8(RuleAttribute.dscp) << 2 : null;
  const l3mdev = attributes.u8(RuleAttribute.l3mdev) !== 0;
  const uidRange = range(buffer, RuleAttribute.uidRange, 4);
  const ipProtocol = attributes.u8(RuleAttribute.ipProtocol);
  const sourcePorts = range(buffer, RuleAttribute.sourcePorts, 2);
  const destinationPorts = range(buffer, RuleAttribute.destinationPorts, 2);
  const unknown = UNKNOWN.some((type) => attributes.has(type)) || masks(buffer);
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
    suppressPrefixLength: suppress(RuleAttribute.suppressPrefixLength),
    suppressInterfaceGroup: suppress(RuleAttribute.suppressInterfaceGroup),
    tos,
    dscp,
    l3mdev,
    uidRange,
    ipProtocol,
    sourcePorts,
    destinationPorts,
    unresolved: (flags & RuleFlag.unresolved) !== 0,
    detached: (flags & (RuleFlag.iifDetached | RuleFlag.oifDetached)) !== 0,
    unknown,
    more:
      tos !== 0 ||
      dscp !== null ||
      l3mdev ||
      uidRange !== null ||
      ipProtocol !== 0 ||
      sourcePorts !== null ||
      destinationPorts !== null ||
      attributes.u32(RuleAttribute.suppressInterfaceGroup, 0xffffffff) !== 0xffffffff ||
      unknown,
  };
}
