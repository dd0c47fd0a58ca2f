// The learned routes' way into the kernel: slices of a few milliseconds, between which commands and notifications are
// served, until nothing is dirty. Then those who wait for a flush are told, and what happened is reported in one line.
import type { FibStatus } from "../types.ts";
import { Failures } from "./failures.ts";
import type { FibState } from "./state.ts";
import { RouteWriter, type WriterEvents } from "./writer.ts";

const SLICE_MS = 4;

export class BulkWriter {
  readonly #state: FibState;
  readonly #writer: RouteWriter;
  readonly #failures: Failures;
  readonly #guard: (work: () => void) => void;
  #flushWaiters: (() => void)[] = [];
  #scheduled = false;
  #begin = 0;

  /** `guard` runs work whose failure must not end the worker. */
  constructor(state: FibState, guard: (work: () => void) => void, events: WriterEvents) {
    this.#state = state;
    this.#guard = guard;
    this.#failures = new Failures(state.deps.clock, () => {
      guard(() => state.nextHops.reconcile());
      state.routes.retryFailed();
      this.schedule();
    });
    this.#writer = new RouteWriter(state.socket, state.ownership, state.routes, state.nextHops, this.#failures, events);
  }

  /** Called when nothing is left to write. */
  onDrained: () => void = () => {};

  failed(): FibStatus["failed"] {
    return this.#failures.list();
  }

  /** Resolves when nothing is left to write. */
  flush(): Promise<void> {
    return new Promise((resolve) => {
      this.#flushWaiters.push(resolve);
      this.schedule();
    });
  }

  /** Resolves when nothing is being written: at once when what is to be written waits for its time. */
  idle(): Promise<void> {
    return this.#scheduled ? this.flush() : Promise.resolve();
  }

  schedule(): void {
    if (this.#scheduled || this.#state.stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#state.stopped) this.#guard(() => this.#slice());
    });
  }

  stop(): void {
    this.#failures.stop();
    this.#resolveFlushes();
  }

  #slice(): void {
    const { clock } = this.#state.deps;
    const now = clock.now();
    if (this.#begin === 0) this.#begin = now;
    if (!this.#state.install) this.#forgetDirty();
    else
      while (this.#writer.writeBatch())
        if (clock.now() - now > SLICE_MS) {
          this.schedule();
          return;
        }
    this.#drained();
  }

  #drained(): void {
    if (this.#state.install) this.#state.nextHops.collect();
    this.#state.routes.forgetUnused();
    this.onDrained();
    const { event } = this.#state.deps;
    const { added, removed, failed } = this.#writer;
    const elapsed = Math.round(this.#state.deps.clock.now() - this.#begin);
    this.#begin = 0;
    this.#writer.added = this.#writer.removed = this.#writer.failed = 0;
    if (added + removed > 0)
      event({
        kind: "routesInstalled",
        count: added,
        message: `${added} routes written, ${removed} removed in ${elapsed} ms`,
      });
    if (failed > 0) {
      const [first] = this.#failures.list();
      const example = first ? `: ${first.prefix} in table ${first.table}: ${first.error}` : "";
      event({
        kind: "routesFailed",
        count: failed,
        message: `${failed} routes refused by the kernel${example}`,
      });
    }
    this.#resolveFlushes();
  }

  #resolveFlushes(): void {
    const waiters = this.#flushWaiters;
    this.#flushWaiters = [];
    for (const resolve of waiters) resolve();
  }

  /** Routes are held, not installed. */
  #forgetDirty(): void {
    for (const table of this.#state.routes.tables())
      for (let id = table.next(); id >= 0; id = table.next()) table.releaseIfUnused(id);
  }
}
