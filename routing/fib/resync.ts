// When our view of the kernel may be wrong (notifications were lost, an answer never came): everything is read anew. The
// long dump of routes is read in slices, so that writes and commands go on meanwhile; what we write while it runs is
// newer than what it says.
import { decodeRoute, encodeRouteDump, RouteReader } from "../netlink/route.ts";
import { Damper } from "./damper.ts";
import { type Repairs, RTM_F_CLONED } from "./repairs.ts";
import type { FibState } from "./state.ts";
import { isLearned } from "./static-routes.ts";

const SLICE_MS = 4;
const RESYNC_MS = { first: 50, last: 5000 };
const DOUBT_INTERVAL_MS = 30_000;
const DUMP_ATTEMPTS = 4;

export class Resync {
  readonly #state: FibState;
  readonly #repairs: Repairs;
  readonly #damper: Damper;
  /** Resyncs completed, and notification overruns, since the start. */
  count = 0;
  overruns = 0;
  #running = false;
  #again = false;
  #pending = false;
  /** Since the last run began. */
  #requested = false;
  #lastDoubt = Number.NEGATIVE_INFINITY;

  constructor(state: FibState, repairs: Repairs) {
    this.#state = state;
    this.#repairs = repairs;
    this.#damper = new Damper(state.deps.clock, RESYNC_MS, () => void this.#run());
  }

  /** Called when `pending` changes. */
  onPending: () => void = () => {};

  /** Something is to be read anew, and has not been yet. */
  get pending(): boolean {
    return this.#pending;
  }

  request(): void {
    if (this.#state.stopped) return;
    this.#requested = true;
    this.#setPending(true);
    this.#damper.request();
  }

  /** Notifications were lost. */
  overrun(): void {
    this.overruns++;
    this.request();
  }

  /** A route was not as expected; a look every half minute is enough. */
  doubt(): void {
    const now = this.#state.deps.clock.now();
    if (now - this.#lastDoubt < DOUBT_INTERVAL_MS) return;
    this.#lastDoubt = now;
    this.request();
  }

  stop(): void {
    this.#damper.stop();
  }

  async #run(): Promise<void> {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    this.#requested = false;
    let done = false;
    const begin = this.#state.deps.clock.now();
    try {
      for (const { ifindex, up } of this.#state.links.load(this.#state.socket))
        this.#repairs.linkChanged(ifindex, up ? "up" : this.#state.links.has(ifindex) ? "down" : "removed");
      this.#state.deps.links(this.#state.links.changes());
      if (this.#state.install) {
        if (this.#state.rulesFollowLinks) this.#state.owned.repairRules();
        this.#repairs.afterNotifications();
        this.#state.nextHops.reconcile();
        const lost = await this.dumpRoutes(!this.#state.swept);
        if (this.#state.stopped) return;
        this.#repairs.repairAll(lost);
      }
      this.count++;
      done = true;
      const elapsed = Math.round(this.#state.deps.clock.now() - begin);
      this.#state.deps.event({
        kind: "resync",
        message: `kernel state read anew in ${elapsed} ms (${this.overruns} notification overruns so far)`,
      });
    } catch (error) {
      if (this.#state.stopped) return;
      this.#state.deps.event({
        kind: "error",
        message: `resync with the kernel failed, will be repeated: ${(error as Error).message}`,
      });
      this.request();
    } finally {
      this.#running = false;
      if (this.#again) {
        this.#again = false;
        this.request();
      } else if (done && !this.#requested) {
        this.#setPending(false);
      }
    }
  }

  #setPending(pending: boolean): void {
    if (pending === this.#pending) return;
    this.#pending = pending;
    this.onPending();
  }

  /** Reads all routes of ours; returns how many that should be there are not. */
  async dumpRoutes(adopt: boolean): Promise<number> {
    const { protocol, localTable } = this.#state.ownership;
    const reader = new RouteReader();
    this.#state.routes.beginDump();
    this.#state.staticRoutes.beginDump();
    for (const family of [4, 6] as const) {
      for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
        const pass = this.#state.dumpSocket.beginDump((out) => encodeRouteDump(out, family, 0, protocol));
        let since = this.#state.deps.clock.now();
        const take = (buffer: Buffer, start: number, end: number) => {
          if (!reader.read(buffer, start, end) || reader.flags & RTM_F_CLONED) return;
          if (!this.#state.ownership.ownsProtocol(reader.protocol)) return;
          if (isLearned(reader, localTable)) this.#state.routes.found(reader, adopt);
          else this.#state.staticRoutes.found(decodeRoute(buffer, start, end)!);
        };
        while (!pass.read(take)) {
          if (this.#state.deps.clock.now() - since < SLICE_MS) continue;
          await new Promise((resolve) => setImmediate(resolve));
          if (this.#state.stopped) return 0;
          since = this.#state.deps.clock.now();
        }
        if (pass.consistent) break;
        if (attempt === DUMP_ATTEMPTS) this.request();
      }
    }
    const lost = this.#state.routes.endDump() + this.#state.staticRoutes.endDump();
    // Outside adoption, a route with our number that nobody wants is removed, like learned ones.
    if (!adopt) this.#state.staticRoutes.sweep();
    return lost;
  }
}
