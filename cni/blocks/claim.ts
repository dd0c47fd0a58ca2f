// A block of a pool becomes ours in two phases: pending (under the node's lease, used by nobody), confirmed, and then
// on disk. It goes back the other way round: off the disk first. So a crash between any two steps leaves either
// nothing, or a block that is ours in etcd and unused, which the next sync finds.
import type { Family } from "../../net/address.ts";
import { overlaps, prefix as prefixOf } from "../../net/prefix.ts";
import { type Choice, chooseBlock } from "./choose.ts";
import { type Context, execute, pause, registered, registrationMoved } from "./context.ts";
import { EtcdError } from "./etcd/error.ts";
import { ownedBlock } from "./holdings.ts";
import { familyOf } from "./keys.ts";
import type { LocalBlock } from "./local-copy.ts";
import { cidrsOf } from "./pools.ts";
import { type BlockRecord, parseBlock } from "./records.ts";
import { type PoolSnapshot, readPool, taken } from "./snapshot.ts";
import { blockAround, isIn, tail } from "./space.ts";
import { claim, confirm, readKeys, release } from "./transactions.ts";
import { BlockSourceError, type OwnedBlock } from "./types.ts";

const ATTEMPTS = 40;
/**
 * Milliseconds between a confirmation and its use, beyond which it is asked for once more: the process may have stood
 * still.
 */
const FRESH = 5000;

/** Rejects with EtcdError or BlockSourceError. */
export function claimBlock(context: Context, pool: string, family: Family): Promise<OwnedBlock> {
  return untilClaimed(context, pool, (attempt) => tryClaim(context, pool, family, attempt));
}

/**
 * The block around an address that a pod here has from before the pool was shared. Also beyond maxBlocks, while claims
 * are paused, and of what the pool excludes: it is not a new one. Nothing of it is lent, because a pod may have any
 * address of it. Rejects with EtcdError, or BlockSourceError: `taken` when somebody else has some of it, `notOwned`
 * when the address is not the pool's.
 */
export function takeBlock(context: Context, pool: string, address: string): Promise<OwnedBlock> {
  return untilClaimed(context, pool, () => tryTake(context, pool, address));
}

async function untilClaimed(
  context: Context,
  pool: string,
  attemptOnce: (attempt: number) => Promise<OwnedBlock | null>,
): Promise<OwnedBlock> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) await pause(context.clock, context.random() * Math.min(500, 10 * 2 ** attempt));
    const claimed = await attemptOnce(attempt);
    if (claimed) return claimed;
  }
  throw new BlockSourceError("unavailable", `pool "${pool}": other nodes were faster ${ATTEMPTS} times; try again`);
}

/** Null: something has changed meanwhile. */
async function tryTake(context: Context, pool: string, address: string): Promise<OwnedBlock | null> {
  const { holdings } = context;
  const family = familyOf(address);
  const snapshot = await readPool(context, pool, family);
  const prefix = blockAround(address, cidrsOf(snapshot.pool, family), snapshot.pool.blockSize[family]!);
  if (prefix === null)
    throw new BlockSourceError("notOwned", `address ${address} is in no range that pool "${pool}" has in etcd`);
  const own = holdings.copy.blocks.find((block) => isIn(address, block.prefix));
  if (own) return ownedBlock(own);
  const other = snapshot.blocks.find((block) => overlaps(prefixOf(block.prefix), prefixOf(prefix)));
  if (other)
    throw new BlockSourceError("taken", `block ${other.prefix} is in the hands of node ${other.record?.node ?? "?"}`);
  return claimChoice(context, snapshot, { prefix, range: null, lend: null, whilePaused: true });
}

/** Null: another node was faster. */
async function tryClaim(context: Context, pool: string, family: Family, attempt: number): Promise<OwnedBlock | null> {
  const { holdings, node, rack } = context;
  const snapshot = await readPool(context, pool, family);
  const own = holdings.copy.blocks.filter((block) => block.record.pool === pool && familyOf(block.prefix) === family);
  if (own.length >= snapshot.pool.maxBlocks)
    throw new BlockSourceError(
      "limit",
      `node ${node} has ${own.length} IPv${family} blocks of pool "${pool}", as many as maxBlocks allows`,
    );
  const choice = chooseBlock(
    { node, rack, attempt, random: context.random() },
    { pool: snapshot.pool, family, taken: snapshot.blocks.map(taken), ranges: snapshot.ranges },
  );
  if (!choice)
    throw new BlockSourceError(
      "exhausted",
      `pool "${pool}" has no free IPv${family} block: add a CIDR, or free blocks of nodes that are gone`,
    );
  return claimChoice(context, snapshot, {
    ...choice,
    lend: tail(choice.prefix, snapshot.pool.lend),
    whilePaused: false,
  });
}

interface Chosen extends Choice {
  readonly lend: string | null;
  readonly whilePaused: boolean;
}

async function claimChoice(
  context: Context,
  { pool: { name: pool }, poolRevision }: PoolSnapshot,
  { prefix, range, lend, whilePaused }: Chosen,
): Promise<OwnedBlock | null> {
  const me = registered(context);
  const { keys, session, node, rack } = context;
  if (session.lease === null) throw new BlockSourceError("unavailable", "this node has no lease in etcd at present");
  const record: BlockRecord = {
    node,
    registration: me.registration,
    pool,
    state: "pending",
    claim: context.newId(),
    rack,
    lend,
    since: context.timeOfDay(),
  };
  const pending = await execute(
    context,
    claim(me, { prefix, record, poolRevision, range, lease: session.lease, whilePaused }),
  );
  let revision = pending.revision;
  if (!pending.succeeded) {
    const [[found], paused, registration] = pending.read;
    if (paused.length > 0 && !whilePaused)
      throw new BlockSourceError("unavailable", `claims are paused in etcd (${keys.paused}): ${paused[0].value}`);
    if (registrationMoved(me, registration)) return needsSync(context);
    // Executed at another member, and the answer was lost.
    if (!found || parseBlock(found.value)?.claim !== record.claim) return null;
    revision = found.modRevision;
  }
  return confirmClaim(context, { prefix, record: { ...record, state: "confirmed" } }, revision);
}

async function confirmClaim(context: Context, block: LocalBlock, pending: number): Promise<OwnedBlock | null> {
  const me = registered(context);
  const { holdings, keys, clock } = context;
  let asked = clock.now();
  const confirmed = await execute(context, confirm(me, block.prefix, block.record, pending));
  let revision = confirmed.revision;
  if (!confirmed.succeeded) {
    const [[found], registration] = confirmed.read;
    if (registrationMoved(me, registration)) return needsSync(context);
    const now = found && parseBlock(found.value);
    if (now?.claim !== block.record.claim || now.state !== "confirmed") return null;
    revision = found.modRevision;
  }
  const see = await holdings.prepareBlock(block);
  while (clock.now() - asked > FRESH) {
    asked = clock.now();
    const { read } = await context.etcd.txn(readKeys([keys.block(block.prefix)]));
    if (read[0][0]?.modRevision === revision) continue;
    await holdings.dropBlock(block.prefix);
    return null;
  }
  see();
  holdings.revisions.set(keys.block(block.prefix), revision);
  const owned = ownedBlock(block);
  context.tell({ kind: "block-gained", block: owned });
  return owned;
}

/** Rejects with BlockSourceError, and then the block is still ours. */
export async function giveBackBlock(context: Context, prefix: string): Promise<void> {
  const me = registered(context);
  const { holdings, keys, session } = context;
  const block = holdings.block(prefix);
  if (!block) throw new BlockSourceError("notOwned", `block ${prefix} is not this node's`);
  const { pool } = block.record;
  const family = familyOf(prefix);
  const alike = holdings.copy.blocks.filter((other) => other.record.pool === pool && familyOf(other.prefix) === family);
  if (alike.length === 1)
    throw new BlockSourceError("last", `block ${prefix} is the node's last IPv${family} block of pool "${pool}"`);
  if (holdings.copy.lent.some((loan) => loan.block === prefix)) throw lent(prefix);
  await holdings.dropBlock(prefix);
  holdings.returning.add(prefix);
  context.tell({ kind: "block-returned", block: ownedBlock(block) });
  // From here on it goes: what does not succeed now is done by the next sync.
  try {
    const seen = holdings.revisions.get(keys.block(prefix)) ?? 0;
    const result = await execute(context, release(me, prefix, seen));
    if (result.succeeded) holdings.returning.delete(prefix);
    else if (result.read[1].length > 0 && !registrationMoved(me, result.read[2])) await takeBack(context, block);
    else session.me = null;
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    session.me = null;
    context.log.warn({ block: prefix, error: error.message }, "a block is given back as soon as etcd answers");
  }
}

/** Somebody has borrowed of it meanwhile. */
async function takeBack(context: Context, block: LocalBlock): Promise<never> {
  context.holdings.returning.delete(block.prefix);
  await context.holdings.putBlock(block);
  context.tell({ kind: "block-gained", block: ownedBlock(block) });
  throw lent(block.prefix);
}

function lent(prefix: string): BlockSourceError {
  return new BlockSourceError("lent", `addresses of block ${prefix} are in other nodes' hands, or kept for identities`);
}

/** What we know is not what is: nothing more is done until everything has been read anew. */
export function needsSync(context: Context): never {
  context.session.me = null;
  throw new BlockSourceError("unavailable", "this node's registration in etcd has changed; it is read anew");
}
