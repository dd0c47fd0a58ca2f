// Blocks as the API and the CNI server show them: one line per prefix, in words that a user knows. In: the blocks'
// lives, how full they are, whether a neighbour has been told.
import type { BlockCounts } from "../../cni/ipam/block.ts";
import type { BlockView } from "../../cni/types.ts";
import type { BlockStatus } from "./blocks.ts";

type Shown = Pick<BlockView, "state" | "reason">;

export function shown({ state, configured, retained }: BlockStatus): Shown {
  switch (state.phase) {
    case "absent":
    case "installing":
      return { state: "pending", reason: null };
    case "installed":
      return state.believed
        ? { state: "withdrawn", reason: "held back from neighbours" }
        : { state: "pending", reason: null };
    case "announced":
      if (configured) return { state: "announced", reason: null };
      return {
        state: "retiring",
        reason: retained
          ? "in no pool any more, until its last pod is gone"
          : "until the block in its place is announced",
      };
    case "failed":
      return { state: "failed", reason: state.error };
    case "withdrawing":
      return { state: "withdrawing", reason: "not announced any more" };
    case "removing":
      return { state: "removing", reason: null };
  }
}

const nothing: BlockCounts = { capacity: 0, used: 0, free: 0, cooling: 0, reserved: 0, sticky: 0 };

/** `statuses`: those of the configuration first. `told`: a neighbour has been told of a block that is announced. */
export function blockViews(
  statuses: readonly BlockStatus[],
  uses: readonly (BlockCounts & { readonly prefix: string })[],
  told: (status: BlockStatus) => boolean,
): BlockView[] {
  const useOf = new Map(uses.map((use) => [use.prefix, use]));
  const views = new Map<string, BlockView>();
  for (const status of statuses) {
    const { prefix, pool, source } = status;
    if (views.has(prefix)) continue;
    const { capacity, used, free, cooling, reserved, sticky } = useOf.get(prefix) ?? nothing;
    const { state, reason } = shown(status);
    const pending = state === "announced" && !told(status);
    views.set(prefix, {
      prefix,
      pool,
      capacity,
      used,
      free,
      cooling,
      reserved,
      sticky,
      source,
      state: pending ? "pending" : state,
      reason,
    });
  }
  return [...views.values()];
}
