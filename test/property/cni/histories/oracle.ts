// What must be true of every history.
import type { Attachments } from "../../../../cni/attachments.ts";
import type { Allocation } from "../../../../cni/ipam/allocator.ts";
import { podKey } from "../../../../cni/ipam/records.ts";
import { Store } from "../../../../cni/ipam/store.ts";
import { silentLog } from "../../../../net/log.ts";
import { CAPACITY, type Container, type History, NETWORK } from "./history.ts";

export class Oracle {
  readonly #history: History;
  readonly #say: (line: string) => void;
  wrong: string | null = null;

  constructor(history: History, say: (line: string) => void) {
    this.#history = history;
    this.#say = say;
  }

  fail(what: string): void {
    if (this.wrong === null) this.#say(`WRONG: ${what}`);
    this.wrong ??= what;
  }

  /** An ADD is about to be acknowledged. */
  attached(container: Container, addresses: readonly string[]): void {
    for (const other of this.#history.containers.values())
      if (other !== container && other.promised === "attached" && !other.cutOff)
        for (const address of addresses)
          if (other.addresses.includes(address)) this.fail(`${address} of ${other.id} is given to ${container.id} too`);
    if (addresses.length !== 2) this.fail(`${container.id} has ${addresses}`);
  }

  /** A DEL is about to be acknowledged: nothing leads to the pod any more. */
  removed(container: Container): void {
    for (const cable of this.#history.kernel.cables.values())
      if (cable.namespace === container.namespace && cable.ifname === "eth0" && container.calls === 1)
        this.fail(`the DEL of ${container.id} succeeds, and ${cable.name} is there`);
  }

  lookAtStart(attachments: Attachments): void {
    this.#lookAtBooks(attachments, "after the start");
  }

  /** After a loss of power, before the start: what was acknowledged is on the platter. */
  async lookAtDisk(): Promise<void> {
    const { disk, containers, kernel, journalLost, journalBehind } = this.#history;
    if (journalLost) return;
    const store = new Store("/state", silentLog, disk.face({ step: async () => {} }), () => null);
    const { damage } = await store.open();
    if (damage !== null) this.fail(`after a loss of power the journal ${damage}`);
    for (const container of containers.values()) {
      const record = store.pods.get(`${NETWORK}/${container.id}/eth0`);
      if (container.promised === "absent" && record && !journalBehind)
        this.fail(`after a loss of power ${container.id} is in the journal, its DEL had succeeded`);
      if (container.promised !== "attached" || container.cutOff || !kernel.namespaces.has(container.namespace))
        continue;
      if (record?.addresses.join() !== container.addresses.join())
        this.fail(`after a loss of power ${container.id} is not in the journal, its ADD had succeeded`);
    }
  }

  #lookAtBooks(attachments: Attachments, when: string): void {
    const pods = new Map(attachments.pods().map((pod) => [podKey(pod), pod]));
    const { kernel, containers } = this.#history;
    const owners = new Map<string, string>();
    for (const pod of pods.values())
      for (const address of pod.addresses) {
        if (owners.has(address)) this.fail(`${when} ${address} belongs to ${owners.get(address)} and ${podKey(pod)}`);
        owners.set(address, podKey(pod));
      }
    for (const container of containers.values()) {
      const pod = pods.get(`${NETWORK}/${container.id}/eth0`);
      if (container.promised === "absent" && pod) this.fail(`${when} ${container.id} is there, its DEL had succeeded`);
      if (container.promised !== "attached" || container.cutOff) continue;
      if (!kernel.namespaces.has(container.namespace)) continue;
      if (!pod) this.fail(`${when} ${container.id} is lost, its ADD had succeeded`);
      else if (pod.addresses.join() !== container.addresses.join())
        this.fail(`${when} ${container.id} has ${pod.addresses}, its ADD had said ${container.addresses}`);
    }
  }

  lookAtPromises(attachments: Attachments): void {
    this.#lookAtBooks(attachments, "in the end");
    const { kernel } = this.#history;
    const pods = new Map(attachments.pods().map((pod) => [pod.hostInterface, pod]));
    for (const { name, alias, ifindex, addresses } of kernel.cables.values()) {
      const pod = pods.get(name);
      if (!pod) {
        // What could not be removed is in the books until its DEL.
        if (!attachments.books().some(({ hostInterface }) => hostInterface === name))
          this.fail(`${name} is nobody's (${alias})`);
        continue;
      }
      // A DEL that failed half-way is asked for again.
      if (this.#history.containers.get(pod.containerId)?.promised !== "attached") continue;
      for (const address of addresses)
        if (kernel.routes.get(address) !== ifindex) this.fail(`there is no route to ${address} of ${pod.containerId}`);
    }
    for (const [address, ifindex] of kernel.routes)
      if (![...kernel.cables.values()].some((cable) => cable.ifindex === ifindex))
        this.fail(`the route to ${address} leads nowhere`);
  }

  /** After a DEL of everything. */
  lookAtTheEnd(attachments: Attachments): void {
    const { kernel } = this.#history;
    const left = attachments.books().map(podKey);
    if (left.length > 0) this.fail(`${left} are left in the books after everything has gone`);
    const pods = attachments.pods();
    if (pods.length > 0) this.fail(`${pods.map(podKey)} are left after everything has gone`);
    if (kernel.cables.size > 0) this.fail(`${[...kernel.cables.keys()]} are left in the kernel`);
    if (kernel.routes.size > 0) this.fail(`routes to ${[...kernel.routes.keys()]} are left in the kernel`);
    for (const { prefix, used, capacity } of attachments.allocator.blocks())
      if (used > 0) this.fail(`${used} of ${capacity} addresses of ${prefix} are lost`);
    this.#lookAtCapacity(attachments);
  }

  /** Every address can be given out, each once. */
  #lookAtCapacity({ allocator }: Attachments): void {
    const given = new Set<string>();
    const all: Allocation[] = [];
    const request = { pools: ["default"], addresses: [], identity: "", keep: null };
    try {
      for (;;) {
        all.push(allocator.allocate(request));
        for (const address of all[all.length - 1].addresses) given.add(address);
      }
    } catch (error) {
      if ((error as { code?: number }).code !== 100) this.fail(`no address is given: ${(error as Error).message}`);
    }
    if (all.length !== CAPACITY || given.size !== 2 * CAPACITY)
      this.fail(`${given.size} addresses can be given out instead of ${2 * CAPACITY}`);
    for (const allocation of all.reverse()) allocator.undo(allocation);
  }
}
