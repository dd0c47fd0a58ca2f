// When an ADD may say that the pod is reachable. In: what the caller wants to wait for, how far neighbours have heard of the
// blocks that the pod's addresses come from, changes of that. Out: ready, or why not: the time has passed, or somebody who
// no longer wants the pod has called it off.
//
// `none`: the kernel has it, no more. `advertised`: whoever has a session and is to be told of the blocks has been sent
// them, at least one of them per block; with no session there is nobody to wait for, and pods are served. `established`: a
// neighbour has a session and has been sent each block.
import type { Clock } from "../net/clock.ts";
import type { CniCall } from "./protocol/environment.ts";
import type { Announcements } from "./types.ts";

export type ReadyLevel = "none" | "advertised" | "established";
/** What becomes of an ADD whose time has passed: refused and rolled back, or done all the same. */
export type ReadyFallback = "fail" | "attach";

export interface ReadyOptions {
  readonly level: ReadyLevel;
  /** Milliseconds. */
  readonly timeout: number;
  readonly fallback: ReadyFallback;
}

export const readyDefaults: ReadyOptions = { level: "advertised", timeout: 10_000, fallback: "attach" };

/** `late`: the time has passed. `called off`: nobody wants the pod any more, or it may not be attached any more. */
export type ReadyOutcome =
  | { readonly kind: "ready" }
  | { readonly kind: "late" | "called off"; readonly reason: string };

export interface ReadinessDependencies {
  readonly clock: Clock;
  /** Absent: there are no neighbours to tell. */
  readonly announcements?: Announcements | undefined;
  /** Why no pod may be attached at the moment; null: it may. */
  readonly refusal: () => string | null;
}

/** The process that asked for a pod. */
export interface Caller {
  readonly gone: boolean;
  /** Called once, when it has gone without waiting for the answer. */
  onGone(listener: () => void): void;
}

const READY: ReadyOutcome = { kind: "ready" };

/** By which wait() and leaving() know an attachment. */
export function readinessKey({ containerId, ifname }: Pick<CniCall, "containerId" | "ifname">): string {
  return `${containerId}/${ifname}`;
}

export class Readiness {
  readonly #deps: ReadinessDependencies;
  /** Looks again, by attachment. */
  readonly #waiting = new Map<string, () => void>();
  /** DELs that are under way, by attachment. */
  readonly #leaving = new Map<string, number>();
  #stopped = false;

  constructor(deps: ReadinessDependencies) {
    this.#deps = deps;
  }

  /** What is missing for this level, in words; null: nothing. */
  missing(level: ReadyLevel, blocks: readonly string[]): string | null {
    const { announcements } = this.#deps;
    if (level === "none" || !announcements) return null;
    for (const block of blocks) {
      const announcement = announcements.look(block);
      if (!announcement) continue;
      const { heldBack, told, waiting, withheld } = announcement;
      if (heldBack !== null) return `block ${block} is not announced: ${heldBack}`;
      if (told.length > 0) continue;
      if (waiting.length > 0) return `block ${block} has not been sent to ${waiting.join(", ")} yet`;
      if (level === "advertised") continue;
      if (withheld.length > 0) return `no export policy lets block ${block} out (${withheld.join(", ")})`;
      return `no BGP session that block ${block} is announced to is Established`;
    }
    return null;
  }

  /**
   * Resolves when the blocks are as the level says, when the time has passed, or when the attachment is not wanted any more:
   * its DEL has come, its caller has gone, the node is drained or the daemon stops.
   */
  wait(
    key: string,
    { level, timeout }: ReadyOptions,
    blocks: readonly string[],
    caller: Caller | undefined,
  ): Promise<ReadyOutcome> | ReadyOutcome {
    const missing = this.missing(level, blocks);
    if (missing === null) return READY;
    const unwanted = this.#unwanted(key, caller);
    if (unwanted !== null) return { kind: "called off", reason: unwanted };
    if (timeout === 0) return { kind: "late", reason: missing };
    const { clock, announcements } = this.#deps;
    return new Promise((resolve) => {
      const settle = (outcome: ReadyOutcome) => {
        timer.cancel();
        unsubscribe?.();
        this.#waiting.delete(key);
        resolve(outcome);
      };
      const look = () => {
        const reason = this.#unwanted(key, caller);
        if (reason !== null) settle({ kind: "called off", reason });
        else if (this.missing(level, blocks) === null) settle(READY);
      };
      const timer = clock.after(timeout, () => {
        const reason = this.missing(level, blocks);
        settle(reason === null ? READY : { kind: "late", reason });
      });
      const unsubscribe = announcements?.onChange(look);
      this.#waiting.set(key, look);
      caller?.onGone(() => {
        if (this.#waiting.has(key)) look();
      });
    });
  }

  /** A DEL of this attachment has come, and waits behind its ADD; call what is returned when it is done. */
  leaving(key: string): () => void {
    this.#leaving.set(key, (this.#leaving.get(key) ?? 0) + 1);
    this.#waiting.get(key)?.();
    return () => {
      const left = (this.#leaving.get(key) ?? 1) - 1;
      if (left > 0) this.#leaving.set(key, left);
      else this.#leaving.delete(key);
    };
  }

  /** Whether pods may be attached has changed. */
  look(): void {
    for (const look of [...this.#waiting.values()]) look();
  }

  /** Nobody waits any more. */
  stop(): void {
    this.#stopped = true;
    this.look();
  }

  #unwanted(key: string, caller: Caller | undefined): string | null {
    if (this.#stopped) return "underlayd is stopping";
    if (this.#leaving.has(key)) return "its DEL has come";
    if (caller?.gone) return "the container runtime has gone without waiting for it";
    return this.#deps.refusal();
  }
}
