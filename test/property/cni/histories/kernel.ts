// The kernel as far as pods are concerned: namespaces, cables between them and the host, and the host's routes. It
// outlives the daemon's runs, and nothing of it outlives a boot.
import { isOurAlias } from "../../../../cni/attach/alias.ts";
import { type AttacherEvents, type Attaching, HostNameTakenError } from "../../../../cni/attach/attacher.ts";
import type { HostLink } from "../../../../cni/attach/messages.ts";
import type { Holders } from "../../../../cni/holders.ts";
import { CniError } from "../../../../cni/protocol/error.ts";
import type { PodRoutes } from "../../../../cni/types.ts";
import { formatAddress } from "../../../../net/address.ts";
import type { Steps } from "./steps.ts";

interface Cable {
  readonly ifindex: number;
  readonly name: string;
  alias: string | null;
  readonly namespace: string;
  readonly ifname: string;
  readonly mac: string;
  /** The host's entries for the pod. */
  neighbours: readonly string[];
  /** On the pod's end. */
  addresses: readonly string[];
}

export class SimulatedKernel {
  boot = "boot 1";
  /** Namespaces that are there, by what identifies them. */
  readonly namespaces = new Set<string>();
  /** Where they are found. */
  readonly paths = new Map<string, string>();
  readonly cables = new Map<string, Cable>();
  readonly #holders = new Map<string, string>();
  /** Address -> interface. */
  readonly routes = new Map<string, number>();
  /** So many of the next requests fail. */
  failures = 0;
  /** The first thing that must never be. */
  wrong: string | null = null;
  onGone: (name: string) => void = () => {};
  #serial = 1;

  createNamespace(path: string): string {
    // As the kernel's, the same numbers come again after a boot.
    const id = `4:${this.#serial++}`;
    this.namespaces.add(id);
    this.paths.set(path, id);
    return id;
  }

  /** It is there, and nobody finds it any more. */
  unmount(path: string, holder: string | null): void {
    const id = this.paths.get(path);
    this.paths.delete(path);
    if (id !== undefined && holder !== null) this.#holders.set(id, holder);
  }

  holders(ids: ReadonlySet<string>): Holders {
    return { complete: true, of: new Map([...this.#holders].filter(([id]) => ids.has(id))) };
  }

  destroyNamespace(path: string): void {
    const id = this.paths.get(path);
    this.paths.delete(path);
    if (id === undefined || !this.namespaces.delete(id)) return;
    for (const cable of [...this.cables.values()]) if (cable.namespace === id) this.#unplug(cable);
  }

  reboot(): void {
    this.boot = `boot ${Number(this.boot.slice(5)) + 1}`;
    this.namespaces.clear();
    this.paths.clear();
    this.#holders.clear();
    this.cables.clear();
    this.routes.clear();
    this.failures = 0;
    this.#serial = 1;
  }

  #unplug(cable: Cable): void {
    this.cables.delete(cable.name);
    for (const [address, ifindex] of this.routes) if (ifindex === cable.ifindex) this.routes.delete(address);
    this.onGone(cable.name);
  }

  /** By another program. */
  deleteCable(name: string): void {
    const cable = this.cables.get(name);
    if (cable) this.#unplug(cable);
  }

  #mayFail(what: string): void {
    if (this.failures <= 0) return;
    this.failures--;
    throw new CniError(999, `the kernel refuses to ${what}`);
  }

  attacher(steps: Steps, events: AttacherEvents): Attaching {
    const removing = new Set<string>();
    this.onGone = (name) => {
      if (steps.dead || removing.has(name)) return;
      void steps.step(`hears that ${name} is gone`).then(() => events.onGone(name));
    };
    const remove = async (name: string, ifindex: number | null) => {
      await steps.step(`detach ${name}`);
      this.#mayFail("remove an interface");
      const cable = [...this.cables.values()].find((one) =>
        ifindex === null ? one.name === name && isHostEnd(one) : one.ifindex === ifindex,
      );
      if (cable) {
        removing.add(cable.name);
        this.#unplug(cable);
        removing.delete(cable.name);
      }
      await steps.step("detached");
      return null;
    };
    return {
      running: true,
      start: () => undefined,
      stop: async () => undefined,
      warmUp: async () => null,
      attach: async (request, durable) => {
        await steps.step(`attach ${request.hostInterface}`);
        const id = this.paths.get(request.netns);
        if (id === undefined || id !== request.netnsId) throw new CniError(8, "no such namespace");
        if (this.cables.has(request.hostInterface)) throw new HostNameTakenError(request.hostInterface);
        const inside = [...this.cables.values()].filter(({ namespace }) => namespace === id);
        if (inside.some(({ ifname }) => ifname === request.ifname)) throw new CniError(103, "interface exists");
        this.#mayFail("create an interface");
        const { ifname } = request;
        const mac = Array.from(request.mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
        const ifindex = this.#serial++;
        const name = request.hostInterface;
        const cable: Cable = { ifindex, name, alias: null, namespace: id, ifname, mac, neighbours: [], addresses: [] };
        this.cables.set(cable.name, cable);
        await steps.step("pair created");
        await durable;
        const there = () => this.cables.get(cable.name) === cable;
        if (!there()) throw new CniError(999, "vanished while it was being set up");
        cable.neighbours = request.addresses.map(formatAddress);
        for (const { destination } of request.routes) this.routes.set(formatAddress(destination!), ifindex);
        await steps.step("host end set up");
        if (!there()) throw new CniError(999, "vanished while it was being set up");
        cable.addresses = cable.neighbours;
        this.#lookForTwins(cable);
        await steps.step("pod's end set up");
        if (!there()) throw new CniError(999, "vanished while it was being set up");
        try {
          this.#mayFail("set an alias");
        } catch (error) {
          this.#mayFail("take back what was made");
          removing.add(cable.name);
          this.#unplug(cable);
          removing.delete(cable.name);
          throw error;
        }
        cable.alias = request.alias;
        await steps.step("marked");
        return { ifindex, routed: true };
      },
      detach: ({ hostInterface, ifindex }) => remove(hostInterface, ifindex),
      inspect: async (request) => {
        await steps.step("inspect");
        const cable = this.cables.get(request.hostInterface);
        return cable?.alias === request.alias ? [] : ["the host interface is missing"];
      },
      look: async () => null,
      follow: async () => null as never,
      list: async () => {
        await steps.step("list host ends");
        return [...this.cables.values()].filter(isHostEnd).map((cable): HostLink => {
          const routes = [...this.routes].filter(([, ifindex]) => ifindex === cable.ifindex);
          const known = isOurAlias(cable.alias) ? [] : routes;
          return {
            ifindex: cable.ifindex,
            name: cable.name,
            alias: cable.alias,
            peerIndex: 2,
            peerNamespace: 1,
            routes: known.map(([address]) => address),
            neighbours: isOurAlias(cable.alias) ? [] : cable.neighbours.map((address) => ({ address, mac: cable.mac })),
          };
        });
      },
      find: async (links) => {
        await steps.step("look for pods");
        return links.flatMap(({ name, ifindex }) => {
          const cable = this.cables.get(name);
          const netns = cable && [...this.paths].find(([, id]) => id === cable.namespace)?.[0];
          if (!cable || netns === undefined) return [];
          return [{ hostIfindex: ifindex, netns, netnsId: cable.namespace, ifname: cable.ifname, mac: cable.mac }];
        });
      },
      mark: async (ifindex, alias) => {
        await steps.step("mark");
        this.#mayFail("set an alias");
        for (const cable of this.cables.values()) if (cable.ifindex === ifindex) cable.alias = alias;
        return null;
      },
    };
  }

  podRoutes(steps: Steps): PodRoutes {
    return {
      // As the fib worker's client, which now and then does not know them beforehand.
      planPodRoutes: (addresses) =>
        this.#serial % 4 === 0
          ? null
          : addresses.map((destination) => ({
              family: destination.length === 4 ? (4 as const) : (6 as const),
              table: 7000,
              protocol: 201,
              destination,
              length: destination.length * 8,
            })),
      keepPodRoutes: () => undefined,
      dropPodRoutes: () => undefined,
      addPodRoutes: async (routes) => {
        await steps.step("add routes");
        this.#mayFail("add routes");
        const there = new Set([...this.cables.values()].map(({ ifindex }) => ifindex));
        if (routes.some(({ ifindex }) => !there.has(ifindex))) throw new CniError(999, "no such device");
        for (const { address, ifindex } of routes) this.routes.set(formatAddress(address), ifindex);
        await steps.step("routes added");
      },
      removePodRoutes: async (routes) => {
        await steps.step("remove routes");
        this.#mayFail("remove routes");
        for (const { address, ifindex } of routes)
          if (this.routes.get(formatAddress(address)) === ifindex) this.routes.delete(formatAddress(address));
        await steps.step("routes removed");
      },
    };
  }

  isNamespace(path: string, id: string): boolean {
    return this.paths.get(path) === id && this.namespaces.has(id);
  }

  #lookForTwins(cable: Cable): void {
    for (const other of this.cables.values())
      if (other !== cable)
        for (const address of other.addresses)
          if (cable.addresses.includes(address))
            this.wrong ??= `${address} is given to ${cable.name}, and ${other.name} has it`;
  }
}

function isHostEnd({ name, alias }: Cable): boolean {
  return isOurAlias(alias) || /^ul[0-9a-f]{13}$/.test(name);
}
