// What others took away or changed since the last repair, as notifications told it. In: one thing at a time. Out: by kind,
// with how much of it there was and who did it. Bounded: a flush of a table is one subject, not a million.
import type { Culprit } from "../types.ts";
import { culpritText } from "./culprit.ts";

/** What is repaired at its own pace: a fight about rules does not delay the repair of routes. */
export type RepairKind = "rules" | "routes" | "static" | "nextHops" | "settings";

export interface Loss {
  /** `IPv4 rule 1000: from all lookup 7000`, `IPv4 routes in table 7100`. */
  readonly subject: string;
  /** When there were several: one of them. */
  readonly example: string | null;
  readonly deed: "deleted" | "replaced" | "changed";
  readonly by: Culprit | null;
  readonly count: number;
}

const SUBJECTS = 64;

export class Losses {
  readonly #losses = new Map<RepairKind, Map<string, { -readonly [Key in keyof Loss]: Loss[Key] }>>();

  /** `example` is called for the first of a subject only. */
  note(
    kind: RepairKind,
    subject: string,
    deed: Loss["deed"],
    by: Culprit | null,
    example: (() => string) | null = null,
  ): void {
    let subjects = this.#losses.get(kind);
    if (!subjects) {
      subjects = new Map();
      this.#losses.set(kind, subjects);
    }
    const known = subjects.get(subject);
    if (known) {
      known.count++;
      known.by ??= by;
    } else if (subjects.size < SUBJECTS) {
      subjects.set(subject, { subject, example: example?.() ?? null, deed, by, count: 1 });
    }
  }

  /** What there was of the kind since it was last asked for. */
  take(kind: RepairKind): Loss[] {
    const losses = [...(this.#losses.get(kind)?.values() ?? [])];
    this.#losses.delete(kind);
    return losses;
  }
}

/** `IPv4 routes in table 7100 (3, 10.1.0.0/16 for one) were deleted by ip (pid 612)`. */
export function lossText({ subject, example, deed, by, count }: Loss): string {
  if (deed === "changed" && example?.startsWith("to ")) return `${subject} was changed ${example}`;
  const which = example === null ? subject : `${subject} (${count === 1 ? example : `${count}, ${example} for one`})`;
  return `${which} ${example === null ? "was" : "were"} ${deed} by ${culpritText(by)}`;
}
