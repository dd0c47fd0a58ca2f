// What a node makes of what etcd says about it, beside what its own disk says. Pure; sync.ts carries it out.
//
// The rule that everything else follows from: what was ours stays ours unless there is evidence that somebody took it.
// A record that is merely missing (etcd wiped, restored from an older backup, a key deleted by hand) is put back,
// because pods live from it. The evidence is a tombstone for this registration, which `nodes remove` leaves, or another
// node's record under the same key.
import type { KeyValue } from "./etcd/kv.ts";
import type { LocalBlock } from "./local-copy.ts";
import {
  type BlockRecord,
  type LoanRecord,
  parseBlock,
  parseNode,
  parseRemoved,
  type StoredIdentity,
} from "./records.ts";

export interface RegistrationFacts {
  readonly node: string;
  readonly identity: string;
  readonly incarnation: string;
  /** On our disk. */
  readonly registration: string | null;
  /** This process has registered before. */
  readonly running: boolean;
  readonly found: KeyValue | null;
  readonly removed: KeyValue | null;
}

export type RegistrationDecision =
  | { readonly kind: "valid"; readonly revision: number }
  /** To be written with this id (null: a new one); what our disk says holds. */
  | { readonly kind: "register"; readonly registration: string | null }
  /** All that was ours is lost; then a new registration, or the one found. */
  | { readonly kind: "removed"; readonly registration: string | null; readonly reason: string }
  | { readonly kind: "conflict"; readonly reason: string };

export function decideRegistration(facts: RegistrationFacts): RegistrationDecision {
  const { node, identity, registration, found, removed } = facts;
  const tombstone = removed && parseRemoved(removed.value);
  if (tombstone && registration !== null && tombstone.registration === registration)
    return {
      kind: "removed",
      registration: null,
      reason: `node ${node} was removed by an operator at ${tombstone.since}`,
    };
  if (!found) return { kind: "register", registration };
  const record = parseNode(found.value);
  if (!record)
    return { kind: "conflict", reason: `the registration of node ${node} in etcd cannot be read: delete its key` };
  if (record.identity !== identity)
    return {
      kind: "conflict",
      reason: `another machine (${record.identity}) is registered as node ${node} since ${record.since}: give this one another name, or remove the other with "underlayctl nodes remove ${node}"`,
    };
  if (registration !== null && record.registration !== registration)
    return {
      kind: "removed",
      registration: record.registration,
      reason: `node ${node} was removed and registered again since this disk was written`,
    };
  if (record.incarnation === facts.incarnation) return { kind: "valid", revision: found.modRevision };
  if (facts.running)
    return {
      kind: "conflict",
      reason: `another daemon runs as node ${node} with the same machine id: is this a cloned machine?`,
    };
  return { kind: "register", registration: record.registration };
}

export type BlockDecision =
  | { readonly kind: "keep"; readonly prefix: string; readonly revision: number }
  /** Written (again): missing, or not written as it should be. `seen`: 0 when it has to be absent. */
  | { readonly kind: "write"; readonly prefix: string; readonly record: BlockRecord; readonly seen: number }
  | { readonly kind: "lost"; readonly prefix: string; readonly reason: string }
  | { readonly kind: "adopt"; readonly prefix: string; readonly record: BlockRecord; readonly revision: number }
  | { readonly kind: "release"; readonly prefix: string; readonly revision: number }
  | { readonly kind: "unindex"; readonly key: string; readonly revision: number };

export interface BlockFacts {
  readonly node: string;
  readonly registration: string;
  readonly local: readonly LocalBlock[];
  /** Given back on our side, and perhaps not yet in etcd. */
  readonly returning: ReadonlySet<string>;
  /** Keys below nodes/<node>/blocks/, by prefix. */
  readonly index: ReadonlyMap<string, KeyValue>;
  /** The blocks' own keys, of all prefixes in `local` and `index`. */
  readonly blocks: ReadonlyMap<string, KeyValue>;
}

export function decideBlocks({ node, registration, local, returning, index, blocks }: BlockFacts): BlockDecision[] {
  const decisions: BlockDecision[] = [];
  const mine = (record: BlockRecord | null): record is BlockRecord =>
    record !== null && record.node === node && record.registration === registration;
  for (const { prefix, record } of local) {
    const found = blocks.get(prefix);
    const now = found ? parseBlock(found.value) : null;
    if (!found) decisions.push({ kind: "write", prefix, record, seen: 0 });
    else if (mine(now)) {
      const entry = index.get(prefix);
      const whole = now.state === "confirmed" && entry?.value === found.value;
      decisions.push(
        whole
          ? { kind: "keep", prefix, revision: found.modRevision }
          : { kind: "write", prefix, record: { ...record, state: "confirmed" }, seen: found.modRevision },
      );
    } else decisions.push({ kind: "lost", prefix, reason: inOtherHands(now) });
  }
  const known = new Set(local.map(({ prefix }) => prefix));
  for (const [prefix, entry] of index) {
    if (known.has(prefix)) continue;
    const found = blocks.get(prefix);
    const now = found ? parseBlock(found.value) : null;
    // Of an earlier registration of ours: nobody uses it.
    const left = now?.node === node && (now.state === "pending" || now.state === "confirmed");
    if (!found || !left) decisions.push({ kind: "unindex", key: entry.key, revision: entry.modRevision });
    else if (!mine(now) || now.state !== "confirmed" || returning.has(prefix))
      decisions.push({ kind: "release", prefix, revision: found.modRevision });
    else decisions.push({ kind: "adopt", prefix, record: now, revision: found.modRevision });
  }
  return decisions;
}

function inOtherHands(now: BlockRecord | null): string {
  if (!now) return "its record in etcd cannot be read";
  if (now.state === "confirmed" || now.state === "pending") return `node ${now.node} has it now`;
  return `it was taken back with node ${now.node} at ${now.since}`;
}

export type LoanDecision =
  | { readonly kind: "keep"; readonly loan: LoanRecord; readonly revision: number }
  | { readonly kind: "write"; readonly loan: LoanRecord; readonly seen: number }
  | { readonly kind: "lost"; readonly loan: LoanRecord; readonly reason: string }
  | { readonly kind: "return"; readonly loan: LoanRecord; readonly revision: number }
  | { readonly kind: "unindex"; readonly key: string; readonly revision: number };

export interface LoanFacts {
  readonly node: string;
  readonly registration: string;
  readonly local: readonly LoanRecord[];
  /** Below nodes/<node>/borrowed/, with what their values say. */
  readonly index: readonly { readonly entry: KeyValue; readonly loan: LoanRecord | null }[];
  /** The owners' keys, by address. */
  readonly lent: ReadonlyMap<string, { readonly loan: LoanRecord | null; readonly revision: number }>;
}

/** A loan that our disk does not know is one whose answer was lost, or that was on its way back: it goes back. */
export function decideLoans({ node, registration, local, index, lent }: LoanFacts): LoanDecision[] {
  const decisions: LoanDecision[] = [];
  const mine = (loan: LoanRecord | null | undefined) =>
    loan !== null && loan !== undefined && loan.node === node && loan.registration === registration;
  for (const loan of local) {
    const found = lent.get(loan.address);
    if (!found) decisions.push({ kind: "write", loan, seen: 0 });
    else if (!mine(found.loan) || found.loan!.identity !== null)
      decisions.push({ kind: "lost", loan, reason: `it is in the hands of ${found.loan?.node ?? "nobody"} now` });
    else if (index.some(({ loan: entry }) => entry?.address === loan.address))
      decisions.push({ kind: "keep", loan, revision: found.revision });
    else decisions.push({ kind: "write", loan, seen: found.revision });
  }
  for (const { entry, loan } of index) {
    if (loan && local.some(({ address }) => address === loan.address)) continue;
    const found = loan ? lent.get(loan.address) : undefined;
    if (loan && found && mine(found.loan) && found.loan!.identity === null)
      decisions.push({ kind: "return", loan: found.loan!, revision: found.revision });
    else decisions.push({ kind: "unindex", key: entry.key, revision: entry.modRevision });
  }
  return decisions;
}

export type IdentityDecision =
  | { readonly kind: "keep"; readonly identity: StoredIdentity; readonly revision: number }
  /** Its record is missing: made again, out of what its places are now. */
  | { readonly kind: "write"; readonly identity: StoredIdentity }
  | { readonly kind: "lost"; readonly identity: StoredIdentity; readonly reason: string }
  | { readonly kind: "letGo"; readonly identity: StoredIdentity; readonly revision: number }
  | { readonly kind: "unindex"; readonly key: string; readonly revision: number };

export interface IdentityFacts {
  readonly node: string;
  readonly registration: string;
  readonly local: readonly StoredIdentity[];
  /** Below nodes/<node>/identities/, with the name of the identity's own key. */
  readonly index: readonly { readonly entry: KeyValue; readonly of: string }[];
  /** The identities' own keys. */
  readonly stored: ReadonlyMap<string, { readonly identity: StoredIdentity | null; readonly revision: number }>;
  readonly keyOf: (identity: StoredIdentity) => string;
}

/** One that our disk does not know is one whose answer was lost, or whose pod is gone: it is let go. */
export function decideIdentities(facts: IdentityFacts): IdentityDecision[] {
  const { node, registration, local, index, stored, keyOf } = facts;
  const mine = (identity: StoredIdentity | null) => identity?.node === node && identity.registration === registration;
  const decisions = local.map((identity): IdentityDecision => {
    const found = stored.get(keyOf(identity));
    if (!found) return { kind: "write", identity };
    if (found.identity && mine(found.identity))
      return { kind: "keep", identity: found.identity, revision: found.revision };
    return { kind: "lost", identity, reason: `it is in the hands of ${found.identity?.node ?? "nobody"} now` };
  });
  const known = new Set(local.map(keyOf));
  for (const { entry, of } of index) {
    if (known.has(of)) continue;
    const found = stored.get(of);
    decisions.push(
      found?.identity && mine(found.identity)
        ? { kind: "letGo", identity: found.identity, revision: found.revision }
        : { kind: "unindex", key: entry.key, revision: entry.modRevision },
    );
  }
  return decisions;
}
