// Blocks out of pools that many nodes share, kept in etcd: what the daemon starts for `source: etcd`. In: wishes of the
// daemon, answers and events of etcd. Out: what is ours (types.ts), each change told once.
//
// One thing at a time: claims, loans, identities and syncs follow each other. While etcd cannot be asked, everything
// that is ours stays ours, wishes are refused with the reason, and the sync is tried again: at once, then at growing
// intervals with jitter.
import { randomUUID } from "node:crypto";
import type { Family } from "../../net/address.ts";
import { type Clock, systemClock, type Timer } from "../../net/clock.ts";
import { type Log, silentLog } from "../../net/log.ts";
import { borrowAddress, giveBackAddress } from "./borrow.ts";
import { claimBlock, giveBackBlock, takeBlock } from "./claim.ts";
import type { Context, Session } from "./context.ts";
import { Backoff } from "./etcd/backoff.ts";
import { EtcdError } from "./etcd/error.ts";
import type { Etcd, Watch, WatchEvent } from "./etcd/kv.ts";
import { Holdings, identityView, loanView, ownedBlock } from "./holdings.ts";
import { expireIdentity, forget, holdIdentity, identityLoans, letGoOfIdentity, lookUpIdentity } from "./identities.ts";
import { Keys } from "./keys.ts";
import type { LocalStore } from "./local-copy.ts";
import type { Departed } from "./records.ts";
import { sync } from "./sync.ts";
import {
  type BlockSource,
  BlockSourceError,
  type ClusterPool,
  type HoldResult,
  type Identity,
  type IdentityRecord,
  type Loan,
  type OwnedBlock,
  type SourceChange,
  type SourceState,
} from "./types.ts";

export interface EtcdSourceOptions {
  readonly node: string;
  /** Of the machine (its machine id): another machine with the same node name is refused. */
  readonly identity: string;
  readonly rack: string | null;
  /** Of the configuration: made in etcd when they are not there. */
  readonly pools: readonly ClusterPool[];
  /** Milliseconds at start until the copy on the disk counts. */
  readonly startWait: number;
  /** Milliseconds between syncs that nothing gives cause for. */
  readonly syncInterval: number;
  /** Seconds without a sign of life after which the node counts as dead, and claims that it has not finished are void. */
  readonly leaseTime: number;
  /** Where everything is in etcd. */
  readonly root?: string;
}

export interface EtcdSourceSeams {
  readonly etcd: Etcd;
  readonly store: LocalStore;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly newId?: () => string;
  readonly timeOfDay?: () => string;
  readonly log?: Log;
}

/** An event is followed by others as a rule. */
const EVENT_PAUSE = 20;
const RETRY = { first: 200, most: 10_000 };

export class EtcdBlockSource implements BlockSource {
  readonly #options: EtcdSourceOptions;
  readonly #context: Context;
  readonly #holdings: Holdings;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #session: Session = {
    me: null,
    running: false,
    lease: null,
    pools: [],
    warnings: [],
    uncertain: false,
    ownRevisions: new Set(),
  };
  readonly #listeners = new Set<(change: SourceChange) => void>();
  #state: SourceState;
  #queue: Promise<unknown> = Promise.resolve();
  #watch: Watch | null = null;
  #syncTimer: Timer | null = null;
  #leaseTimer: Timer | null = null;
  #loaded = false;
  #stopped = false;
  /** Others have changed something since the last sync began: it may have read what was before. */
  #news = false;

  constructor(options: EtcdSourceOptions, seams: EtcdSourceSeams) {
    this.#options = options;
    this.#clock = seams.clock ?? systemClock;
    const random = seams.random ?? Math.random;
    this.#holdings = new Holdings(seams.store);
    this.#backoff = new Backoff(RETRY, random);
    const newId = seams.newId ?? randomUUID;
    this.#context = {
      etcd: seams.etcd,
      keys: new Keys(options.root),
      clock: this.#clock,
      random,
      newId,
      timeOfDay: seams.timeOfDay ?? (() => new Date().toISOString()),
      log: seams.log ?? silentLog,
      node: options.node,
      identity: options.identity,
      incarnation: newId(),
      rack: options.rack,
      wanted: options.pools,
      holdings: this.#holdings,
      session: this.#session,
      tell: (change) => this.#tell(change),
    };
    this.#state = { kind: "starting", reason: null, since: this.#clock.now() };
  }

  get state(): SourceState {
    return this.#state;
  }

  warnings(): readonly string[] {
    return this.#session.warnings;
  }

  async start(): Promise<void> {
    await this.#holdings.load();
    await new Promise<void>((resolve) => {
      const known = () => {
        wait.cancel();
        this.#loaded = true;
        resolve();
      };
      const wait = this.#clock.after(this.#options.startWait, known);
      void this.#sync().then((connected) => {
        if (connected) known();
      });
      // A later attempt may succeed before the wait is over.
      const stop = this.onChange((change) => {
        if (change.kind !== "state") return;
        if (change.state.kind !== "connected" && change.state.kind !== "conflict") return;
        stop();
        known();
      });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#syncTimer?.cancel();
    this.#leaseTimer?.cancel();
    this.#watch?.stop();
    this.#context.etcd.close();
    await this.#queue;
    this.#enter("stopped", "stopped");
  }

  onChange(listener: (change: SourceChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  pools(): readonly ClusterPool[] {
    return this.#session.pools;
  }

  blocks(): readonly OwnedBlock[] {
    return this.#loaded ? this.#holdings.copy.blocks.map(ownedBlock) : [];
  }

  loans(): readonly Loan[] {
    if (!this.#loaded) return [];
    const { loans, identities } = this.#holdings.copy;
    return [...loans.map(loanView), ...identityLoans(this.#options.node, identities)];
  }

  held(): readonly IdentityRecord[] {
    return this.#loaded ? this.#holdings.copy.identities.map(identityView) : [];
  }

  reserved(): readonly string[] {
    const { lent, identities } = this.#holdings.copy;
    const held = new Set(identities.flatMap(({ places }) => places.map(({ address }) => address)));
    return lent.filter(({ address }) => !held.has(address)).map(({ address }) => address);
  }

  want(pool: string, family: Family): Promise<OwnedBlock> {
    return this.#act(() => claimBlock(this.#context, pool, family));
  }

  take(pool: string, address: string): Promise<OwnedBlock> {
    return this.#act(() => takeBlock(this.#context, pool, address));
  }

  giveBack(prefix: string): Promise<void> {
    return this.#act(() => giveBackBlock(this.#context, prefix));
  }

  borrow(pool: string, family: Family): Promise<Loan> {
    return this.#act(() => borrowAddress(this.#context, pool, family));
  }

  giveBackLoan(address: string): Promise<void> {
    return this.#exclusive(() => giveBackAddress(this.#context, address)).finally(() => this.#look());
  }

  lookUp(identity: Identity): Promise<IdentityRecord | null> {
    return this.#act(() => lookUpIdentity(this.#context, identity));
  }

  async hold(identity: Identity, fresh: readonly string[]): Promise<HoldResult> {
    const own = this.#loaded ? this.#holdings.identity(identity) : undefined;
    if (own) return { kind: "held", addresses: identityView(own).addresses, fresh: false };
    return this.#act(() => holdIdentity(this.#context, identity, fresh));
  }

  letGo(identity: Identity, keptUntil: string | null = null): Promise<void> {
    return this.#exclusive(() => letGoOfIdentity(this.#context, identity, keptUntil)).finally(() => this.#look());
  }

  departed(): readonly Departed[] {
    return this.#loaded ? this.#holdings.copy.departed : [];
  }

  expire(identity: Identity, now: string): Promise<void> {
    return this.#act(() => expireIdentity(this.#context, identity, now));
  }

  forget(identity: Identity): Promise<void> {
    return this.#act(() => forget(this.#context, identity));
  }

  /** Work that needs etcd: refused at once while it cannot be asked. */
  #act<T>(work: () => Promise<T>): Promise<T> {
    return this.#exclusive(async () => {
      const { kind, reason } = this.#state;
      if (kind === "stopped" || kind === "conflict") throw new BlockSourceError(kind, reason ?? kind);
      if (kind !== "connected") throw new BlockSourceError("unavailable", reason ?? "etcd has not been asked yet");
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        this.#failed(error);
        throw new BlockSourceError("unavailable", error.message);
      }
    }).finally(() => this.#look());
  }

  /** After work that has found out that what we know is old. */
  #look(): void {
    if (this.#session.me === null && this.#state.kind === "connected") this.#syncIn(0);
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  #syncIn(milliseconds: number, renewWatch = false): void {
    this.#syncTimer?.cancel();
    if (!this.#stopped) this.#syncTimer = this.#clock.after(milliseconds, () => void this.#sync(renewWatch));
  }

  /** True: connected. `renewWatch`: a watch whose connection is half open would never tell. */
  #sync(renewWatch = false): Promise<boolean> {
    this.#syncTimer?.cancel();
    return this.#exclusive(async () => {
      if (this.#stopped) return false;
      this.#news = false;
      try {
        const result = await sync(this.#context, {
          leaseTime: this.#options.leaseTime,
          onRemoved: (reason) => this.#enter("removed", reason),
        });
        if (result.kind === "conflict") {
          this.#enter("conflict", result.reason);
          this.#syncIn(this.#jitter(RETRY.most));
          return false;
        }
        this.#backoff.reset();
        if (renewWatch) this.#watch?.resumeFrom(result.revision + 1);
        this.#follow(result.revision + 1);
        this.#enter("connected", null);
        if (this.#news) this.#syncIn(EVENT_PAUSE);
        else this.#syncIn(this.#jitter(this.#options.syncInterval), true);
        this.#renewLeaseIn(this.#options.leaseTime * 333);
        return true;
      } catch (error) {
        this.#failed(error as Error);
        return false;
      }
    });
  }

  #jitter(milliseconds: number): number {
    return milliseconds * (0.75 + this.#context.random() / 2);
  }

  /** What we have goes on; the reason is told. */
  #failed(error: Error): void {
    if (this.#stopped) return;
    this.#enter("degraded", error.message);
    this.#syncIn(this.#backoff.next());
  }

  #renewLeaseIn(milliseconds: number): void {
    this.#leaseTimer?.cancel();
    this.#leaseTimer = this.#clock.after(milliseconds, () => void this.#renewLease());
  }

  async #renewLease(): Promise<void> {
    const { lease } = this.#session;
    if (this.#stopped || lease === null) return;
    try {
      if (await this.#context.etcd.keepLease(lease)) this.#renewLeaseIn(this.#options.leaseTime * 333);
      else this.#syncIn(0);
    } catch (error) {
      this.#failed(error as Error);
    }
  }

  /** One watch, from the revision after the one that has just been read. */
  #follow(revision: number): void {
    const { keys, node } = this.#context;
    if (this.#watch) return;
    this.#watch = this.#context.etcd.watch([keys.node(node), { key: keys.removed(node) }, keys.pools], revision, {
      onEstablished: () => {},
      onEvents: (events) => this.#heard(events),
      onLost: (reason) => {
        this.#context.log.info({ reason }, "what etcd has about this node is read anew");
        this.#watch?.stop();
        this.#watch = null;
        // A store that begins anew counts anew: others' revisions have numbers that ours had.
        this.#session.ownRevisions.clear();
        this.#syncIn(0);
      },
      onInterrupted: (reason) => {
        this.#context.log.debug({ reason }, "etcd's events are interrupted");
        // It knows soonest that etcd is gone.
        if (this.#state.kind === "connected") this.#syncIn(this.#jitter(RETRY.first));
      },
    });
  }

  #heard(events: readonly WatchEvent[]): void {
    const { keys, node } = this.#context;
    const alive = keys.alive(node);
    const news = events.some(({ modRevision, key }) => !this.#session.ownRevisions.has(modRevision) && key !== alive);
    this.#news ||= news;
    if (news && this.#state.kind !== "degraded") this.#syncIn(EVENT_PAUSE);
  }

  #enter(kind: SourceState["kind"], reason: string | null): void {
    if (this.#state.kind === kind && this.#state.reason === reason) return;
    this.#state = { kind, reason, since: this.#clock.now() };
    if (kind === "conflict") this.#context.log.error({ reason }, "no blocks are claimed");
    else if (kind !== "stopped") this.#context.log.info({ state: kind, reason }, "etcd");
    this.#tell({ kind: "state", state: this.#state });
  }

  #tell(change: SourceChange): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}
