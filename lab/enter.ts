// Commands and shells in the nodes of a rack that is up, from another terminal.
import { spawnSync } from "node:child_process";
import { LabError } from "./runner/command.ts";
import { enterArguments, nodePath } from "./runner/node-namespace.ts";
import { type LabState, runningLabs } from "./runner/state-directory.ts";

/** Runs the command with this terminal; returns its exit code. */
export function enterRunning(verb: "exec" | "shell", words: readonly string[]): number {
  const [node, ...command] = words;
  const labs = runningLabs();
  if (labs.length === 0) throw new LabError("no rack is up: npm start");
  const { state } = labs[0];
  const pid = state.nodes[node];
  if (pid === undefined)
    throw new LabError(`${node ? `no node "${node}"` : "which node?"} nodes: ${Object.keys(state.nodes).join(", ")}`);
  if (verb === "exec" && command.length === 0) throw new LabError(`exec ${node}: which command?`);
  const argv =
    verb === "exec" ? command : ["sh", "-c", "if command -v bash >/dev/null; then exec bash --norc; fi; exec sh"];
  const enter = entry(state, pid);
  const result = spawnSync(enter[0], [...enter.slice(1), ...argv], {
    stdio: "inherit",
    env: { PATH: nodePath, HOME: "/tmp", LANG: "C", TERM: process.env.TERM ?? "dumb", PS1: `${node}# ` },
  });
  if (result.error) throw new LabError(`nsenter: ${result.error.message}`);
  return result.status ?? 1;
}

/** As an ordinary user, the lab's user namespace has to be entered, too. */
function entry(state: LabState, pid: number): string[] {
  const argv = enterArguments(pid);
  return state.userNamespace ? [argv[0], "--preserve-credentials", "-U", ...argv.slice(1)] : argv;
}
