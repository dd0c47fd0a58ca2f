// underlayctl explain: where a packet goes, rule by rule, why, and what the kernel itself says to it.
import type {
  ExplainedRoute,
  ExplainedStep,
  ExplainedVerdict,
  ExplainView,
  HopView,
  KernelWord,
} from "../routing/explain/view.ts";
import type { Invocation, Options } from "./commands.ts";
import { type Output, plain } from "./output.ts";

/** Options of `explain`, named as those of `ip route get`. */
export const explainOptions = {
  mark: { type: "string" },
  iif: { type: "string" },
  oif: { type: "string" },
  tos: { type: "string" },
  uid: { type: "string" },
  ipproto: { type: "string" },
  sport: { type: "string" },
  dport: { type: "string" },
} as const;

export type ExplainOptions = { readonly [K in keyof typeof explainOptions]?: string };

/** 0 the packet goes somewhere, 1 it goes nowhere. */
export async function explain({
  client,
  output,
  options,
  arguments: [source, destination],
}: Invocation): Promise<number> {
  const view = await client.get<ExplainView>(`/v1/explain?${queryOf(source, destination, options)}`);
  if (options.json) await output.line(JSON.stringify(view, null, 2));
  else await show(output, view);
  return view.goesSomewhere ? 0 : 1;
}

function queryOf(source: string, destination: string, options: Options): URLSearchParams {
  const given = {
    mark: options.mark,
    iif: options.iif,
    oif: options.oif,
    tos: options.tos,
    uid: options.uid,
    ipProtocol: options.ipproto,
    sourcePort: options.sport,
    destinationPort: options.dport,
  };
  const query = new URLSearchParams({ source, destination });
  for (const [key, value] of Object.entries(given)) if (value !== undefined) query.set(key, value);
  return query;
}

async function show(output: Output, view: ExplainView): Promise<void> {
  const { flow, notes, steps, reverse, refusal, kernel, difference } = view;
  const extra = [
    flow.iif !== null ? `arriving by ${plain(flow.iif)}` : "made on this host",
    flow.oif !== null && `to leave by ${plain(flow.oif)}`,
    flow.mark !== 0 && `mark 0x${flow.mark.toString(16)}`,
    flow.tos !== 0 && `tos 0x${flow.tos.toString(16)}`,
  ].filter(Boolean);
  const title = `from ${flow.source ?? "an address still to be chosen"} to ${flow.destination}, ${extra.join(", ")}`;
  await output.line(output.paint(title, "bold"));
  for (const note of notes) await output.line(`  ${output.paint("note", "yellow")} ${plain(note)}`);
  for (const step of steps) await showStep(output, step);
  if (steps.length === 0) await output.line("  no rule is looked at");
  if (reverse.length > 0) {
    await output.line(output.paint(`the way back to ${flow.source}, by which the source is checked`, "bold"));
    for (const step of reverse) await showStep(output, step);
  }
  await showVerdicts(output, view);
  if (refusal !== null) await output.line(`${output.paint("dropped", "red")}: ${plain(refusal)}`);
  if (difference === null) {
    await output.line(output.paint(`the kernel agrees: ${kernelText(kernel)}`, "dim"));
    return;
  }
  await output.line(`${output.paint("the kernel does not agree", "red")}: ${kernelText(kernel)}`);
  await output.line(
    `  ${plain(difference)}: something changes at this moment, or keeps state that cannot be seen; what the kernel says is what happens`,
  );
}

const OUTCOMES: Readonly<Record<ExplainedStep["outcome"], string>> = {
  noMatch: "does not apply",
  goto: "goes on there",
  nop: "does nothing",
  miss: "no route",
  throw: "throw: on to the next rule",
  suppressed: "suppressed",
  partlySuppressed: "suppressed for some next hops",
  decided: "decides",
};

async function showStep(output: Output, step: ExplainedStep): Promise<void> {
  const { rule, protocol, outcome, why, route, passed, because } = step;
  const colour = outcome === "decided" ? "green" : outcome === "noMatch" || outcome === "miss" ? "dim" : undefined;
  const owner = protocol === "underlay" ? output.paint("underlay", "green") : output.paint(plain(protocol), "dim");
  const said = `${OUTCOMES[outcome]}${why === null ? "" : `: ${plain(why)}`}`;
  await output.line(`  ${plain(rule)}  [${owner}]  ${output.paint(`-> ${said}`, colour)}`);
  if (outcome !== "noMatch") for (const text of because) await output.line(`        ${plain(text)}`);
  for (const each of passed)
    await output.line(`      ${output.paint(`passed over ${routeText(each.route)}: ${plain(each.why)}`, "dim")}`);
  if (route === null) return;
  await output.line(`      ${routeText(route)}`);
  for (const text of route.because) await output.line(`        ${plain(text)}`);
}

function routeText(route: ExplainedRoute): string {
  const type = route.type === "unicast" ? "" : `${route.type} `;
  const words = [
    `${type}${route.prefix}`,
    route.from !== null && `from ${route.from}`,
    route.nextHopId !== 0 && `nhid ${route.nextHopId}`,
    route.nextHops.map(hopText).join(" or "),
    `proto ${route.protocol}`,
    route.metric !== 0 && `metric ${route.metric}`,
    route.tos !== 0 && `tos 0x${route.tos.toString(16)}`,
  ];
  return plain(words.filter(Boolean).join(" "));
}

function hopText({ gateway, interface: name, weight }: HopView): string {
  return `${gateway === null ? "" : `via ${gateway} `}dev ${name}${weight > 1 ? ` weight ${weight}` : ""}`;
}

async function showVerdicts(output: Output, { verdicts, flow }: ExplainView): Promise<void> {
  if (verdicts.length > 1) await output.line("one of these, which cannot be known from outside:");
  for (const verdict of verdicts) {
    const text = verdictText(verdict);
    await output.line(verdict.error === null ? output.paint(text, "green") : output.paint(text, "red"));
    if (flow.source === null && verdict.source !== null) await output.line(`  from ${verdict.source}`);
  }
}

function verdictText({ error, why, type, table, nextHops }: ExplainedVerdict): string {
  if (error !== null) return `goes nowhere: ${error}, ${plain(why ?? "")}`;
  if (type === "local") return "is for this host";
  const by = nextHops.map(hopText).join(" or ");
  const choice = nextHops.length > 1 ? "; the kernel's hash over the flow chooses" : "";
  return plain(`goes ${by}${table === null ? "" : `, by table ${table}`}${choice}`);
}

function kernelText({ error, type, nextHops, source, route }: KernelWord): string {
  if (error !== null) return plain(error);
  const words = [
    type !== "unicast" && type,
    nextHops.map((hop) => hopText({ ...hop, weight: 1 })).join(" or "),
    source !== null && `src ${source}`,
    route !== null && `by route ${route}`,
  ];
  return plain(words.filter(Boolean).join(" "));
}
