// Which blocks are to be there. In: the configuration and what is claimed, pods that still have addresses of a block
// that has left it, and how far the blocks are that take the place of others. Out: for each block in a table whether it
// is wanted. What goes waits for what comes: a block in a new table, or a bigger or smaller one in its place, has to be
// announced first.
import { overlaps, type Prefix } from "../../net/prefix.ts";
import type { BlockState } from "./lifecycle.ts";

export interface Candidate {
  readonly prefix: Prefix;
  /** The configuration names it, in this table. */
  readonly configured: boolean;
  /** The configuration does not name it in any table, and pods have addresses of it. */
  readonly retained: boolean;
  readonly state: BlockState;
}

export function isWanted(block: Candidate, all: Iterable<Candidate>): boolean {
  if (block.configured || block.retained) return true;
  if (!block.state.wanted) return false;
  for (const other of all)
    if (other.configured && !isUp(other.state) && overlaps(other.prefix, block.prefix)) return true;
  return false;
}

/** As far as it can come for now. */
function isUp({ phase, open }: BlockState): boolean {
  return phase === "announced" || (phase === "installed" && !open);
}
