// The isolation of pods (routing/isolation) among what else the worker keeps: repaired with damping, told as events,
// counted as a fight when it is taken away again and again.
import { Isolation } from "../isolation/guard.ts";
import type { Culprit } from "../types.ts";
import { culpritText } from "./culprit.ts";
import { Damper } from "./damper.ts";
import type { Fights } from "./fights.ts";
import type { FibState } from "./state.ts";

const REPAIR_MS = { first: 1, last: 5000 };

/** `guard` runs work whose failure must not end the worker. Stop the damper, then the isolation. */
export function isolate(
  state: FibState,
  fights: Fights,
  guard: (work: () => void) => void,
): { readonly isolation: Isolation; readonly damper: Damper } {
  const { deps, writeLog } = state;
  const damper: Damper = new Damper(deps.clock, REPAIR_MS, () => guard(() => isolation.verify()));
  const isolation: Isolation = new Isolation({
    lost: () => damper.request(),
    repaired: (names: readonly string[], by: Culprit | null) => {
      for (const name of names) fights.repaired(name, by);
      const text = `put back: ${names.join(", ")}, changed or deleted by ${culpritText(by)}`;
      deps.event({ kind: "repaired", count: names.length, by: by ?? undefined, message: text });
    },
    written: (operation, name, error) => writeLog.operation({ operation, object: "nftables", name }, error),
    problem: (message) => deps.event({ kind: "hazard", message }),
    cleared: (message) => deps.event({ kind: "cleared", message }),
  });
  return { isolation, damper };
}
