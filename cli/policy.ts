// underlayctl policy: which policies there are, and what one of them does to a route, statement by statement. The daemon
// is asked, or with --config the file is read here, and no daemon is needed. Both run the daemon's own policy code.
import type { AttributeChange, ConditionStep, PolicyStep, PolicyTrace } from "../bgp/policy/trace.ts";
import type { PolicyRequest } from "../config/policy-request.ts";
import type { PolicyView } from "../daemon/api/types.ts";
import { CliError } from "./client.ts";
import type { Invocation, Options } from "./commands.ts";
import { type Output, plain, type Row } from "./output.ts";

const usage =
  "usage: underlayctl policy list\n       underlayctl policy test NAME PREFIX [OPTIONS]\n       underlayctl policy test --import PEER PREFIX [OPTIONS]";

export async function policy(invocation: Invocation): Promise<number> {
  const [verb, ...rest] = invocation.arguments;
  if (verb === "list" && rest.length === 0) return list(invocation);
  if (verb === "test") return test(invocation, rest);
  throw new CliError(`policy: ${verb === "list" ? "list takes nothing" : "list or test"}\n${usage}`, 2);
}

async function list({ client, output, options }: Invocation): Promise<number> {
  const views = await client.get<PolicyView[]>("/v1/policies");
  if (options.json) await output.line(JSON.stringify(views, null, 2));
  else
    await output.table(
      [{ title: "POLICY" }, { title: "STATEMENTS", align: "right" }, { title: "IMPORT OF" }, { title: "EXPORT OF" }],
      views.map((view): Row => [view.name, view.statements, view.importOf.join(" "), view.exportOf.join(" ")]),
    );
  return 0;
}

/** 0 accepted, 1 rejected. */
async function test(invocation: Invocation, rest: readonly string[]): Promise<number> {
  const { client, output, options } = invocation;
  const request = requestOf(rest, options);
  const traces =
    options.config === undefined
      ? await client.get<PolicyTrace[]>(`/v1/policy-test?${queryOf(request)}`)
      : [await offline(options.config, request)];
  if (options.json) await output.line(JSON.stringify(traces, null, 2));
  else for (const trace of traces) await show(output, trace);
  return traces.some(({ verdict }) => verdict === "accept") ? 0 : 1;
}

/** What reads configurations is large, and loaded only where it is needed. */
async function offline(file: string, request: PolicyRequest): Promise<PolicyTrace> {
  const { testPolicy } = await import("./policy-offline.ts");
  return testPolicy(file, request);
}

function requestOf(rest: readonly string[], options: Options): PolicyRequest {
  const byPeer = options.import !== undefined || options.export !== undefined;
  const [name, prefix] = byPeer ? [undefined, ...rest] : rest;
  if (prefix === undefined || rest.length > (byPeer ? 1 : 2))
    throw new CliError(`policy test: ${byPeer ? "PREFIX" : "NAME and PREFIX"} are wanted\n${usage}`, 2);
  return {
    policy: name,
    import: options.import,
    export: options.export,
    prefix,
    peer: options.peer,
    received: options.received,
    asPath: options["as-path"],
    communities: options.community,
    nextHop: options["next-hop"],
    origin: options.origin,
    med: options.med,
    localPref: options["local-pref"],
  };
}

function queryOf({ communities = [], ...single }: PolicyRequest): URLSearchParams {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(single)) if (value !== undefined) query.set(key, value);
  for (const value of communities) query.append("community", value);
  return query;
}

async function show(output: Output, trace: PolicyTrace): Promise<void> {
  const from = trace.peer === "-" ? "" : ` from ${plain(trace.peer)}`;
  await output.line(output.paint(`${trace.prefix}${from} through ${plain(trace.policy)}`, "bold"));
  await showPolicies(output, trace.policies, 1);
  if (trace.afterwards.length > 0) {
    await output.line("  what is sent to this peer");
    await showChanges(output, trace.afterwards, 2);
  }
  const verdict = trace.verdict === "accept" ? output.paint("accepted", "green") : output.paint("rejected", "red");
  const by = trace.decidedBy
    ? ` by ${plain(trace.decidedBy.policy)}, statement ${trace.decidedBy.statement}`
    : ": no statement decides, and what nobody accepts is rejected";
  await output.line(`${verdict}${by}`);
  if (!trace.after) return;
  for (const [attribute, value] of Object.entries(trace.after))
    if (value !== "none" && !(attribute === "weight" && value === "0"))
      await output.line(`  ${attribute.padEnd(18)}${plain(value)}`);
}

async function showPolicies(output: Output, steps: readonly PolicyStep[], depth: number): Promise<void> {
  const indent = "  ".repeat(depth);
  for (const { policy: name, decision, statements } of steps) {
    await output.line(`${indent}${plain(name)}: ${decision}`);
    for (const step of statements) {
      const state = step.matched ? output.paint("matches", "green") : output.paint("does not match", "dim");
      await output.line(`${indent}  statement ${step.statement} ${state}${step.then ? `, ${step.then}` : ""}`);
      await showConditions(output, step.conditions, depth + 2);
      await showChanges(output, step.changes, depth + 2);
      await showPolicies(output, step.applied, depth + 2);
    }
  }
}

async function showConditions(output: Output, steps: readonly ConditionStep[], depth: number): Promise<void> {
  const indent = "  ".repeat(depth);
  for (const { condition, holds, wanted, actual, conditions, policies } of steps) {
    const mark = holds ? output.paint("yes", "green") : output.paint("no ", "red");
    const found = actual === "" ? "" : `   the route has: ${plain(actual)}`;
    await output.line(`${indent}${mark} ${condition}: ${plain(wanted)}${found}`);
    await showConditions(output, conditions, depth + 2);
    await showPolicies(output, policies, depth + 2);
  }
}

async function showChanges(output: Output, changes: readonly AttributeChange[], depth: number): Promise<void> {
  for (const { attribute, from, to } of changes)
    await output.line(`${"  ".repeat(depth)}set ${attribute}: ${plain(from)} -> ${plain(to)}`);
}
