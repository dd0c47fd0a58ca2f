// Single addresses out of other nodes' blocks. Each block's owner keeps a range at its end out of its own hands from
// the moment of its claim (`lend`), so that its allocator asks nobody; who needs an address writes the loan beside it,
// by a transaction that compares the block's record. Strict affinity is `lend: 0`.
import type { Family } from "../../net/address.ts";
import { needsSync } from "./claim.ts";
import { type Context, execute, registered, registrationMoved } from "./context.ts";
import { EtcdError } from "./etcd/error.ts";
import type { KeyValue } from "./etcd/kv.ts";
import { loanView } from "./holdings.ts";
import { isExcluded } from "./pools.ts";
import { type LoanRecord, parseBlock, parseLoan } from "./records.ts";
import { type BlockAt, readPool } from "./snapshot.ts";
import { addressesOf } from "./space.ts";
import { borrow, readKeys, releaseOrphan, returnLoan } from "./transactions.ts";
import { BlockSourceError, type ClusterPool, type Loan } from "./types.ts";

/**
 * Blocks that are looked at, and addresses tried in each, before it is given up: a cluster that is full is found out
 * quickly.
 */
const BLOCKS = 32;
const TRIES = 4;

/** Rejects with EtcdError or BlockSourceError. */
export async function borrowAddress(context: Context, pool: string, family: Family): Promise<Loan> {
  const me = registered(context);
  const snapshot = await readPool(context, pool, family);
  const lenders = snapshot.blocks.filter(({ record }) => {
    return record?.pool === pool && record.state === "confirmed" && record.node !== me.node && record.lend !== null;
  });
  if (lenders.length === 0)
    throw new BlockSourceError(
      "strict",
      `pool "${pool}" lends no IPv${family} addresses (lend: ${snapshot.pool.lend})`,
    );
  // Each begins somewhere else, so that one owner does not lend everything.
  const start = Math.floor(context.random() * lenders.length);
  for (let i = 0; i < Math.min(BLOCKS, lenders.length); i++) {
    const loan = await borrowOf(context, snapshot.pool, lenders[(start + i) % lenders.length]);
    if (loan) return loan;
  }
  throw new BlockSourceError("exhausted", `pool "${pool}": every IPv${family} address that other nodes lend is in use`);
}

async function borrowOf(context: Context, pool: ClusterPool, block: BlockAt): Promise<Loan | null> {
  const me = registered(context);
  const { etcd, keys, holdings } = context;
  const record = block.record!;
  const { read } = await etcd.txn({
    compare: [],
    success: [{ get: keys.lentOf(record.node, block.prefix) }],
    failure: [],
  });
  const lent = new Set(read[0].map(({ key }) => key));
  let tries = 0;
  for (const address of addressesOf(record.lend!)) {
    if (isExcluded(pool, address) || lent.has(keys.lent(record.node, block.prefix, address))) continue;
    if (tries++ >= TRIES) return null;
    const loan: LoanRecord = {
      address,
      block: block.prefix,
      owner: record.node,
      pool: pool.name,
      node: me.node,
      registration: me.registration,
      identity: null,
      loan: context.newId(),
      since: context.timeOfDay(),
    };
    const result = await execute(context, borrow(me, loan, block.modRevision));
    let revision = result.revision;
    if (!result.succeeded) {
      const [[found], paused, registration] = result.read;
      if (paused.length > 0) throw new BlockSourceError("unavailable", `claims are paused in etcd: ${paused[0].value}`);
      if (registrationMoved(me, registration)) return needsSync(context);
      if (!found) return null;
      if (parseLoan(found.value)?.loan !== loan.loan) continue;
      revision = found.modRevision;
    }
    await holdings.putLoan(loan);
    holdings.revisions.set(keys.lent(loan.owner, loan.block, loan.address), revision);
    const view = loanView(loan);
    context.tell({ kind: "loan-gained", loan: view });
    return view;
  }
  return null;
}

/** Off our disk first, then out of etcd; what does not succeed is done by the next sync. Rejects with BlockSourceError. */
export async function giveBackAddress(context: Context, address: string): Promise<void> {
  const { holdings, session } = context;
  const loan = holdings.copy.loans.find((candidate) => candidate.address === address);
  if (!loan) throw new BlockSourceError("notOwned", `address ${address} is not borrowed by this node`);
  await holdings.dropLoan(address);
  context.tell({ kind: "loan-returned", loan: loanView(loan) });
  try {
    if (session.me) await returnNow(context, loan);
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    session.me = null;
    context.log.warn({ address, error: error.message }, "a borrowed address is given back as soon as etcd answers");
  }
}

/** Rejects with EtcdError. */
async function returnNow(context: Context, loan: LoanRecord): Promise<void> {
  const me = registered(context);
  const { holdings, keys, session } = context;
  const key = keys.lent(loan.owner, loan.block, loan.address);
  const result = await execute(context, returnLoan(me, loan, holdings.revisions.get(key) ?? 0));
  holdings.revisions.delete(key);
  if (!result.succeeded) {
    session.me = null;
    return;
  }
  await freeOrphan(context, loan.owner, result.read[2], result.read[3].length);
}

/** A removed node's block, when nothing of it is lent any more; not before the quarantine is over. Rejects with EtcdError. */
export async function freeOrphan(
  context: Context,
  owner: string,
  block: readonly KeyValue[],
  lent: number,
): Promise<void> {
  const { etcd, keys } = context;
  const [found] = block;
  const record = found && parseBlock(found.value);
  if (record?.state !== "orphaned" || lent > 0) return;
  const { read } = await etcd.txn(readKeys([keys.quarantine(owner)]));
  const [quarantine = null] = read[0];
  await execute(context, releaseOrphan(keys, owner, keys.prefixOf(found.key), record, found.modRevision, quarantine));
}
