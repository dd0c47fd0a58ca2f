// The life of an attachment: allocate, make durable, wire, route; and back.
//
//   addresses -> store (fsync) -> veth in the pod -> routes of the host -> the caller is told
//   the way back in the opposite order; an address is free for others only when nothing leads to its pod any more
import type { Log } from "../net/log.ts";
import type { KernelOperation, KernelOperations } from "../routing/types.ts";
import { allocateFor, type Given, giveBack } from "./allocation.ts";
import { type Attaching, HostNameTakenError } from "./attach/attacher.ts";
import type { HostLink } from "./attach/messages.ts";
import {
  type Attachment,
  type AttachmentId,
  aliasOf,
  bytesOf,
  destinationsOf,
  NAME_ATTEMPTS,
  type NewAttachment,
  NO_LINK,
  newRecord,
  podView,
  randomMac,
  recordOf,
} from "./attachment.ts";
import { Cables, StillThereError } from "./cables.ts";
import { hostName } from "./host-name.ts";
import { Allocator } from "./ipam/allocator.ts";
import { releaseBy } from "./ipam/delegate.ts";
import { type Exceptions, noExceptions } from "./ipam/exceptions.ts";
import { release, removal, undo } from "./ipam/forget.ts";
import { type PodRecord, podKey } from "./ipam/records.ts";
import { Store } from "./ipam/store.ts";
import { Locks } from "./locks.ts";
import { namespaceInode, ownInode } from "./namespace.ts";
import { CniError, CniErrorCode } from "./protocol/error.ts";
import type { JsonObject } from "./protocol/json.ts";
import { parseMac } from "./protocol/pod-request.ts";
import { followAll, type RecoveryParts, recover } from "./recovery.ts";
import { sharedSources } from "./siblings.ts";
import { type Surroundings, thisHost } from "./surroundings.ts";
import type { CniOptions, PodEvent, PodLook, PodRoutes, PodView, PoolOptions } from "./types.ts";
import { Upkeep } from "./upkeep.ts";
import { VANISHED_AFTER, Vanished } from "./vanished.ts";

export class Attachments {
  readonly allocator: Allocator;
  readonly #store: Store;
  readonly #attacher: Attaching;
  readonly #boot: () => string | null;
  readonly #isNamespace: Surroundings["isNamespace"];
  readonly #routes: PodRoutes;
  readonly #cables: Cables;
  readonly #exceptions: Exceptions;
  readonly #log: Log;
  readonly #locks = new Locks();
  #hasPools: boolean;
  #started = false;
  /** Complete ones, by key. */
  readonly #attached = new Map<string, Attachment>();
  readonly #listeners: ((event: PodEvent) => void)[] = [];
  readonly #upkeep: Upkeep;
  /** Host ends that vanished while start() was still putting the picture together; null: it is done. */
  #goneEarly: string[] | null = [];

  /** `onFailure`: the attach worker ended, nothing can be attached or detached any more. */
  constructor(
    options: CniOptions,
    deps: {
      log: Log;
      routes: PodRoutes;
      onFailure?: ((error: Error) => void) | undefined;
      onRetired?: (() => void) | undefined;
      exceptions?: Exceptions | undefined;
      strictSource?: (() => boolean) | undefined;
    },
    around: Surroundings = thisHost,
  ) {
    this.#hasPools = options.pools.length > 0;
    this.#exceptions = deps.exceptions ?? noExceptions;
    this.allocator = new Allocator(options.pools, {
      exceptions: this.#exceptions,
      onRetired: () => deps.onRetired?.(),
      onEvicted: (eviction) =>
        deps.log.warn(eviction, "a pool had no other address left: one that was kept for a pod goes to another"),
    });
    this.#store = new Store(options.stateDir, deps.log, around.disk, around.boot);
    this.#boot = around.boot;
    this.#isNamespace = around.isNamespace;
    this.#attacher = around.attacher({
      onGone: (name) => void this.#onGone(name),
      onMoved: (hostInterface, mac, error) => this.#onMoved(hostInterface, mac, error),
      onFailure: (error) => deps.onFailure?.(error),
      onOperations: (operations) => this.onOperations(operations),
    });
    this.#routes = deps.routes;
    this.#cables = new Cables(this.#attacher, deps.routes, deps.log, deps.strictSource ?? (() => false));
    this.#log = deps.log;
    this.#upkeep = new Upkeep({
      parts: () => this.#parts,
      attached: () => this.#attached.values(),
      isAttached: (attachment) => this.#attached.get(podKey(attachment.record)) === attachment,
      remove: (record) =>
        this.exclusively(record.containerId, record.ifname, () => this.remove(record, record.sequence)),
      vanished: new Vanished({
        log: deps.log,
        isNamespace: around.isNamespace,
        findHolders: around.findHolders,
        grace: options.vanishedAfter ?? VANISHED_AFTER,
      }),
    });
  }

  /** What the attach worker wrote to the kernel. */
  onOperations: (operations: readonly (KernelOperation | KernelOperations)[]) => void = () => {};

  /** ADD, DEL and CHECK of one interface of one container, one after the other. */
  exclusively<T>(containerId: string, ifname: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.with(`${containerId}/${ifname}`, work);
  }

  /** A call for it is under way. */
  isBusy({ containerId, ifname }: AttachmentId): boolean {
    return this.#locks.isHeld(`${containerId}/${ifname}`);
  }

  onEvent(listener: (event: PodEvent) => void): void {
    this.#listeners.push(listener);
  }

  get(id: AttachmentId): Attachment | undefined {
    const record = recordOf(this.#store.pods, id);
    return record && this.#attached.get(podKey(record));
  }

  isPod(pid: number): boolean {
    const inode = namespaceInode(pid);
    if (inode === null || inode === ownInode) return false;
    for (const { record } of this.#attached.values()) if (record.netnsId.endsWith(`:${inode}`)) return true;
    return false;
  }

  pods(): PodView[] {
    return [...this.#attached.values()].map(({ record }) => {
      const unannounced = record.ipam ? record.addresses.filter((address) => !this.allocator.covers(address)) : [];
      return { ...podView(record), ...(unannounced.length > 0 && { unannounced }) };
    });
  }

  /** Every pod, and how its end of the cable is now: one namespace after the other. */
  async look(): Promise<PodLook[]> {
    const looks: PodLook[] = [];
    for (const { record } of [...this.#attached.values()]) {
      const { netns, netnsId, ifname, mac } = record;
      const namespaceKnown = netns !== "";
      const end = namespaceKnown ? await this.#attacher.look({ netns, netnsId, ifname }) : null;
      // Detached meanwhile.
      if (this.#attached.get(podKey(record))?.record !== record) continue;
      looks.push({ ...podView(record), mac, namespaceKnown, end });
    }
    return looks;
  }

  /** Everything that the store knows of a network, complete or not. */
  ofNetwork(network: string): PodRecord[] {
    return this.books().filter((record) => record.network === network);
  }

  /** Everything that the store knows. */
  books(): PodRecord[] {
    return [...this.#store.pods.values()];
  }

  /** Brings store, allocator and kernel together. Rejects when the store cannot be read. */
  async start(): Promise<void> {
    const found = await this.#store.open();
    const suspect = found.missing || found.damage !== null;
    const recovered = await recover(this.#parts, found, this.#boot(), () => this.#hostLinks(suspect));
    const { kept } = recovered;
    for (const attachment of kept) this.#attached.set(podKey(attachment.record), attachment);
    this.#upkeep.after(recovered);
    if (!this.#hasPools && this.#store.pods.size === 0) await this.#attacher.stop();
    this.#log.info({ pods: kept.length, store: this.#store.path }, "pods recovered");
    const gone = this.#goneEarly ?? [];
    this.#goneEarly = null;
    await Promise.all(gone.map((name) => this.#onGone(name)));
    void followAll(this.#attacher, kept);
  }

  /** Other pools, from now on. Their first one brings the worker that attaches. */
  setPools(pools: readonly PoolOptions[]): void {
    this.allocator.setPools(pools);
    this.#hasPools = pools.length > 0;
    if (!this.#hasPools || !this.#started || this.#attacher.running) return;
    this.#attacher.start();
    // Asked for, host ends are watched.
    this.#attacher.list().catch((error: Error) => this.#log.error({ error: error.message }, "pods cannot be watched"));
  }

  /** Where there is neither a pool nor a pod nobody can ever be attached: a worker would cost 12 MiB for nothing. */
  async #hostLinks(suspect: boolean): Promise<HostLink[]> {
    this.#started = true;
    if (!this.#hasPools && this.#store.pods.size === 0 && !suspect) return [];
    this.#attacher.start();
    return await this.#attacher.list();
  }

  /** Before the first pod comes; resolves when that is done. */
  async warmUp(): Promise<void> {
    if (this.#attacher.running) await this.#attacher.warmUp();
  }

  /** Resolves when ADDs, DELs and CHECKs of now are done. */
  idle(): Promise<void> {
    return this.#locks.idle();
  }

  /** What has to be looked at now and then. `now`: milliseconds, monotonic. Never rejects. */
  upkeep(now: number): Promise<void> {
    return this.#upkeep.run(now);
  }

  /** Pods that went without a DEL, and were found. */
  get vanished(): number {
    return this.#upkeep.vanished;
  }

  async removeAll(): Promise<void> {
    for (const record of [...this.#store.pods.values()])
      await this.exclusively(record.containerId, record.ifname, () => this.remove(record));
  }

  async stop(): Promise<void> {
    await this.#locks.idle();
    await this.#attacher.stop();
    await this.#store.close();
  }

  /** Call within exclusively(). All or nothing. */
  async add(wanted: NewAttachment): Promise<Attachment> {
    if (recordOf(this.#store.pods, wanted))
      throw new CniError(
        CniErrorCode.alreadyAttached,
        `interface ${wanted.ifname} of this container is already attached to network "${wanted.network}"`,
        wanted.containerId,
      );
    const allocation = await allocateFor({ ...this.#parts, exceptions: this.#exceptions }, wanted);
    try {
      return await this.#attach(wanted, allocation);
    } catch (error) {
      await giveBack(this.#log, wanted);
      throw error;
    }
  }

  async #attach(wanted: NewAttachment, allocation: Given): Promise<Attachment> {
    const mac = wanted.request.mac ?? randomMac();
    for (let attempt = 0; ; attempt++) {
      const key = podKey(wanted);
      const hostInterface = hostName(key, attempt, (name) => this.#isTaken(name, key));
      const record = newRecord(wanted, allocation, mac, hostInterface);
      let stored = false;
      const durable = this.#store.commit({ op: "add", pod: record }).then(() => {
        stored = true;
      });
      const settled = durable.catch(() => undefined);
      try {
        // The link is made while the disk writes.
        const dns = allocation.given?.dns;
        const wired = this.#wire(record, wanted.mtu, mac, durable, dns);
        wanted.onPlanned?.({ record, ...(dns && { dns }) });
        return await wired;
      } catch (error) {
        await settled;
        if (!stored && error instanceof StillThereError) this.#store.adopt(record);
        else if (!stored) {
          if (attempt === 0) this.allocator.undo(allocation);
          throw error;
        }
        // Its addresses stay its own until its DEL, or the next start, has taken it away.
        if (error instanceof StillThereError) throw error.reason;
        const retry = error instanceof HostNameTakenError && attempt < NAME_ATTEMPTS;
        if (!retry) {
          await undo(this.#parts, record, allocation);
          throw error;
        }
      }
    }
  }

  /**
   * Call within exclusively(). Resolves also when there is nothing; rejects when something could not be taken away.
   * `sequence`: of the attachment that is meant; a later one under the same name stays. `giveBack` has another plugin take
   * addresses back, also when there is no attachment; absent: as the record says.
   */
  async remove(id: AttachmentId, sequence?: number, giveBack?: () => Promise<void>): Promise<void> {
    const record = recordOf(this.#store.pods, id);
    if (!record || (sequence !== undefined && record.sequence !== sequence)) return giveBack?.();
    const key = podKey(record);
    const attachment = this.#attached.get(key);
    await this.#cables.unplug(record, attachment?.ifindex ?? null);
    this.#attached.delete(key);
    if (attachment) this.#emit("removed", record);
    if (giveBack) await giveBack();
    else if (record.ipam) await releaseBy(record.ipam, record);
    await this.#store.commit(removal(key));
    release(this.#parts, record);
  }

  /** Call within exclusively(). What is wrong with an attachment, in words; empty when it is whole. */
  async inspect(attachment: Attachment, netns: string, mac: string | null): Promise<string[]> {
    const { record } = attachment;
    if (record.netnsId !== "" && !(await this.#isNamespace(netns, record.netnsId)))
      return [`${netns} is not the network namespace that was attached (${record.netns})`];
    return this.#attacher.inspect({
      netns,
      netnsId: record.netnsId,
      ifname: record.ifname,
      hostInterface: record.hostInterface,
      alias: aliasOf(record),
      addresses: bytesOf(record),
      destinations: destinationsOf(record),
      mac: mac === null ? null : parseMac(mac),
    });
  }

  async #wire(
    record: PodRecord,
    mtu: number,
    mac: Uint8Array,
    durable: Promise<unknown>,
    dns?: JsonObject,
  ): Promise<Attachment> {
    const ifindex = await this.#cables.plug(record, mtu, mac, durable);
    const attachment = { record, ifindex, ...(dns && { dns }) };
    const shared = sharedSources(attachment, this.#attached.values());
    if (shared.length > 0) await this.#routes.allowSources?.(shared);
    this.#attached.set(podKey(record), attachment);
    this.#emit("added", record);
    return attachment;
  }

  /** Whether another attachment's host end has the name. */
  #isTaken(name: string, key: string): boolean {
    for (const [other, { hostInterface }] of this.#store.pods) if (hostInterface === name && other !== key) return true;
    return false;
  }

  get #parts(): RecoveryParts & { readonly allocator: Allocator } {
    return {
      store: this.#store,
      allocator: this.allocator,
      attacher: this.#attacher,
      routes: this.#routes,
      log: this.#log,
    };
  }

  /**
   * The host end vanished. With its pod's namespace: nobody may ever send a DEL for it. From a namespace that is still
   * there: its addresses are the pod's until its DEL comes, and `doctor` tells of it. Looked up in the store, because
   * its ADD may not have come to its end yet; the lock then waits for that.
   */
  async #onGone(hostInterface: string): Promise<void> {
    if (this.#goneEarly) return void this.#goneEarly.push(hostInterface);
    for (const [key, record] of this.#store.pods) {
      if (record.hostInterface !== hostInterface) continue;
      try {
        await this.exclusively(record.containerId, record.ifname, async () => {
          if (this.#attached.get(key)?.record !== record) return;
          if (record.netnsId !== "" && (await this.#isNamespace(record.netns, record.netnsId))) {
            this.#attached.set(key, { record, ifindex: NO_LINK });
            this.#log.error(
              { key, hostInterface, addresses: record.addresses },
              "somebody deleted the interface of a pod that is there: it is cut off until it is made anew",
            );
            return;
          }
          await this.remove(record);
          this.#log.info({ key, addresses: record.addresses }, "the pod's namespace is gone, its addresses are free");
        });
      } catch (error) {
        this.#log.warn({ key, error: (error as Error).message }, "cannot release the addresses of a pod that is gone");
      }
      return;
    }
  }

  /** A later plugin, or somebody in the pod, has set its MAC. */
  #onMoved(hostInterface: string, mac: string | null, error: string | null): void {
    if (error !== null) this.#log.warn({ hostInterface, error }, "cannot follow a pod that has another MAC");
    else this.#log.info({ hostInterface, mac }, "a pod's MAC was set, its neighbour entries follow");
  }

  #emit(kind: PodEvent["kind"], record: PodRecord): void {
    for (const listener of this.#listeners) listener({ kind, pod: podView(record) });
  }
}
