// What the fib worker wrote to the kernel, on its way to those who listen. Single operations and summaries go on at once.
// The columns behind the summaries become one event for each operation, a few milliseconds at a time, so that a load of a
// million routes holds up nobody; what cannot wait any longer is counted as lost.
import { formatAddress } from "../net/address.ts";
import type { KernelOperation, KernelOperations, RouteOperations } from "../routing/types.ts";
import type { EventHub } from "./events.ts";

/** Operations that may wait. */
const LIMIT = 64 * 1024;
const SLICE_MS = 2;
/** Operations between two looks at the clock. */
const STEP = 32;

const operations = ["add", "replace", "delete"] as const;
/** RTN_* other than unicast that we write. */
const types: Readonly<Record<number, string>> = { 6: "blackhole", 7: "unreachable" };

export class OperationFeed {
  readonly #events: EventHub;
  readonly #nameOf: (ifindex: number) => string;
  #queue: RouteOperations[] = [];
  /** Of the first in the queue. */
  #taken = 0;
  #waiting = 0;
  #scheduled = false;

  constructor(events: EventHub, nameOf: (ifindex: number) => string) {
    this.#events = events;
    this.#nameOf = nameOf;
  }

  operations(list: readonly (KernelOperation | KernelOperations)[]): void {
    for (const { at, ...operation } of list)
      if (operation.kind === "operation") this.#events.emit("kernel", operation, at);
      else this.#events.emitSummary("kernel", operation, at);
  }

  routes(routes: RouteOperations): void {
    if (this.#waiting + routes.count > LIMIT) {
      this.#events.lost(routes.count);
      return;
    }
    this.#queue.push(routes);
    this.#waiting += routes.count;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#slice();
      this.#schedule();
    });
  }

  #slice(): void {
    const begin = performance.now();
    while (this.#queue.length > 0 && performance.now() - begin < SLICE_MS) {
      const [routes] = this.#queue;
      const end = Math.min(routes.count, this.#taken + STEP);
      this.#waiting -= end - this.#taken;
      for (; this.#taken < end; this.#taken++)
        this.#events.emitDetail("kernel", this.#operation(routes, this.#taken), routes.at);
      if (end < routes.count) continue;
      this.#queue.shift();
      this.#taken = 0;
    }
  }

  #operation(routes: RouteOperations, i: number): Omit<KernelOperation, "at"> {
    const address = routes.addresses.subarray(i * 16, i * 16 + (routes.families[i] === 4 ? 4 : 16));
    const type = types[routes.types[i]];
    const error = routes.errors.find(([index]) => index === i)?.[1];
    return {
      kind: "operation",
      operation: operations[routes.operations[i]],
      object: "route",
      prefix: `${formatAddress(address)}/${routes.lengths[i]}`,
      table: routes.tables[i],
      ...(type && { routeType: type }),
      ...(routes.nextHops[i] !== 0 && { nextHop: routes.nextHops[i] }),
      ...(routes.interfaces[i] !== 0 && { interface: this.#nameOf(routes.interfaces[i]) }),
      ...(error !== undefined && { error }),
    };
  }
}
