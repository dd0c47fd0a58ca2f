// `underlayctl pods`, `blocks` and `pools`: who has which addresses, and how many are left. In: the daemon's lists, or
// the journal of allocations where a verb asks for it. Out: tables.
import type { PoolFullness } from "../cni/ipam/fullness.ts";
import type { AddressUse } from "../cni/ipam/usage.ts";
import type { BlockView, PodView } from "../cni/types.ts";
import { books, verbs } from "./books.ts";
import { CliError } from "./client.ts";
import type { Command, Invocation } from "./commands.ts";
import { simpleList } from "./lists.ts";
import { type Colour, duration } from "./output.ts";

/** Null: more than a JSON number holds. */
function count(addresses: number | null): number | string {
  return addresses ?? "> 2^53";
}

/** Or who gave the addresses in its place, and whether others know of them. */
function poolOf({ pool, ipam, unannounced }: PodView): string {
  return ipam === null ? pool : `(${ipam}${unannounced ? ", not announced" : ""})`;
}

const podList = simpleList<PodView>(
  "/v1/pods",
  [
    { title: "POD" },
    { title: "NETWORK" },
    { title: "IF" },
    { title: "ADDRESSES" },
    { title: "POOL" },
    { title: "HOST IF" },
    { title: "NETNS" },
  ],
  (pod) => [
    pod.pod ?? pod.containerId.slice(0, 12),
    pod.network,
    pod.ifname,
    pod.addresses.join(" "),
    poolOf(pod),
    pod.hostInterface,
    pod.netns,
  ],
  "no pods",
);

const blockColours: Partial<Record<BlockView["state"], Colour>> = { announced: "green", failed: "red" };

const allBlocks = simpleList<BlockView>(
  "/v1/blocks",
  [
    { title: "BLOCK" },
    { title: "POOL" },
    { title: "SOURCE" },
    { title: "CAPACITY", align: "right" },
    { title: "USED", align: "right" },
    { title: "FREE", align: "right" },
    { title: "COOLING", align: "right" },
    { title: "STICKY", align: "right" },
    { title: "RESERVED", align: "right" },
    { title: "STATE" },
    { title: "REASON" },
  ],
  (block) => [
    block.prefix,
    block.pool,
    block.source,
    count(block.capacity),
    block.used,
    count(block.free),
    block.cooling,
    block.sticky,
    count(block.reserved),
    { text: block.state, colour: blockColours[block.state] ?? "yellow" },
    block.reason,
  ],
  "no blocks are configured",
);

const levelColours: Partial<Record<PoolFullness["level"], Colour>> = { filling: "yellow", exhausted: "red" };

export const pools = simpleList<PoolFullness>(
  "/v1/pools",
  [
    { title: "POOL" },
    { title: "FAMILY" },
    { title: "BLOCKS", align: "right" },
    { title: "CAPACITY", align: "right" },
    { title: "USED", align: "right" },
    { title: "IN USE", align: "right" },
    { title: "FREE", align: "right" },
    { title: "COOLING", align: "right" },
    { title: "STICKY", align: "right" },
    { title: "RESERVED", align: "right" },
    { title: "LEVEL" },
  ],
  (pool) => [
    pool.pool,
    `IPv${pool.family}`,
    pool.blocks,
    count(pool.capacity),
    pool.used,
    pool.usedPercent === null ? "" : `${pool.usedPercent}%`,
    count(pool.free),
    pool.cooling,
    pool.sticky,
    count(pool.reserved),
    { text: pool.level, colour: levelColours[pool.level] ?? "green" },
  ],
  "no pools are configured",
);

/** The blocks, or the addresses of one of them, or one address. */
function blockList(invocation: Invocation): Promise<number> {
  const [prefix] = invocation.arguments;
  if (prefix === undefined) return allBlocks(invocation);
  return simpleList<AddressUse>(
    `/v1/addresses?prefix=${encodeURIComponent(prefix)}`,
    [
      { title: "ADDRESS" },
      { title: "STATE" },
      { title: "FOR", align: "right" },
      { title: "OWNER" },
      { title: "BLOCK" },
    ],
    ({ address, state, seconds, identity, block }) => [
      address,
      { text: state, colour: state === "used" ? "green" : "yellow" },
      seconds === null ? "" : duration(seconds),
      identity ?? "",
      block ?? "none",
    ],
    "all of its addresses are free",
  )(invocation);
}

/** What is in the books, or the list that the daemon gives. */
const booksOr =
  (of: "pods" | "blocks", list: Command["run"]): Command["run"] =>
  async (invocation) => {
    const [verb] = invocation.arguments;
    if (verb !== undefined && verbs.includes(verb)) return books(of, invocation, list);
    const { state, config, yes } = invocation.options;
    if (verb !== undefined && of === "pods") throw new CliError(`pods: ${verb} is none of ${verbs.join(", ")}`, 2);
    if (state !== undefined || config !== undefined || yes)
      throw new CliError(`${of} takes --state, --config and --yes with ${verbs.join(", ")} only`, 2);
    return list(invocation);
  };

export const pods = booksOr("pods", podList);

export const blocks = booksOr("blocks", blockList);
