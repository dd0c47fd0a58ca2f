// underlayctl plan FILE and reload: what a configuration changes, key by key, and what each change does.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Impact } from "../config/impact.ts";
import type { PlanView } from "../daemon/reload.ts";
import { CliError } from "./client.ts";
import type { Invocation } from "./commands.ts";
import type { Colour, Row } from "./output.ts";

const meanings: Readonly<Record<Impact, string>> = {
  live: "taken over, no session is touched",
  refresh: "the neighbour is asked to send its routes again",
  reset: "the session ends and comes back",
  restart: "takes a restart of the daemon",
};
const colours: Readonly<Record<Impact, Colour>> = { live: "green", refresh: "green", reset: "yellow", restart: "red" };

export async function plan(invocation: Invocation): Promise<number> {
  const { client, arguments: files } = invocation;
  const file = resolve(files[0]);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CliError(`cannot read ${file}: ${(error as Error).message}`, 2);
  }
  const path = `/v1/plan?file=${encodeURIComponent(file)}`;
  return show(invocation, await refusal(client.post<PlanView>(path, text)), "would change");
}

export async function reload(invocation: Invocation): Promise<number> {
  return show(invocation, await refusal(invocation.client.post<PlanView>("/v1/reload")), "changed");
}

/** A configuration that is refused is an answer, not wrong usage. */
async function refusal(answer: Promise<PlanView>): Promise<PlanView> {
  try {
    return await answer;
  } catch (error) {
    throw error instanceof CliError && error.fromDaemon ? new CliError(error.message, 1) : error;
  }
}

async function show({ output, options }: Invocation, view: PlanView, verb: string): Promise<number> {
  if (options.json) {
    await output.line(JSON.stringify(view, null, 2));
    return 0;
  }
  for (const warning of view.warnings) process.stderr.write(`${warning}\n`);
  if (view.impact === null) {
    await output.line(`nothing ${verb === "changed" ? "has changed" : verb}`);
    return 0;
  }
  await output.table(
    [{ title: "KEY" }, { title: "FROM" }, { title: "TO" }, { title: "IMPACT" }, { title: "MEANING" }],
    view.changes.map(
      ({ kind, path, from, to, impact }): Row => [
        path,
        kind === "changed" ? from : "",
        kind === "changed" ? to : kind,
        { text: impact, colour: colours[impact] },
        meanings[impact],
      ],
    ),
  );
  return 0;
}
