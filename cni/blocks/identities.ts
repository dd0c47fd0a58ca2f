// Pods that keep their addresses, whichever node they are on. An identity is in one node's hands or in none's, and its
// addresses are marked at their owners' as lent, so that no owner hands them out and no block with one of them goes
// back.

import { freeOrphan } from "./borrow.ts";
import { needsSync } from "./claim.ts";
import { type Context, execute, registered, registrationMoved } from "./context.ts";
import { EtcdError } from "./etcd/error.ts";
import { identityView, loanView } from "./holdings.ts";
import { type LoanRecord, type Place, parseIdentity, type StoredIdentity } from "./records.ts";
import { isIn } from "./space.ts";
import { forgetIdentity, type IdentityChange, placeRecord, readKeys, writeIdentity } from "./transactions.ts";
import { BlockSourceError, type HoldResult, type Identity, type IdentityRecord } from "./types.ts";

interface Stored {
  readonly identity: StoredIdentity;
  readonly revision: number;
}

async function read(context: Context, of: Identity): Promise<Stored | null> {
  const { read } = await context.etcd.txn(readKeys([context.keys.identity(of)]));
  const [found] = read[0];
  if (!found) return null;
  const identity = parseIdentity(found.value);
  if (identity) return { identity, revision: found.modRevision };
  throw new BlockSourceError("taken", `the record of identity ${of.namespace}/${of.name} in etcd cannot be read`);
}

export async function lookUpIdentity(context: Context, of: Identity): Promise<IdentityRecord | null> {
  const found = await read(context, of);
  return found && identityView(found.identity);
}

/** Rejects with EtcdError or BlockSourceError. */
export async function holdIdentity(context: Context, of: Identity, fresh: readonly string[]): Promise<HoldResult> {
  const { holdings } = context;
  const own = holdings.identity(of);
  if (own) return { kind: "held", addresses: identityView(own).addresses, fresh: false };
  const me = registered(context);
  const found = await read(context, of);
  if (found && found.identity.node !== null && found.identity.node !== me.node)
    return { kind: "heldBy", node: found.identity.node };
  const mark = {
    node: me.node,
    registration: me.registration,
    change: context.newId(),
    since: context.timeOfDay(),
  };
  const change = found
    ? {
        identity: { ...found.identity, ...mark, keptUntil: undefined },
        seen: found.revision,
        placesSeen: [],
        blocks: [],
      }
    : fromFresh(context, { ...of, ...mark, quarantine: null, places: [] }, fresh);
  const result = await execute(context, writeIdentity(me, change));
  let revision = result.revision;
  if (!result.succeeded) {
    const [[now], registration] = result.read;
    if (registrationMoved(me, registration)) return needsSync(context);
    const stored = now && parseIdentity(now.value);
    if (stored?.change !== mark.change) {
      if (stored?.node && stored.node !== me.node) return { kind: "heldBy", node: stored.node };
      if (change.identity.quarantine !== null) return { kind: "heldBy", node: change.identity.quarantine };
      throw new BlockSourceError(
        "taken",
        `identity ${of.namespace}/${of.name}: its addresses have just changed hands; try again`,
      );
    }
    revision = now.modRevision;
  }
  const identity = { ...change.identity, quarantine: null };
  await holdings.putIdentity(identity, ownPlaces(context.node, identity));
  holdings.revisions.set(context.keys.identity(identity), revision);
  return { kind: "held", addresses: identityView(identity).addresses, fresh: found === null };
}

/** Throws BlockSourceError when an address is neither of our blocks nor borrowed by us. */
function fromFresh(
  { holdings, keys, node }: Context,
  identity: StoredIdentity,
  fresh: readonly string[],
): IdentityChange {
  const blocks = new Map<string, number>();
  const placesSeen: number[] = [];
  const places = fresh.map((address): Place => {
    const loan = holdings.copy.loans.find((candidate) => candidate.address === address);
    if (loan) {
      placesSeen.push(holdings.revisions.get(keys.lent(loan.owner, loan.block, address)) ?? 0);
      return { address, owner: loan.owner, block: loan.block };
    }
    const block = holdings.copy.blocks.find(({ prefix }) => isIn(address, prefix));
    if (!block || (block.record.lend !== null && isIn(address, block.record.lend)))
      throw new BlockSourceError("notOwned", `address ${address} is not this node's to keep for ${identity.name}`);
    placesSeen.push(0);
    blocks.set(block.prefix, holdings.revisions.get(keys.block(block.prefix)) ?? 0);
    return { address, owner: node, block: block.prefix };
  });
  return {
    identity: { ...identity, places },
    seen: 0,
    placesSeen,
    blocks: [...blocks].map(([prefix, seen]) => ({ prefix, seen })),
  };
}

/** Off our disk first, then in etcd; what does not succeed is done by the next sync. */
export async function letGoOfIdentity(context: Context, of: Identity, keptUntil: string | null): Promise<void> {
  const { holdings, session } = context;
  const identity = holdings.identity(of);
  if (!identity) return;
  await holdings.dropIdentity(identity, keptUntil);
  await later(context, async () => {
    if (session.me) await letGoNow(context, identity, holdings.revisions.get(context.keys.identity(identity)) ?? 0);
  });
  tellReserved(context, identity);
}

/** Rejects with EtcdError. */
export async function letGoNow(context: Context, identity: StoredIdentity, seen: number): Promise<void> {
  const me = registered(context);
  const keptUntil = context.holdings.departed(identity)?.keptUntil;
  const free = { ...identity, node: null, registration: null, change: context.newId(), keptUntil };
  const result = await execute(context, writeIdentity(me, { identity: free, seen, placesSeen: [], blocks: [] }));
  context.holdings.revisions.delete(context.keys.identity(identity));
  if (!result.succeeded) context.session.me = null;
}

/**
 * The time of an identity that this node has let go is over: it is forgotten, unless it is in somebody's hands again,
 * or another node has let it go meanwhile and keeps it for longer. `now`: ISO 8601.
 */
export async function expireIdentity(context: Context, of: Identity, now: string): Promise<void> {
  const { holdings } = context;
  registered(context);
  const found = await read(context, of);
  const { node, keptUntil = "" } = found?.identity ?? {};
  const byOthers = keptUntil !== holdings.departed(of)?.keptUntil;
  const longer = byOthers && Date.parse(keptUntil) > Date.parse(now);
  if (node === null && !longer) await forget(context, of);
  else await holdings.dropDeparted(of);
}

/** Rejects with BlockSourceError when another node has it in its hands. */
export async function forget(context: Context, of: Identity): Promise<void> {
  const { holdings, keys } = context;
  const me = registered(context);
  const found = await read(context, of);
  if (found?.identity.node && found.identity.node !== me.node)
    throw new BlockSourceError(
      "taken",
      `identity ${of.namespace}/${of.name} is in the hands of node ${found.identity.node}`,
    );
  const own = holdings.identity(of);
  if (own) await holdings.dropIdentity(own);
  if (!found) return holdings.dropDeparted(of);
  const result = await execute(context, forgetIdentity(me, found.identity, found.revision));
  holdings.revisions.delete(keys.identity(of));
  if (!result.succeeded) {
    context.session.me = null;
    return;
  }
  const reads = 2 + found.identity.places.length;
  for (const [i, { owner }] of found.identity.places.entries())
    await freeOrphan(context, owner, result.read[reads + 2 * i], result.read[reads + 2 * i + 1].length);
  const gone = new Set(found.identity.places.map((place) => place.address));
  await holdings.change({ lent: holdings.copy.lent.filter(({ address }) => !gone.has(address)) });
  await holdings.dropDeparted(of);
  tellReserved(context, found.identity);
}

function ownPlaces(node: string, identity: StoredIdentity): LoanRecord[] {
  return identity.places.filter(({ owner }) => owner === node).map((place) => placeRecord(identity, place));
}

async function later(context: Context, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    context.session.me = null;
    context.log.warn({ error: error.message }, "an identity is let go as soon as etcd answers");
  }
}

function tellReserved(context: Context, identity: StoredIdentity): void {
  if (identity.places.some(({ owner }) => owner === context.node)) context.tell({ kind: "reserved" });
}

/** Addresses of other nodes' blocks that come with identities in our hands. */
export function identityLoans(node: string, identities: readonly StoredIdentity[]) {
  return identities.flatMap((identity) =>
    identity.places
      .filter(({ owner }) => owner !== node)
      .map((place) =>
        loanView({ ...place, pool: identity.pool, registration: null, identity: null, loan: "", since: "" }),
      ),
  );
}
