// The life of an attachment: allocate, make durable, wire, route; and back. Also what a restart finds.
//
//   addresses -> store (fsync) -> veth in the pod -> routes of the host -> the caller is told
//   the way back in the opposite order; an address is free for others only when nothing leads to its pod any more
import { createHash, randomBytes } from "node:crypto";
import { parseAddress } from "../net/address.ts";
import type { Log } from "../net/log.ts";
import type { KernelOperation, KernelOperations } from "../routing/types.ts";
import { decodeAlias, encodeAlias, isOurAlias } from "./attach/alias.ts";
import { Attacher, HostNameTakenError } from "./attach/attacher.ts";
import { formatMac } from "./attach/gateway.ts";
import type { HostLink } from "./attach/messages.ts";
import { Allocator } from "./ipam/allocator.ts";
import { type PodRecord, podKey } from "./ipam/records.ts";
import { Store } from "./ipam/store.ts";
import { Locks } from "./locks.ts";
import { isNamespace } from "./namespace.ts";
import { type PodRequest, parseMac } from "./protocol/config.ts";
import { CniError, CniErrorCode } from "./protocol/error.ts";
import type { CniOptions, PodEvent, PodLook, PodRoutes, PodView, PoolOptions } from "./types.ts";

const NAME_ATTEMPTS = 5;
/** In place of an interface's index. */
const NO_LINK = 0;

export interface AttachmentId {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

export interface NewAttachment extends AttachmentId {
  readonly pool: string;
  readonly netns: string;
  readonly netnsId: string;
  readonly mtu: number;
  readonly request: PodRequest;
}

export interface Attachment {
  readonly record: PodRecord;
  /** Of the host end; 0: somebody deleted it. */
  readonly ifindex: number;
}

export class Attachments {
  readonly allocator: Allocator;
  readonly #store: Store;
  readonly #attacher: Attacher;
  readonly #routes: PodRoutes;
  readonly #log: Log;
  readonly #locks = new Locks();
  #hasPools: boolean;
  #started = false;
  /** Complete ones, by key. */
  readonly #attached = new Map<string, Attachment>();
  readonly #listeners: ((event: PodEvent) => void)[] = [];
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
    },
  ) {
    this.#hasPools = options.pools.length > 0;
    this.allocator = new Allocator(options.pools, () => deps.onRetired?.());
    this.#store = new Store(options.stateDir, deps.log);
    this.#attacher = new Attacher({
      onGone: (name) => void this.#onGone(name),
      onFailure: (error) => deps.onFailure?.(error),
      onOperations: (operations) => this.onOperations(operations),
    });
    this.#routes = deps.routes;
    this.#log = deps.log;
  }

  /** What the attach worker wrote to the kernel. */
  onOperations: (operations: readonly (KernelOperation | KernelOperations)[]) => void = () => {};

  /** ADD, DEL and CHECK of one interface of one container, one after the other. */
  exclusively<T>(containerId: string, ifname: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.with(`${containerId}/${ifname}`, work);
  }

  onEvent(listener: (event: PodEvent) => void): void {
    this.#listeners.push(listener);
  }

  get(id: AttachmentId): Attachment | undefined {
    return this.#attached.get(podKey(id));
  }

  pods(): PodView[] {
    return [...this.#attached.values()].map(({ record }) => podView(record));
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
    return [...this.#store.pods.values()].filter((record) => record.network === network);
  }

  /** Brings store, allocator and kernel together. Rejects when the store is damaged. */
  async start(): Promise<void> {
    await this.#store.open();
    for (const [key, record] of this.#store.pods) {
      if (this.allocator.adopt(record.addresses, record.pool)) continue;
      this.#log.error({ key, addresses: record.addresses }, "an address has two owners in the allocation store");
    }
    const links = new Map((await this.#hostLinks()).map((link) => [link.name, link]));
    const kept: Attachment[] = [];
    for (const [key, record] of [...this.#store.pods]) {
      const link = links.get(record.hostInterface);
      links.delete(record.hostInterface);
      if (link?.alias === aliasOf(record)) kept.push({ record, ifindex: link.ifindex });
      else await this.#dropUnfinished(key, record, link);
    }
    for (const link of links.values()) {
      const recovered = await this.#adoptLink(link);
      if (recovered) kept.push(recovered);
    }
    this.#store.keepReleased(this.allocator.restoreReleased(this.#store.released));
    await this.#restoreRoutes(kept);
    for (const attachment of kept) this.#attached.set(podKey(attachment.record), attachment);
    this.#reportOutside(kept);
    this.#log.info({ pods: kept.length, store: this.#store.path }, "pods recovered");
    const gone = this.#goneEarly ?? [];
    this.#goneEarly = null;
    await Promise.all(gone.map((name) => this.#onGone(name)));
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
  async #hostLinks(): Promise<HostLink[]> {
    this.#started = true;
    if (!this.#hasPools && this.#store.pods.size === 0) return [];
    this.#attacher.start();
    return await this.#attacher.list();
  }

  /** Resolves when ADDs, DELs and CHECKs of now are done. */
  idle(): Promise<void> {
    return this.#locks.idle();
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
    const key = podKey(wanted);
    if (this.#store.pods.has(key))
      throw new CniError(
        CniErrorCode.alreadyAttached,
        `interface ${wanted.ifname} of this container is already attached to network "${wanted.network}"`,
        wanted.containerId,
      );
    const addresses = this.allocator.allocate(wanted.pool, wanted.request.addresses);
    const mac = wanted.request.mac ?? randomMac();
    for (let attempt = 0; ; attempt++) {
      const record = this.#record(wanted, addresses, mac, attempt);
      try {
        await this.#store.commit({ op: "add", pod: record });
      } catch (error) {
        if (attempt === 0) this.allocator.release(addresses);
        throw error;
      }
      try {
        return await this.#wire(record, wanted.mtu, mac);
      } catch (error) {
        const retry = error instanceof HostNameTakenError && attempt < NAME_ATTEMPTS;
        if (!retry) {
          await this.#forget(key, record);
          throw error;
        }
      }
    }
  }

  /** Call within exclusively(). Resolves also when there is nothing; rejects when something could not be taken away. */
  async remove(id: AttachmentId): Promise<void> {
    const key = podKey(id);
    const record = this.#store.pods.get(key);
    if (!record) return;
    const attachment = this.#attached.get(key);
    if (attachment) await this.#routes.removePodRoutes(hostRoutes(attachment));
    await this.#attacher.detach({ hostInterface: record.hostInterface, ifindex: attachment?.ifindex || null });
    this.#attached.delete(key);
    if (attachment) this.#emit("removed", record);
    await this.#store.commit({ op: "remove", key });
    this.allocator.release(record.addresses);
  }

  /** Call within exclusively(). What is wrong with an attachment, in words; empty when it is whole. */
  async inspect(attachment: Attachment, netns: string, mac: string | null): Promise<string[]> {
    const { record } = attachment;
    if (record.netnsId !== "" && !(await isNamespace(netns, record.netnsId)))
      return [`${netns} is not the network namespace that was attached (${record.netns})`];
    return this.#attacher.inspect({
      netns,
      netnsId: record.netnsId,
      ifname: record.ifname,
      hostInterface: record.hostInterface,
      alias: aliasOf(record),
      addresses: bytesOf(record),
      mac: mac === null ? null : parseMac(mac),
    });
  }

  async #wire(record: PodRecord, mtu: number, mac: Uint8Array): Promise<Attachment> {
    const { ifindex } = await this.#attacher.attach({
      netns: record.netns,
      netnsId: record.netnsId,
      ifname: record.ifname,
      hostInterface: record.hostInterface,
      alias: aliasOf(record),
      mac,
      mtu,
      addresses: bytesOf(record),
    });
    const attachment = { record, ifindex };
    try {
      await this.#routes.addPodRoutes(hostRoutes(attachment));
    } catch (error) {
      await this.#unwire(attachment);
      throw error;
    }
    this.#attached.set(podKey(record), attachment);
    this.#emit("added", record);
    return attachment;
  }

  /** On the way out of a failed ADD: errors are logged, the first one is what the caller gets. */
  async #unwire(attachment: Attachment): Promise<void> {
    const { hostInterface } = attachment.record;
    const report = (error: unknown) =>
      this.#log.error({ hostInterface, error: (error as Error).message }, "cannot roll an ADD back completely");
    await this.#routes.removePodRoutes(hostRoutes(attachment)).catch(report);
    await this.#attacher.detach({ hostInterface, ifindex: attachment.ifindex }).catch(report);
  }

  /** Takes an allocation back that leads nowhere. When the store cannot be written the address stays taken. */
  async #forget(key: string, record: PodRecord): Promise<void> {
    try {
      await this.#store.commit({ op: "remove", key });
    } catch {
      this.#log.warn({ key, addresses: record.addresses }, "address stays allocated until its DEL or a restart");
      return;
    }
    this.allocator.release(record.addresses);
  }

  #record(wanted: NewAttachment, addresses: readonly string[], mac: Uint8Array, attempt: number): PodRecord {
    return {
      network: wanted.network,
      containerId: wanted.containerId,
      ifname: wanted.ifname,
      pool: wanted.pool,
      addresses,
      netns: wanted.netns,
      netnsId: wanted.netnsId,
      hostInterface: this.#hostName(podKey(wanted), attempt),
      mac: formatMac(mac),
      pod: wanted.request.pod,
    };
  }

  /** `ul` and 13 hexadecimal digits: 15 bytes. */
  #hostName(key: string, attempt: number): string {
    const taken = new Set<string>();
    for (const [other, record] of this.#store.pods) if (other !== key) taken.add(record.hostInterface);
    for (let salt = attempt; ; salt++) {
      const name = `ul${createHash("sha256")
        .update(salt === 0 ? key : `${key}#${salt}`)
        .digest("hex")
        .slice(0, 13)}`;
      if (!taken.has(name)) return name;
    }
  }

  /** All in one go; when the kernel refuses, one by one, so that a pod that just went does not take others along. */
  async #restoreRoutes(kept: readonly Attachment[]): Promise<void> {
    if (kept.length === 0) return;
    try {
      await this.#routes.addPodRoutes(kept.flatMap(hostRoutes));
      return;
    } catch (error) {
      this.#log.debug({ error: (error as Error).message }, "pods' routes refused, trying one by one");
    }
    for (const attachment of kept) {
      try {
        await this.#routes.addPodRoutes(hostRoutes(attachment));
      } catch (error) {
        const { hostInterface, addresses, containerId } = attachment.record;
        this.#log.error(
          { hostInterface, addresses, containerId, error: (error as Error).message },
          "a pod cannot be reached: the kernel refuses its routes",
        );
      }
    }
  }

  /** Pods from before a change of the pools: they go on, but nobody announces their addresses any more. */
  #reportOutside(kept: readonly Attachment[]): void {
    for (const { record } of kept) {
      const outside = record.addresses.filter((address) => !this.allocator.covers(address));
      if (outside.length === 0) continue;
      this.#log.warn(
        { containerId: record.containerId, ifname: record.ifname, pod: record.pod, addresses: outside },
        "a pod has addresses that are in no configured block: other nodes cannot reach it, recreate it or restore the block",
      );
    }
  }

  /** An allocation without a complete interface: its ADD never ended well, or its pod is gone. */
  async #dropUnfinished(key: string, record: PodRecord, link: HostLink | undefined): Promise<void> {
    const mine = link && (link.alias === null || link.alias === aliasOf(record));
    if (link && mine) await this.#attacher.detach({ hostInterface: link.name, ifindex: link.ifindex });
    await this.#forget(key, record);
    this.#log.info({ key, addresses: record.addresses }, "allocation without a pod released");
  }

  /** An interface that the store does not know: the store was lost or replaced, the pod may be alive. */
  async #adoptLink(link: HostLink): Promise<Attachment | null> {
    if (!isOurAlias(link.alias)) return null;
    const content = decodeAlias(link.alias);
    if (!content) {
      this.#log.error({ hostInterface: link.name, alias: link.alias }, "a pod's interface does not say its addresses");
      return null;
    }
    if (!this.allocator.adopt(content.addresses, content.pool)) {
      this.#log.error({ hostInterface: link.name, ...content }, "a pod unknown to the store has an address in use");
      return null;
    }
    // Without a name no DEL will find it; it leaves the books when its interface vanishes.
    const { network = "", containerId = link.name, ifname = "", pool = "", addresses } = content;
    const record: PodRecord = {
      network,
      containerId,
      ifname,
      pool,
      addresses,
      netns: "",
      netnsId: "",
      hostInterface: link.name,
      mac: "",
      pod: null,
    };
    await this.#store.commit({ op: "add", pod: record }).catch(() => undefined);
    this.#log.warn({ hostInterface: link.name, addresses }, "pod recovered from its interface, the store had lost it");
    return { record, ifindex: link.ifindex };
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
          if (record.netnsId !== "" && (await isNamespace(record.netns, record.netnsId))) {
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

  #emit(kind: PodEvent["kind"], record: PodRecord): void {
    for (const listener of this.#listeners) listener({ kind, pod: podView(record) });
  }
}

function aliasOf(record: PodRecord): string {
  return encodeAlias(record);
}

function bytesOf(record: PodRecord): Uint8Array[] {
  return record.addresses.map((address) => parseAddress(address)!);
}

function hostRoutes({ record, ifindex }: Attachment): { address: Uint8Array; ifindex: number }[] {
  return bytesOf(record).map((address) => ({ address, ifindex }));
}

function podView(record: PodRecord): PodView {
  const { network, containerId, ifname, addresses, pool, netns, hostInterface, pod } = record;
  return { network, containerId, ifname, addresses, pool, netns, hostInterface, pod };
}

/** Locally administered, unicast. Random: a pod that comes again is another station. */
function randomMac(): Uint8Array {
  const mac = Uint8Array.from(randomBytes(6));
  mac[0] = (mac[0] & 0xfe) | 0x02;
  return mac;
}
