// Reads everything that etcd has about this node, and makes both sides agree: at the start, after every interruption,
// when an event says that something was changed by others, and now and then.
//
// When it is not certain what has become of a request (its answer was lost), the registration is written anew first. Every
// transaction of ours compares it: what is still under way can be executed no more, and what is read after that is final.
import { freeOrphan } from "./borrow.ts";
import { type Context, execute } from "./context.ts";
import type { KeyValue } from "./etcd/kv.ts";
import { identityView, loanView, ownedBlock } from "./holdings.ts";
import { letGoNow } from "./identities.ts";
import { EMPTY_COPY } from "./local-copy.ts";
import { ensurePools } from "./pool-records.ts";
import { decideBlocks, decideIdentities, decideLoans, decideRegistration } from "./reconcile.ts";
import { type LoanRecord, type NodeRecord, parseIdentity, parseLoan } from "./records.ts";
import { finishRemoval } from "./removal.ts";
import {
  confirm,
  type Me,
  readKeys,
  readNode,
  register,
  release,
  returnLoan,
  showLife,
  unindex,
  writeIdentity,
  writeLoan,
} from "./transactions.ts";

/** etcd's default limit for the operations of a transaction is 128. */
const KEYS_AT_ONCE = 100;
const ROUNDS = 10;

export type SyncResult =
  /** Everything after this revision is news. */
  { readonly kind: "connected"; readonly revision: number } | { readonly kind: "conflict"; readonly reason: string };

export interface SyncHooks {
  /** Seconds that the lease lives without being renewed. */
  readonly leaseTime: number;
  /** This node has been removed; everything that was its has been told as lost. */
  onRemoved(reason: string): void;
}

/** Rejects with EtcdError, or with the disk's error. */
export async function sync(context: Context, hooks: SyncHooks): Promise<SyncResult> {
  for (let round = 0; round < ROUNDS; round++) {
    const result = await tryOnce(context, hooks);
    if (result) return result;
  }
  return {
    kind: "conflict",
    reason: `the registration of node ${context.node} in etcd is changed by others all the time`,
  };
}

/** Null: something has changed meanwhile; to be read again. */
async function tryOnce(context: Context, hooks: SyncHooks): Promise<SyncResult | null> {
  const { etcd, keys, holdings, session, node, identity, incarnation } = context;
  const { read, revision } = await etcd.txn(readNode(keys, node));
  const [own, [removed = null], pools, paused] = read;
  const found = own.find(({ key }) => key === keys.registration(node)) ?? null;
  const { registration } = holdings.copy;
  const decision = decideRegistration({
    node,
    identity,
    incarnation,
    registration,
    running: session.running,
    found,
    removed,
  });
  if (decision.kind === "conflict") {
    session.me = null;
    return decision;
  }
  if (decision.kind === "removed") {
    session.me = null;
    await loseEverything(context, decision.reason);
    hooks.onRemoved(decision.reason);
    // What has been let go is nobody's, and is forgotten all the same.
    const { departed } = holdings.copy;
    await holdings.change({ ...EMPTY_COPY, departed, registration: decision.registration ?? context.newId() });
    return null;
  }
  if (decision.kind === "register" || session.uncertain) {
    // What a removal has left half done is done first: then the tombstone can go.
    if (removed && !found) await finishRemoval(context, node);
    const id = decision.kind === "register" ? (decision.registration ?? context.newId()) : registration!;
    if (id !== registration) await holdings.change({ registration: id });
    const record: NodeRecord = {
      node,
      identity,
      registration: id,
      incarnation,
      rack: context.rack,
      since: context.timeOfDay(),
    };
    const written = await execute(context, register(keys, record, found?.modRevision ?? 0, removed?.modRevision ?? 0));
    if (written.succeeded) session.uncertain = false;
    session.running ||= written.succeeded;
    return null;
  }
  const me: Me = { keys, node, registration: registration!, revision: decision.revision };
  const changed = await agree(context, me, own, paused.length > 0);
  if (!(await live(context, me, own, hooks.leaseTime))) return null;
  const poolsChanged = await ensurePools(context, me, pools);
  session.me = me;
  return changed || poolsChanged ? null : { kind: "connected", revision };
}

/** True: etcd was written to, so what was read is old. */
async function agree(context: Context, me: Me, own: readonly KeyValue[], paused: boolean): Promise<boolean> {
  const { keys, node, holdings } = context;
  const of = (kind: string) =>
    own.flatMap((entry) => {
      const parsed = keys.parseNodeKey(entry.key);
      return parsed?.kind === kind ? [{ entry, rest: parsed.rest }] : [];
    });
  const lentNow = of("lent").flatMap(({ entry }) => parseLoan(entry.value) ?? []);
  // While a restore is under way, others have yet to put back what they hold of our blocks.
  const missing = holdings.copy.lent.filter(({ address }) => !lentNow.some((loan) => loan.address === address));
  await noteLent(context, paused ? [...lentNow, ...missing] : lentNow);
  const { blocks, loans, identities } = holdings.copy;
  const index = new Map(of("blocks").map(({ entry, rest }) => [rest, entry]));
  const borrowed = of("borrowed").map(({ entry }) => ({ entry, loan: parseLoan(entry.value) }));
  const heldIndex = of("identities").map(({ entry, rest }) => ({ entry, of: `${keys.root}identities/${rest}` }));
  const lentKey = (loan: LoanRecord) => keys.lent(loan.owner, loan.block, loan.address);
  const details = await readDetails(context, [
    ...blocks.map(({ prefix }) => keys.block(prefix)),
    ...[...index.keys()].map((prefix) => keys.block(prefix)),
    ...[...loans, ...borrowed.flatMap(({ loan }) => loan ?? [])].map(lentKey),
    ...identities.map((identity) => keys.identity(identity)),
    ...identities.flatMap(({ places }) => places.map((at) => keys.lent(at.owner, at.block, at.address))),
    ...heldIndex.map((entry) => entry.of),
  ]);
  const found = (key: string) => details.get(key);
  const prefixes = [...new Set([...blocks.map(({ prefix }) => prefix), ...index.keys()])];
  const facts = { node, registration: me.registration };
  let wrote = false;
  const write = async (txn: Parameters<typeof execute>[1]) => {
    wrote = true;
    return execute(context, txn);
  };

  for (const decision of decideBlocks({
    ...facts,
    local: blocks,
    returning: holdings.returning,
    index,
    blocks: new Map(
      prefixes.flatMap((prefix) => (found(keys.block(prefix)) ? [[prefix, found(keys.block(prefix))!]] : [])),
    ),
  })) {
    if (decision.kind === "keep") holdings.revisions.set(keys.block(decision.prefix), decision.revision);
    else if (decision.kind === "write") await write(confirm(me, decision.prefix, decision.record, decision.seen));
    else if (decision.kind === "release") {
      const result = await write(release(me, decision.prefix, decision.revision));
      // Not while something of it is lent: then it is ours again, and unused.
      if (!result.succeeded) holdings.returning.delete(decision.prefix);
    } else if (decision.kind === "unindex") await write(unindex(me, decision.key, decision.revision));
    else if (decision.kind === "adopt") {
      const block = { prefix: decision.prefix, record: decision.record };
      await holdings.putBlock(block);
      holdings.revisions.set(keys.block(decision.prefix), decision.revision);
      context.tell({ kind: "block-gained", block: ownedBlock(block) });
    } else await loseBlock(context, decision.prefix, decision.reason);
  }
  for (const prefix of [...holdings.returning]) if (!index.has(prefix)) holdings.returning.delete(prefix);

  const lent = new Map(
    [...loans, ...borrowed.flatMap(({ loan }) => loan ?? [])].flatMap((loan) => {
      const at = found(lentKey(loan));
      return at ? [[loan.address, { loan: parseLoan(at.value), revision: at.modRevision }] as const] : [];
    }),
  );
  for (const decision of decideLoans({ ...facts, local: loans, index: borrowed, lent })) {
    if (decision.kind === "keep") holdings.revisions.set(lentKey(decision.loan), decision.revision);
    else if (decision.kind === "write") await write(writeLoan(me, decision.loan, decision.seen));
    else if (decision.kind === "unindex") await write(unindex(me, decision.key, decision.revision));
    else if (decision.kind === "return") {
      const result = await write(returnLoan(me, decision.loan, decision.revision));
      if (result.succeeded) await freeOrphan(context, decision.loan.owner, result.read[2], result.read[3].length);
    } else await loseLoan(context, decision.loan, decision.reason);
  }

  for (const decision of decideIdentities({
    ...facts,
    local: identities,
    index: heldIndex,
    stored: new Map(
      [...identities.map((identity) => keys.identity(identity)), ...heldIndex.map((entry) => entry.of)].flatMap(
        (key) => {
          const at = found(key);
          return at ? [[key, { identity: parseIdentity(at.value), revision: at.modRevision }] as const] : [];
        },
      ),
    ),
    keyOf: (identity) => keys.identity(identity),
  })) {
    if (decision.kind === "keep") holdings.revisions.set(keys.identity(decision.identity), decision.revision);
    else if (decision.kind === "unindex") await write(unindex(me, decision.key, decision.revision));
    else if (decision.kind === "lost") await loseIdentity(context, decision.identity, decision.reason);
    else if (decision.kind === "letGo") {
      wrote = true;
      const before = context.session.me;
      context.session.me = me;
      await letGoNow(context, decision.identity, decision.revision);
      context.session.me = before;
    } else {
      const placesSeen = decision.identity.places.map(
        (at) => found(keys.lent(at.owner, at.block, at.address))?.modRevision ?? 0,
      );
      await write(writeIdentity(me, { identity: decision.identity, seen: 0, placesSeen, blocks: [] }));
    }
  }
  return wrote;
}

async function readDetails({ etcd }: Context, keys: readonly string[]): Promise<Map<string, KeyValue>> {
  const found = new Map<string, KeyValue>();
  const distinct = [...new Set(keys)];
  for (let i = 0; i < distinct.length; i += KEYS_AT_ONCE) {
    const { read } = await etcd.txn(readKeys(distinct.slice(i, i + KEYS_AT_ONCE)));
    for (const [kv] of read) if (kv) found.set(kv.key, kv);
  }
  return found;
}

/** False: the registration is not valid any more. */
async function live(context: Context, me: Me, own: readonly KeyValue[], leaseTime: number): Promise<boolean> {
  const { etcd, keys, node, session } = context;
  if (session.lease !== null && !(await etcd.keepLease(session.lease))) session.lease = null;
  session.lease ??= await etcd.grantLease(leaseTime);
  const shown = own.find(({ key }) => key === keys.alive(node));
  if (shown?.value === session.lease) return true;
  return (await execute(context, showLife(me, session.lease))).succeeded;
}

async function noteLent(context: Context, lent: readonly LoanRecord[]): Promise<void> {
  const { holdings } = context;
  const known = JSON.stringify(holdings.copy.lent);
  if (JSON.stringify(lent) === known) return;
  await holdings.change({ lent });
  context.tell({ kind: "reserved" });
}

async function loseEverything(context: Context, reason: string): Promise<void> {
  const { blocks, loans, identities } = context.holdings.copy;
  for (const { prefix } of blocks) await loseBlock(context, prefix, reason);
  for (const loan of loans) await loseLoan(context, loan, reason);
  for (const identity of identities) await loseIdentity(context, identity, reason);
  context.holdings.returning.clear();
  context.holdings.revisions.clear();
}

async function loseBlock(context: Context, prefix: string, reason: string): Promise<void> {
  const block = context.holdings.block(prefix)!;
  await context.holdings.dropBlock(prefix);
  context.holdings.revisions.delete(context.keys.block(prefix));
  context.log.error({ block: prefix, reason }, "a block is not this node's any more");
  context.tell({ kind: "block-lost", block: ownedBlock(block), reason });
}

async function loseLoan(context: Context, loan: LoanRecord, reason: string): Promise<void> {
  await context.holdings.dropLoan(loan.address);
  context.log.error({ address: loan.address, reason }, "a borrowed address is not in this node's hands any more");
  context.tell({ kind: "loan-lost", loan: loanView(loan), reason });
}

async function loseIdentity(
  context: Context,
  identity: Parameters<typeof identityView>[0],
  reason: string,
): Promise<void> {
  await context.holdings.dropIdentity(identity);
  context.log.error({ identity: `${identity.namespace}/${identity.name}`, reason }, "an identity is lost");
  context.tell({ kind: "identity-lost", identity: identityView(identity), reason });
}
