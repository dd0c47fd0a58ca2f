// Whether a Loc-RIB has a route in use that a policy accepts: the condition of a default route that is originated only
// while there is somewhere to send packets to. In: changes of best paths. Out: `present`, and a call whenever that changes.
// One bit per prefix that the policy accepts; the work is done in slices, whatever the table's size.
import { DirtySet } from "../../net/dirty-set.ts";
import type { Slices, SliceTask } from "../../net/slices.ts";
import type { AttributeStore } from "../attribute-store.ts";
import type { LocRib } from "../loc-rib/loc-rib.ts";
import type { Subscription } from "../loc-rib/subscription.ts";
import { CompiledPolicy } from "../policy/compile.ts";
import type { ExportPolicy, ImportPolicy } from "../policy/types.ts";

/** Prefix ids per step that are looked at to find what is there, and routes that the policy is asked about. */
const MARKED = 8192;
const STEP = 256;

export interface PresenceOptions {
  readonly locRib: LocRib;
  readonly policy: ImportPolicy | ExportPolicy;
  /** A peer whose routes do not count. */
  readonly except: string;
  readonly store: AttributeStore;
  readonly slices: Slices;
  readonly changed: () => void;
}

export class RoutePresence implements SliceTask {
  readonly #options: PresenceOptions;
  readonly #policy: CompiledPolicy;
  readonly #subscription: Subscription;
  readonly #accepted = new DirtySet();
  readonly #batch = new Uint32Array(STEP);
  /** Where the first look at what is there goes on; -1: it is over. */
  #markAt = 0;
  #settled = false;
  #present = false;

  constructor(options: PresenceOptions) {
    const { locRib, policy, slices } = options;
    this.#options = options;
    this.#policy = new CompiledPolicy(policy);
    this.#subscription = locRib.watch("best", () => slices.schedule(this), false);
    slices.schedule(this);
  }

  get present(): boolean {
    return this.#present;
  }

  /** It is known whether there was one at the beginning. */
  get settled(): boolean {
    return this.#settled;
  }

  close(): void {
    this.#subscription.close();
    this.#options.slices.cancel(this);
  }

  step(): boolean {
    const { locRib, changed } = this.#options;
    const subscription = this.#subscription;
    if (this.#markAt >= 0) {
      const to = Math.min(this.#markAt + MARKED, locRib.prefixes.limit);
      locRib.mark(subscription, this.#markAt, to);
      this.#markAt = to < locRib.prefixes.limit ? to : -1;
    }
    const count = subscription.take(this.#batch);
    for (let i = 0; i < count; i++) {
      const id = this.#batch[i];
      if (this.#accepts(id)) this.#accepted.add(id);
      else this.#accepted.delete(id);
    }
    const more = this.#markAt >= 0 || subscription.pending > 0;
    const present = this.#accepted.size > 0;
    // One is enough; that there is none is known when all have been looked at.
    if (more && !(present && !this.#present)) return true;
    if (present === this.#present && this.#settled) return more;
    this.#present = present;
    this.#settled = true;
    changed();
    return more;
  }

  #accepts(id: number): boolean {
    const { locRib, store, except } = this.#options;
    const attributes = locRib.bestOf(id);
    const source = locRib.sourceOf(id);
    if (attributes === 0 || !source || source.name === except) return false;
    const routeClass = this.#policy.classify(locRib.prefixes, id, source.name);
    const verdict = this.#policy.verdictOf(routeClass);
    if (verdict !== "evaluate") return verdict === "accept";
    return this.#policy.evaluate(routeClass, store.attributes(attributes)) !== null;
  }
}
