// RTM_GETNEIGHTBL: struct ndtmsg { family u8, pad u8, pad u16 } and NDTA_* attributes. The kernel's neighbour tables, one per
// family, are shared by all network namespaces: so are their limits, which can be changed in the first one only.
import { Attributes, LITTLE } from "./attribute.ts";
import { AF_INET, AF_INET6, Flag, MessageType, NeighbourTableAttribute } from "./constants.ts";
import type { MessageWriter } from "./message.ts";
import { NetlinkSocket } from "./socket.ts";

const HEADER = 4;
/** Offset of the number of entries in struct ndt_config, of ndts_table_fulls in struct ndt_stats. */
const CONFIG_ENTRIES = 4;
const STATS_FULLS = 80;

export interface NeighbourTable {
  readonly family: 4 | 6;
  /** In all namespaces, permanent ones included. */
  readonly entries: number;
  /** gc_thresh3: so many that are not permanent. */
  readonly limit: number;
  /** How often an entry could not be made for want of room, since the host was booted. */
  readonly overflows: number;
}

export function encodeNeighbourTableDump(out: MessageWriter, family: 4 | 6): void {
  out.begin(MessageType.getNeighbourTable, Flag.dump);
  out.u8(family === 4 ? AF_INET : AF_INET6);
  out.zeros(HEADER - 1);
  out.end();
}

const attributes = new Attributes(NeighbourTableAttribute.statistics);

/** Body of RTM_NEWNEIGHTBL; null for the settings of a single device, which follow the table's own. */
export function decodeNeighbourTable(buffer: Buffer, start: number, end: number): NeighbourTable | null {
  if (end - start < HEADER) return null;
  attributes.parse(buffer, start + HEADER, end);
  const { limit, config, statistics } = NeighbourTableAttribute;
  if (attributes.length(config) < CONFIG_ENTRIES + 4 || attributes.length(statistics) < STATS_FULLS + 8) return null;
  const at = attributes.start(config) + CONFIG_ENTRIES;
  const fulls = attributes.start(statistics) + STATS_FULLS;
  return {
    family: buffer[start] === AF_INET ? 4 : 6,
    entries: LITTLE ? buffer.readUInt32LE(at) : buffer.readUInt32BE(at),
    limit: attributes.u32(limit),
    overflows: Number(LITTLE ? buffer.readBigUInt64LE(fulls) : buffer.readBigUInt64BE(fulls)),
  };
}

/** Null: the kernel does not say. A message for each device follows the one that is wanted: the socket is closed on them. */
export function readNeighbourTable(family: 4 | 6): NeighbourTable | null {
  const socket = new NetlinkSocket();
  let table: NeighbourTable | null = null;
  try {
    const pass = socket.beginDump((out) => encodeNeighbourTableDump(out, family));
    pass.read((buffer, start, end) => {
      table ??= decodeNeighbourTable(buffer, start, end);
    });
    return table;
  } finally {
    socket.close();
  }
}
