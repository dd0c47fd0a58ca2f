// The cable of an attachment: the link to its pod, and the host's routes that lead there. In: what the record says. Out: the
// link's index, or an error and nothing left behind.
//
// Routes are written by the one who makes the link, with the link; whoever looks after routes is told, and not waited for.
// The link takes them along when it goes.
import type { Log } from "../net/log.ts";
import type { PodRoute } from "../routing/types.ts";
import { type Attaching, HostNameTakenError } from "./attach/attacher.ts";
import { aliasOf, bytesOf, destinationsOf, hostRoutes, NO_LINK } from "./attachment.ts";
import type { PodRecord } from "./ipam/records.ts";
import type { PodRoutes } from "./types.ts";

/** A cable could not be made, and it is not certain that nothing is left of it. */
export class StillThereError extends Error {
  readonly reason: unknown;
  constructor(reason: unknown) {
    super("what an ADD had made could not be removed");
    this.reason = reason;
  }
}

export class Cables {
  readonly #attacher: Pick<Attaching, "attach" | "detach">;
  readonly #routes: PodRoutes;
  readonly #log: Log;
  readonly #strictSource: () => boolean;
  /** In the kernel, and not yet told of. */
  #unkept: PodRoute[] = [];

  /** `strictSource`: whether pods are to be kept to their IPv4 addresses by the kernel's own check. */
  constructor(
    attacher: Pick<Attaching, "attach" | "detach">,
    routes: PodRoutes,
    log: Log,
    strictSource: () => boolean = () => false,
  ) {
    this.#attacher = attacher;
    this.#routes = routes;
    this.#log = log;
    this.#strictSource = strictSource;
  }

  /**
   * Resolves to the index of the host end. Rejects as Attacher.attach() does, with why a route is not to be had, or with
   * StillThereError. `durable`: the record is on disk; rejects as that does.
   */
  async plug(record: PodRecord, mtu: number, mac: Uint8Array, durable: Promise<unknown>): Promise<number> {
    const { netns, netnsId, ifname, hostInterface } = record;
    const addresses = bytesOf(record);
    const planned = this.#routes.planPodRoutes?.(addresses) ?? null;
    const request = {
      netns,
      netnsId,
      ifname,
      hostInterface,
      alias: aliasOf(record),
      mac,
      mtu,
      addresses,
      destinations: destinationsOf(record),
      routes: planned ?? [],
      strictSource: this.#strictSource(),
    };
    const { ifindex, routed } = await this.#attacher.attach(request, durable).catch((error: unknown) => {
      // Then there is a link of that name, and it is somebody else's.
      if (error instanceof HostNameTakenError) throw error;
      return this.#undone(error, () => this.#attacher.detach({ hostInterface, ifindex: null }));
    });
    const routes = hostRoutes({ record, ifindex });
    try {
      if (planned && routed) this.#keepSoon(routes);
      else await this.#routes.addPodRoutes(routes);
    } catch (error) {
      await this.#undone(error, async () => {
        await this.#routes.removePodRoutes(routes);
        await this.#attacher.detach({ hostInterface, ifindex });
      });
    }
    return ifindex;
  }

  /** When callers have been answered, and before anything else is said of these routes. */
  #keepSoon(routes: readonly PodRoute[]): void {
    if (this.#unkept.length === 0) setImmediate(() => this.#keep());
    this.#unkept.push(...routes);
  }

  #keep(): void {
    const routes = this.#unkept;
    this.#unkept = [];
    if (routes.length > 0) this.#routes.keepPodRoutes?.(routes);
  }

  /** `ifindex` null: that of a link is not known. Resolves also when there is none; rejects when it cannot be taken away. */
  async unplug(record: PodRecord, ifindex: number | null): Promise<void> {
    const { hostInterface } = record;
    this.#keep();
    if (ifindex === null) return void (await this.#attacher.detach({ hostInterface, ifindex }));
    const routes = hostRoutes({ record, ifindex });
    const withLink = ifindex !== NO_LINK && this.#routes.dropPodRoutes !== undefined;
    if (!withLink) await this.#routes.removePodRoutes(routes);
    try {
      const detached = this.#attacher.detach({ hostInterface, ifindex: ifindex || null });
      // Waking another thread takes a while, and it is the first that somebody waits for.
      if (withLink) this.#routes.dropPodRoutes?.(routes);
      await detached;
    } catch (error) {
      // The link is there after all, and so are they.
      if (withLink) await this.#routes.removePodRoutes(routes);
      throw error;
    }
  }

  /** Rejects, with the reason or with StillThereError. */
  async #undone(reason: unknown, undo: () => Promise<unknown>): Promise<never> {
    try {
      await undo();
    } catch (error) {
      this.#log.error({ error: (error as Error).message }, "cannot roll an ADD back completely");
      throw new StillThereError(reason);
    }
    throw reason;
  }
}
