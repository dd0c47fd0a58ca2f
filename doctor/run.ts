// Runs the checks over what was gathered. A check whose facts could not be had is reported as skipped, with the reason; one
// whose facts nobody promised (without a daemon there are no sessions) is passed over.
import { registry } from "./registry.ts";
import type { Check, Facts, Finding, Gathered } from "./types.ts";

/** Milliseconds between two looks at what may just be changing. */
const SECOND_LOOK = 50;
/** Milliseconds of one turn of the event loop. */
const TURN = 4;
/** Findings of one check: the rest of many is one line. */
const LISTED = 20;

const order = { fault: 0, warning: 1, info: 2, skipped: 3 };

/** Findings, the worst first, otherwise in the order of the registry. */
export async function examine({ facts, missing }: Gathered, checks: readonly Check[] = registry): Promise<Finding[]> {
  const findings: Finding[] = [];
  let since = performance.now();
  for (const { id: check, needs, severity, cure, run } of checks) {
    if (performance.now() - since > TURN) {
      await new Promise((resolve) => setImmediate(resolve));
      since = performance.now();
    }
    const lacking = needs.filter((fact) => facts[fact] === undefined);
    if (lacking.length > 0) {
      const reasons = [...new Set(lacking.flatMap((fact) => missing[fact] ?? []))];
      if (reasons.length > 0)
        findings.push({
          check,
          severity: "skipped",
          subject: "",
          text: `not looked at: ${reasons.join("; ")}`,
          cure: "",
        });
      continue;
    }
    const found = [...run(facts as Facts)].map((one): Finding => ({ check, severity, cure, ...one }));
    findings.push(...found.slice(0, LISTED));
    if (found.length > LISTED)
      findings.push({ check, severity, subject: "", text: `${found.length - LISTED} more of these`, cure });
  }
  return findings.sort((a, b) => order[a.severity] - order[b.severity]);
}

/**
 * Examines once; and, where something was found that may be about to settle, once more: then what is there both times
 * counts.
 */
export async function diagnose(
  gather: () => Promise<Gathered>,
  pause: (milliseconds: number) => Promise<void>,
): Promise<Finding[]> {
  const settling = new Set(registry.filter(({ settles }) => settles).map(({ id }) => id));
  const first = await examine(await gather());
  if (!first.some(({ check, severity }) => settling.has(check) && severity !== "skipped")) return first;
  await pause(SECOND_LOOK);
  const before = new Set(first.map(keyOf));
  return (await examine(await gather())).filter(
    (finding) => !settling.has(finding.check) || before.has(keyOf(finding)),
  );
}

const keyOf = ({ check, subject }: Finding) => `${check} ${subject}`;

/** Whether all is well: nothing is at fault. */
export function isWell(findings: readonly Finding[]): boolean {
  return findings.every(({ severity }) => severity !== "fault");
}
