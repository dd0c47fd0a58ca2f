// Pods that keep their addresses when they come back on another node. In: an ADD of a pod with a name in a shared pool
// that keeps addresses (`sticky`), pods that come and go. Out: the addresses that the pod had elsewhere, now in this
// node's hands; what etcd is told of identities, in the background. Without etcd pods get what this node has: an
// address is kept here, not elsewhere.
import { type BlockSource, BlockSourceError, type Identity, type IdentityRecord } from "../../cni/blocks/types.ts";
import { CniError, CniErrorCode } from "../../cni/protocol/error.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { asSourceError } from "./claims.ts";

export interface IdentitiesDependencies {
  readonly source: BlockSource;
  readonly clock: Clock;
  /** Milliseconds since 1970: what is kept is kept over a restart, and over a boot. */
  readonly timeOfDay: () => number;
  /** Milliseconds at most that a pool keeps addresses, whatever clocks said; null: it keeps none by now. */
  readonly longest: (pool: string) => number | null;
  readonly log: Log;
}

/** What is still to be told to etcd. */
type Task =
  | { readonly kind: "hold"; readonly addresses: readonly string[] }
  | { readonly kind: "letGo"; readonly keptUntil: string }
  | { readonly kind: "expire" };

const RETRY_MS = 5_000;

export class Identities {
  readonly #deps: IdentitiesDependencies;
  /** By key; the last wish counts. */
  readonly #tasks = new Map<string, { readonly identity: Identity; readonly task: Task }>();
  /** Let go, and nobody's after a while. */
  readonly #forgetting = new Map<string, Timer>();
  #working = false;
  #timer: Timer | null = null;
  #stopped = false;

  constructor(deps: IdentitiesDependencies) {
    this.#deps = deps;
    const { source, timeOfDay, longest } = deps;
    for (const departed of source.departed()) {
      const left = Math.max(0, Date.parse(departed.keptUntil) - timeOfDay() || 0);
      this.#expireIn(departed, Math.min(left, longest(departed.pool) ?? 0));
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    for (const timer of this.#forgetting.values()) timer.cancel();
  }

  held(identity: Identity): IdentityRecord | undefined {
    return this.#deps.source.held().find((record) => keyOf(record) === keyOf(identity));
  }

  /**
   * The addresses that are kept for it, in this node's hands from now on; none: nothing is kept, or nobody can be
   * asked. Rejects with a CniError, code 11, while another node has a pod of that identity.
   */
  async fetch(identity: Identity): Promise<readonly string[]> {
    const { source, log } = this.#deps;
    this.#forgetting.get(keyOf(identity))?.cancel();
    this.#forgetting.delete(keyOf(identity));
    this.#tasks.delete(keyOf(identity));
    const held = this.held(identity);
    if (held) return held.addresses;
    try {
      if ((await source.lookUp(identity)) === null) return [];
      const result = await source.hold(identity, []);
      if (result.kind === "held") return result.addresses;
      throw new CniError(
        CniErrorCode.tryAgainLater,
        `${identity.namespace}/${identity.name} keeps its addresses, and node ${result.node} still has them`,
      );
    } catch (error) {
      if (error instanceof CniError) throw error;
      const { code, message } = asSourceError(error);
      if (code !== "unavailable") throw new CniError(CniErrorCode.tryAgainLater, message);
      log.warn(
        { ...identity, reason: message },
        "whether a pod keeps addresses elsewhere cannot be asked: it gets what is here",
      );
      return [];
    }
  }

  /** A pod has them here. */
  attached(identity: Identity, addresses: readonly string[]): void {
    if (!this.held(identity)) this.#do(identity, { kind: "hold", addresses });
  }

  /** No pod has them here any more, and no neighbour looks for them here; after `milliseconds` nobody keeps them. */
  detached(identity: Identity, milliseconds: number): void {
    const keptUntil = new Date(this.#deps.timeOfDay() + milliseconds).toISOString();
    this.#do(identity, { kind: "letGo", keptUntil });
    this.#expireIn(identity, milliseconds);
  }

  #expireIn(identity: Identity, milliseconds: number): void {
    const key = keyOf(identity);
    this.#forgetting.get(key)?.cancel();
    const expire = () => {
      this.#forgetting.delete(key);
      this.#do(identity, { kind: "expire" });
    };
    this.#forgetting.set(key, this.#deps.clock.after(milliseconds, expire));
  }

  /** etcd can be asked again. */
  connected(): void {
    void this.#work();
  }

  #do(identity: Identity, task: Task): void {
    this.#tasks.set(keyOf(identity), { identity, task });
    void this.#work();
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    this.#timer?.cancel();
    for (const [key, entry] of [...this.#tasks]) {
      if (this.#stopped) break;
      if (this.#tasks.get(key) !== entry) continue;
      try {
        await this.#perform(entry.identity, entry.task);
      } catch (error) {
        const { code, message } = asSourceError(error);
        if (code === "unavailable") continue;
        this.#deps.log.warn({ ...entry.identity, code, reason: message }, "addresses are not kept as they should be");
      }
      if (this.#tasks.get(key) === entry) this.#tasks.delete(key);
    }
    this.#working = false;
    if (this.#tasks.size > 0 && !this.#stopped) this.#timer = this.#deps.clock.after(RETRY_MS, () => void this.#work());
  }

  async #perform(identity: Identity, task: Task): Promise<void> {
    const { source } = this.#deps;
    if (task.kind === "letGo") return source.letGo(identity, task.keptUntil);
    if (task.kind === "hold") {
      const result = await source.hold(identity, task.addresses);
      if (result.kind === "heldBy")
        throw new BlockSourceError(
          "taken",
          `${identity.name} is known on node ${result.node}, its pod here has others`,
        );
      return;
    }
    // Meanwhile a pod of it may have come, there or here.
    if (!this.held(identity)) await source.expire(identity, new Date(this.#deps.timeOfDay()).toISOString());
  }
}

/** `namespace/name@network/interface`, in parts; everything after the namespace is the name. */
export function identityIn(pool: string, text: string): Identity {
  const slash = text.indexOf("/");
  const at = text.indexOf("@");
  const namespaced = slash >= 0 && (at < 0 || slash < at);
  return { pool, namespace: namespaced ? text.slice(0, slash) : "", name: namespaced ? text.slice(slash + 1) : text };
}

function keyOf({ pool, namespace, name }: Identity): string {
  return `${pool} ${namespace} ${name}`;
}
