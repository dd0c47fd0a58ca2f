// The life of one block in one table: make before break. Pure and total: every event is defined in every phase.
//
//   absent -> installing -> installed -> announced -> withdrawing -> removing -> absent
//                 \-> failed <-/------------/
//
// In: what is wanted, what the kernel answered, what neighbours may still believe, as events. Out: the next state, and what
// is to be done, in this order. The phases in which a block is, or may be, announced carry the kernel's proof: a state that
// announces without one cannot be written down.
import type { InstalledBlock } from "../../net/installed-block.ts";

interface Common {
  /** The configuration wants it, or a pod that still has an address of it. */
  readonly wanted: boolean;
  /** May be announced: false while starting, drained or stopping. */
  readonly open: boolean;
  /** A neighbour may believe that it is here. */
  readonly believed: boolean;
}

type Phases =
  /** The kernel has nothing of it. */
  | { readonly phase: "absent" }
  /** The kernel is asked for its blackhole, then its rule. */
  | { readonly phase: "installing" }
  /** The kernel has it, neighbours are not told. */
  | { readonly phase: "installed"; readonly proof: InstalledBlock }
  | { readonly phase: "announced"; readonly proof: InstalledBlock }
  /** The kernel refused it, or lost it and refuses to have it back, in its words. */
  | { readonly phase: "failed"; readonly error: string }
  /** Not announced any more, and kept for packets of those who have not heard or acted so far. Null: the kernel lost it. */
  | { readonly phase: "withdrawing"; readonly proof: InstalledBlock | null }
  /** The kernel is asked to remove its rule, then its blackhole. */
  | { readonly phase: "removing" };

export type BlockState = Common & Phases;
export type Phase = BlockState["phase"];

export type BlockEvent =
  | { readonly kind: "want" }
  | { readonly kind: "unwant" }
  | { readonly kind: "open" }
  | { readonly kind: "close" }
  /** The kernel has it. */
  | { readonly kind: "acknowledged"; readonly proof: InstalledBlock }
  /** The kernel does not have it and was asked to. */
  | { readonly kind: "refused"; readonly error: string }
  /** It is time to ask the kernel again. */
  | { readonly kind: "retry" }
  /** Every neighbour has been told of the withdrawal, and has had the time to act on it. */
  | { readonly kind: "forgotten" }
  /** The kernel has nothing of it any more. */
  | { readonly kind: "removed" };

export type BlockAction =
  /** The kernel is to be asked anew for all that is wanted. */
  | { readonly kind: "write" }
  | { readonly kind: "announce"; readonly proof: InstalledBlock }
  | { readonly kind: "withdraw" }
  /** `forgotten` is to be said when it is true. */
  | { readonly kind: "awaitForgotten" }
  | { readonly kind: "retryLater" };

export interface Step {
  readonly state: BlockState;
  readonly actions: readonly BlockAction[];
}

/** Of which the kernel has nothing and nobody knows. */
export const absent: BlockState = { phase: "absent", wanted: false, open: false, believed: false };

/** Found in the kernel at start: neighbours may have kept what a former run announced. */
export const leftBehind: BlockState = { phase: "installing", wanted: true, open: false, believed: true };

/** The kernel is to have it, blackhole and rule. */
export function inKernel({ phase }: BlockState): boolean {
  return phase !== "absent" && phase !== "removing";
}

const write: BlockAction = { kind: "write" };
const withdraw: BlockAction = { kind: "withdraw" };
const awaitForgotten: BlockAction = { kind: "awaitForgotten" };
const retryLater: BlockAction = { kind: "retryLater" };

export function step(before: BlockState, event: BlockEvent): Step {
  switch (event.kind) {
    case "want":
      return want({ ...before, wanted: true });
    case "unwant":
      return unwant({ ...before, wanted: false });
    case "open":
      return before.phase === "installed"
        ? announce({ ...before, open: true }, before.proof)
        : stay({ ...before, open: true });
    case "close":
      return before.phase === "announced"
        ? { state: { ...common(before), open: false, phase: "installed", proof: before.proof }, actions: [withdraw] }
        : stay({ ...before, open: false });
    case "acknowledged":
      return acknowledged(before, event.proof);
    case "refused":
      return refused(before, event.error);
    case "retry":
      if (before.phase === "failed") return { state: { ...common(before), phase: "installing" }, actions: [write] };
      return before.phase === "withdrawing" && !before.believed ? forgotten(before) : stay(before);
    case "forgotten":
      return forgotten(before);
    case "removed":
      if (before.phase !== "removing") return stay(before);
      return before.wanted
        ? { state: { ...common(before), phase: "installing" }, actions: [write] }
        : stay({ ...common(before), phase: "absent" });
  }
}

function want(state: BlockState): Step {
  if (state.phase === "absent") return { state: { ...common(state), phase: "installing" }, actions: [write] };
  if (state.phase !== "withdrawing") return stay(state);
  if (state.proof) return settle(state, state.proof);
  return { state: { ...common(state), phase: "installing" }, actions: [write] };
}

function unwant(state: BlockState): Step {
  switch (state.phase) {
    case "absent":
    case "withdrawing":
    case "removing":
      return stay(state);
    case "announced":
      return leave(state, state.proof, [withdraw]);
    case "installed":
      return leave(state, state.proof, []);
    case "installing":
    case "failed":
      return leave(state, null, []);
  }
}

/** Off, by way of a pause if anybody may still believe in it. */
function leave(state: BlockState, proof: InstalledBlock | null, first: readonly BlockAction[]): Step {
  return state.believed
    ? { state: { ...common(state), phase: "withdrawing", proof }, actions: [...first, awaitForgotten] }
    : { state: { ...common(state), phase: "removing" }, actions: [...first, write] };
}

function acknowledged(state: BlockState, proof: InstalledBlock): Step {
  switch (state.phase) {
    case "absent":
    case "removing":
      return stay(state);
    case "withdrawing":
      return stay({ ...state, proof });
    case "announced":
      // Another proof is another installation: what is announced rests on it from now on.
      return state.proof === proof ? stay(state) : announce(state, proof);
    case "installed":
    case "installing":
    case "failed":
      return settle(state, proof);
  }
}

function settle(state: BlockState, proof: InstalledBlock): Step {
  return state.open ? announce(state, proof) : stay({ ...common(state), phase: "installed", proof });
}

function announce(state: BlockState, proof: InstalledBlock): Step {
  return {
    state: { ...common(state), phase: "announced", believed: true, proof },
    actions: [{ kind: "announce", proof }],
  };
}

function refused(state: BlockState, error: string): Step {
  switch (state.phase) {
    case "absent":
      return stay(state);
    case "removing":
      // It did not go, or not all of it: should it be wanted again before the next attempt, it need not.
      return { state: { ...common(state), phase: "withdrawing", proof: null }, actions: [retryLater] };
    case "withdrawing":
      return stay({ ...state, proof: null });
    case "announced":
      return { state: { ...common(state), phase: "failed", error }, actions: [withdraw, retryLater] };
    case "installed":
    case "installing":
    case "failed":
      return { state: { ...common(state), phase: "failed", error }, actions: [retryLater] };
  }
}

function forgotten(state: BlockState): Step {
  if (state.phase === "announced") return stay(state);
  const now = { ...state, believed: false };
  return state.phase === "withdrawing" ? { state: { ...common(now), phase: "removing" }, actions: [write] } : stay(now);
}

function stay(state: BlockState): Step {
  return { state, actions: [] };
}

function common({ wanted, open, believed }: BlockState): Common {
  return { wanted, open, believed };
}
