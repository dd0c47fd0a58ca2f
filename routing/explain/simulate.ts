// The kernel's routing decision for one packet, from its own rules, routes, nexthop objects, links and addresses. Pure: a
// snapshot and a flow in, the walk and the verdict out. What is not followed is said in the headers of the files it calls.
import { isZero } from "./address-match.ts";
import { explainInput } from "./input.ts";
import { explainOutput } from "./output.ts";
import type { Explanation, Flow, Snapshot } from "./types.ts";

/**
 * A source of all zeros is none. Throws RangeError when the snapshot lacks the settings of the interface that the
 * packet arrives by.
 */
export function simulate(snapshot: Snapshot, flow: Flow): Explanation {
  const chosen = flow.source !== null && isZero(flow.source) ? { ...flow, source: null } : flow;
  return chosen.iif === 0 ? explainOutput(snapshot, chosen) : explainInput(snapshot, chosen);
}

/** Whether the packet gets anywhere. */
export function goesSomewhere(explanation: Explanation): boolean {
  return explanation.refusal === null && explanation.verdicts.some(({ error }) => error === null);
}
