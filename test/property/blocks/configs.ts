// Configurations that differ in everything that a reload can change about blocks.
import type { BlocksConfig } from "../../../daemon/blocks/placement.ts";

const NARROW = "10.244.1.0/26";
const WIDE = "10.244.1.0/25";
const OTHER = "10.244.2.0/26";
const SIXTH = "2001:db8:244:1::/122";
/** Any that there is. */
export const PREFIXES: readonly string[] = [NARROW, WIDE, OTHER, SIXTH];
export const TABLES: readonly number[] = [7100, 7200];

const WITHDRAW_TIME = 5000;

const routing = {
  install: true,
  protocol: 201,
  localTable: 7000,
  rulePriority: { local: 1000, hostRoutes: 1005, block: 1010, host: 1090 },
  nextHopIds: { base: 2_010_000_000, count: 1024 },
  staleTime: 120,
  sysctls: false,
  withdrawTime: WITHDRAW_TIME,
};

function configOf(n: number): BlocksConfig {
  const bits = (width: number) => {
    const value = n & ((1 << width) - 1);
    n >>>= width;
    return value;
  };
  const blocks: { a: string[]; b: string[] } = { a: [], b: [] };
  // 0: nowhere, 1: in a, 2: in b, 3: in a
  for (const prefix of [bits(1) ? NARROW : WIDE, OTHER, SIXTH]) {
    const where = bits(2);
    // One family does most of what there is to do.
    if (where !== 0 && (prefix !== SIXTH || where === 2)) blocks[where === 2 ? "b" : "a"].push(prefix);
  }
  const pool = (name: "a" | "b") => ({
    name,
    blocks: blocks[name],
    exclude: [],
    table: TABLES[bits(1)],
    announced: { communities: [bits(1)], extendedCommunities: [], largeCommunities: [] },
  });
  const pools = [pool("a"), pool("b")].filter(({ blocks }) => blocks.length > 0);
  const more = bits(2);
  const fallback = more === 1 ? ("unreachable" as const) : ("host" as const);
  const hostRoutes = more === 2 ? ("first" as const) : ("last" as const);
  const table = (id: number) => ({ name: `t${id}`, id, host: false, fallback, hostRoutes });
  return { pools, tables: TABLES.map(table), routing };
}

/** All of them. */
export const CONFIGS: readonly BlocksConfig[] = Array.from({ length: 1 << 13 }, (_, n) => configOf(n));

export function wantedBlocks(config: BlocksConfig): { prefix: string; table: number; attributes: string }[] {
  return config.pools.flatMap(({ blocks, table, announced }) =>
    blocks.map((prefix) => ({ prefix, table, attributes: JSON.stringify(announced.communities) })),
  );
}
