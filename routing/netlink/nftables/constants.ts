// Numbers of <linux/netfilter/nfnetlink.h> and <linux/netfilter/nf_tables.h>, as far as they are used here.

export const NETLINK_NETFILTER = 12;
/** NFNLGRP_NFTABLES: every change of a ruleset. */
export const NFTABLES_GROUP = 7;
/** NFNL_SUBSYS_NFTABLES, the upper octet of a message's type. */
export const NFTABLES = 10;

export const BatchMessage = { begin: 16, end: 17 } as const;

export const Message = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  newRule: 6,
  getRule: 7,
  newSet: 9,
  newElements: 12,
  deleteElements: 14,
  newGeneration: 15,
  newObject: 18,
  getObject: 19,
} as const;

/** NFPROTO_*. */
export const TableFamily = { inet: 1, ipv4: 2, arp: 3, ipv6: 10 } as const;
export type TableFamilyName = "inet" | "arp";

/** NF_INET_PRE_ROUTING, and NF_ARP_IN, which has the same number. */
export const HOOK_PREROUTING = 0;
export const HOOK_ARP_IN = 0;
/** NF_IP_PRI_RAW: before connection tracking. */
export const PRIORITY_RAW = -300;
export const PRIORITY_FILTER = 0;

export const TableAttribute = { name: 1, flags: 2, userData: 6 } as const;
export const ChainAttribute = { table: 1, name: 3, hook: 4, policy: 5, type: 7 } as const;
export const HookAttribute = { number: 1, priority: 2 } as const;
export const RuleAttribute = { table: 1, chain: 2, expressions: 4 } as const;
export const SetAttribute = { table: 1, name: 2, flags: 3, keyType: 4, keyLength: 5, id: 10 } as const;
export const ElementsAttribute = { table: 1, set: 2, elements: 3 } as const;
export const ElementAttribute = { key: 1 } as const;
export const ObjectAttribute = { table: 1, name: 2, type: 3, data: 4 } as const;
export const CounterAttribute = { bytes: 1, packets: 2 } as const;
export const GenerationAttribute = { id: 1, processId: 2, processName: 3 } as const;
export const ListAttribute = { element: 1 } as const;
export const DataAttribute = { value: 1, verdict: 2 } as const;
export const VerdictAttribute = { code: 1, chain: 2 } as const;
export const ExpressionAttribute = { name: 1, data: 2 } as const;

export const OBJECT_COUNTER = 1;

/** NFT_REG_*: 0 is the verdict's, 1 has 16 bytes, and 8 to 23 are words of 4, of which 8 is where 1 begins. */
export const Register = { verdict: 0, first: 1, secondWord: 9 } as const;

/** NFT_META_*. */
export const Meta = { iif: 4, iifName: 6, nfProto: 15, l4Proto: 16, iifKind: 26 } as const;
export const Compare = { equal: 0, notEqual: 1, greater: 4, greaterOrEqual: 5 } as const;
export const PayloadBase = { network: 1, transport: 2 } as const;
export const FibFlag = { source: 1, inputInterface: 8, present: 32 } as const;
export const FIB_OUTPUT_INTERFACE = 1;
export const EXTHDR_PRESENT = 1;

export const Verdict = { drop: 0, accept: 1, goto: -4 } as const;
