// A packet that is refused before any rule is looked at.
import type { ErrorCode, Explanation } from "./types.ts";

export function refused(error: ErrorCode, why: string): Explanation {
  const verdict = { error, why, type: 0, rule: null, table: 0, route: null, members: [], source: null };
  return { steps: [], verdicts: [verdict], reverse: [], refusal: null };
}
