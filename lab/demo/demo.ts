// The demonstration: the rack up, every check, then down again (`once`) or up until it is interrupted.
import type { Topology } from "../clab-types.ts";
import { onEnd } from "../on-end.ts";
import type { Pod } from "../pods.ts";
import { LabError } from "../runner/command.ts";
import type { TorProgram } from "../runner/programs.ts";
import { Rack } from "../runner/rack.ts";
import { checkPings } from "./pings.ts";
import { Report } from "./report.ts";
import { showPrompt } from "./show.ts";
import { attachPods, checkKernel, checkSessions, checkTorFailure, detachPods, explainPath } from "./steps.ts";

export interface DemoOptions {
  readonly topology: Topology;
  readonly tor: TorProgram;
  readonly dist: string;
  readonly once: boolean;
  readonly userNamespace: boolean;
}

const labCommand = "node dist/lab.cjs";

/** Returns the exit code. However it ends, nothing of the rack is left. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const report = new Report();
  let rack: Rack | null = null;
  const interrupted = new Promise<"interrupted">((resolve) => {
    onEnd(() => resolve("interrupted"));
  });
  const work = demonstrate(options, report, (created) => {
    rack = created;
  });
  // After an interrupt the work fails at its next command; nobody waits for it then.
  work.catch(() => {});
  let code = 1;
  try {
    const outcome = await Promise.race([work, interrupted]);
    if (outcome === "interrupted") {
      report.write("");
      report.result("interrupted", false, "");
    } else {
      code = report.ok ? 0 : 1;
      if (!options.once) await interrupted;
    }
  } catch (error) {
    report.result("stopped", false, error instanceof LabError ? error.message : String((error as Error).stack));
  }
  await (rack as Rack | null)?.down();
  report.progress("everything is taken down");
  if (options.once || code !== 0) report.summary();
  return code;
}

async function demonstrate(options: DemoOptions, report: Report, created: (rack: Rack) => void): Promise<void> {
  const { topology, tor, dist, userNamespace, once } = options;
  report.heading(`The rack ${topology.name}: ${topology.nodes.size} nodes, ${topology.links.length} links`);
  const progress = (step: string) => report.progress(step);
  const rack = await Rack.up({ topology, tor, dist, userNamespace, progress }, created);
  for (const group of ["tor", "node"])
    if (rack.namesOf(group).length === 0) throw new LabError(`the topology has no node in the group "${group}"`);
  const programs = [...topology.nodes.keys()].map((name) => `${name}: ${rack.program(name).title}`);
  report.result("rack up", true, programs.join(", "));

  const pods: Pod[] = [];
  await checkSessions(rack, report);
  await checkKernel(rack, report);
  await attachPods(rack, report, pods);
  await checkPings(rack, report, pods);
  await explainPath(rack, report, pods);
  if (rack.namesOf("tor").length > 1) await checkTorFailure(rack, report, pods);
  if (once) await detachPods(rack, report, pods);
  else {
    report.summary();
    showPrompt(rack, report, pods, labCommand);
    report.write("\n   Ctrl-C takes it down.");
  }
}
