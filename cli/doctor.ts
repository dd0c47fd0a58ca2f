// underlayctl doctor: what is wrong with the node, part by part, and what to do about it. The daemon is asked; where none
// answers, what can be looked at without it is looked at here, by the same checks.

import type { StatusView } from "../daemon/api/types.ts";
import { sections } from "../doctor/registry.ts";
import { examine, isWell } from "../doctor/run.ts";
import type { Finding } from "../doctor/types.ts";
import { CliError, Client, DEFAULT_SOCKET } from "./client.ts";
import type { Invocation } from "./commands.ts";
import { DEFAULT_CONFIG } from "./configuration.ts";
import { type Colour, type Output, plain } from "./output.ts";
import { version } from "./version.ts";

const colours: Readonly<Record<Finding["severity"], Colour>> = {
  fault: "red",
  warning: "yellow",
  info: "dim",
  skipped: "dim",
};

/** 1: something is at fault. */
export async function doctor(invocation: Invocation): Promise<number> {
  const { output, options } = invocation;
  const findings = await ask(invocation);
  if (options.json)
    await output.line(findings.length === 0 ? "[]" : `[\n${findings.map((one) => JSON.stringify(one)).join(",\n")}\n]`);
  else await show(output, findings);
  return isWell(findings) ? 0 : 1;
}

async function ask({ client: given, options }: Invocation): Promise<Finding[]> {
  const client = options.config === undefined ? given : await clientOf(given, options.config);
  try {
    const { version: daemon } = await client.get<StatusView>("/v1/status");
    const findings = await client.get<Finding[]>("/v1/doctor");
    return [...(await examine({ facts: { versions: { daemon, client: version } }, missing: {} })), ...findings];
  } catch (error) {
    if (!(error instanceof CliError) || !(error.noDaemon || error.silent)) throw error;
    const { examineOffline } = await import("../doctor/offline.ts");
    return examineOffline(
      options.config ?? DEFAULT_CONFIG,
      client.socketPath,
      error.message.replace(/^no daemon: /, ""),
    );
  }
}

/** The socket that this configuration names, unless another one was asked for. */
async function clientOf(given: Client, file: string): Promise<Client> {
  if (given.socketPath !== DEFAULT_SOCKET) return given;
  const { lookAtConfigFile } = await import("../doctor/look/config-file.ts");
  const { config } = lookAtConfigFile(file);
  return config ? new Client(config.api.socket) : given;
}

async function show(output: Output, findings: readonly Finding[]): Promise<void> {
  for (const { title, checks } of sections) {
    const ids = new Set(checks.map(({ id }) => id));
    const here = findings.filter(({ check, severity }) => ids.has(check) && severity !== "skipped");
    if (here.length === 0) continue;
    await output.line(output.paint(title, "bold"));
    for (const { check, severity, subject, text, cure } of here) {
      const said = plain(subject === "" ? text : `${subject}: ${text}`);
      await output.line(
        `  ${output.paint(severity.padEnd(8), colours[severity])} ${said}  ${output.paint(`[${check}]`, "dim")}`,
      );
      if (cure !== "") await output.line(`           ${output.paint("->", "dim")} ${plain(cure)}`);
    }
  }
  await showSkipped(output, findings);
  const count = (wanted: Finding["severity"]) => findings.filter(({ severity }) => severity === wanted).length;
  const [faults, warnings] = [count("fault"), count("warning")];
  const said = [faults > 0 && many(faults, "fault"), warnings > 0 && many(warnings, "warning")]
    .filter(Boolean)
    .join(", ");
  if (faults === 0) await output.line(`${output.paint("all well", "green")}${said && `, with ${said}`}`);
  else await output.line(output.paint(said, "red"));
}

/** One line per reason. */
async function showSkipped(output: Output, findings: readonly Finding[]): Promise<void> {
  const byReason = new Map<string, string[]>();
  for (const { check, severity, text } of findings)
    if (severity === "skipped") byReason.set(text, [...(byReason.get(text) ?? []), check]);
  for (const [reason, checks] of byReason)
    await output.line(output.paint(`${plain(reason)} (${checks.join(", ")})`, "dim"));
}

const many = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
