// How far neighbours have heard of a block, for an ADD that waits for that. In: the lives of the blocks, what has been sent
// over each session, and what may change either. Out: names of neighbours, and a call for each change.
import type { Speaker } from "../../bgp/speaker.ts";
import type { Announcement, Announcements } from "../../cni/types.ts";
import { prefix } from "../../net/prefix.ts";
import type { Blocks } from "./blocks.ts";
import { shown } from "./view.ts";

const nobody = { told: [], waiting: [], withheld: [] };

export class BlockAnnouncements implements Announcements {
  readonly #blocks: () => Blocks;
  readonly #speaker: Speaker;
  readonly #listeners = new Set<() => void>();

  constructor(parts: { readonly speaker: Speaker; readonly blocks: () => Blocks }) {
    this.#speaker = parts.speaker;
    this.#blocks = parts.blocks;
    parts.speaker.onProgress = () => this.changed();
    parts.speaker.onEvent((event) => {
      if (event.type === "session" && event.kind === "state") this.changed();
    });
  }

  look(block: string): Announcement | null {
    const statuses = this.#blocks()
      .status()
      .filter((status) => status.prefix === block);
    if (!statuses.some(({ state }) => state.phase === "announced")) {
      if (statuses.length === 0) return null;
      const { state, reason } = shown(statuses[0]);
      return { heldBack: reason ?? `it is ${state}`, ...nobody };
    }
    return { heldBack: null, ...this.#speaker.heard(prefix(block)) };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A block is in another phase, or something else has changed that those who wait look at. */
  changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
