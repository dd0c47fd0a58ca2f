// underlayctl routes PREFIX --why: the account of one prefix, from the neighbour's words to the kernel and to who is told.
import type { PolicyTrace } from "../bgp/policy/trace.ts";
import type { ToldWhy } from "../bgp/route-why.ts";
import type { RouteView } from "../bgp/views.ts";
import type { WhyPath, WhyTable, WhyView } from "../daemon/why.ts";
import type { Invocation } from "./commands.ts";
import { duration, type Output, plain } from "./output.ts";

/** 0 a path is in use and in the kernel, 1 it is not. */
export async function why({ client, output, options, arguments: [prefix] }: Invocation): Promise<number> {
  const view = await client.get<WhyView>(`/v1/routes/why?${new URLSearchParams({ prefix })}`);
  if (options.json) await output.line(JSON.stringify(view, null, 2));
  else await show(output, view);
  return view.used ? 0 : 1;
}

async function show(output: Output, { asked, prefix, closer, tables, covering }: WhyView): Promise<void> {
  if (asked !== prefix) await output.line(`${plain(asked)} is in ${prefix}`);
  for (const longer of closer)
    await output.line(`${longer} was announced too, and is not in use: underlayctl routes ${longer} --why`);
  if (tables.length === 0) await output.line(`${prefix}: no neighbour has announced it, and it is not ours`);
  for (const table of tables) await showTable(output, table);
  for (const { prefix: shorter, table } of covering)
    await output.line(
      `table ${plain(table)} covers it by ${shorter}, which is in use: underlayctl routes ${shorter} --why`,
    );
  if (tables.every(({ paths }) => paths.every(({ outcome }) => outcome !== "best")) && covering.length === 0)
    await output.line("no learned route covers it");
}

async function showTable(output: Output, { prefix, table, tableId, paths, kernel, told }: WhyTable): Promise<void> {
  await output.line(output.paint(`${prefix} in table ${plain(table)} (${tableId})`, "bold"));
  for (const path of paths) await showPath(output, path);
  if (kernel) await output.line(`  kernel: ${plain(kernelText(kernel))}`);
  else await output.line("  kernel: a block of ours, dropped where no pod has the address (table local of underlay)");
  for (const each of told) await showTold(output, each);
}

async function showPath(output: Output, path: WhyPath): Promise<void> {
  const { route, policy, outcome, session, nextHop } = path;
  const who = route.pathId === null ? route.peer : `${route.peer} #${route.pathId}`;
  const colour = outcome === "best" || outcome === "multipath" ? "green" : outcome === "rejected" ? "red" : "yellow";
  await output.line(`  path from ${plain(who)}: ${output.paint(plain(outcomeText(path)), colour)}`);
  if (session) {
    const since = session.uptime === null ? (session.lastError ?? "") : `for ${duration(session.uptime)}`;
    await output.line(
      `    session    ${session.state} ${plain(since)}, AS ${session.asn ?? "?"}, ${plain(session.address ?? "no address yet")}`,
    );
  }
  if (policy) {
    await output.line(`    received   ${plain(textOf(policy.before))}`);
    await showPolicy(output, policy);
  }
  await output.line(`    route      ${plain(routeText(route))}`);
  if (nextHop)
    await output.line(
      `    next hop   ${nextHop.gateway} on ${plain(nextHop.interface)}, ${nextHop.network === null ? "by its link-local address" : `connected network ${nextHop.network}`}`,
    );
}

function outcomeText({ outcome, route, reason, unused }: WhyPath): string {
  const behind = reason && `${reason.step} is ${reason.value}, the better one has ${reason.better}`;
  if (outcome === "best") return route.stale ? "best, kept while the neighbour restarts" : "best";
  if (outcome === "multipath") return `used beside the best one (not the best: ${behind})`;
  if (outcome === "rejected") return `rejected: ${route.rejected}`;
  if (unused === null) return `not used: ${behind}`;
  const why = {
    maxPaths: "as many as bgp.maxPaths allows are",
    "same next hop": "another path with its next hop is",
    "other AS path": "its AS path is another one (bestPath.multipathRelax: false)",
    "routes of our own are used alone": "routes of our own are used alone",
  }[unused];
  return `not used, though as good as the best one: ${why} (not the best: ${behind})`;
}

/** Of a policy's texts of a route, what is there. */
function textOf(texts: PolicyTrace["before"]): string {
  return Object.entries(texts)
    .filter(([attribute, value]) => value !== "none" && !(attribute === "weight" && value === "0"))
    .map(([attribute, value]) => `${attribute} ${value}`)
    .join(", ");
}

function routeText({ nextHops, asPath, origin, localPref, med, communities }: RouteView): string {
  const words = [
    nextHops.length > 0 && `next hop ${nextHops.join(" ")}`,
    `AS path ${asPath || "empty"}`,
    `origin ${origin}`,
    localPref !== null && `local preference ${localPref}`,
    med !== null && `MED ${med}`,
    communities.length > 0 && `communities ${communities.join(" ")}`,
  ];
  return words.filter(Boolean).join(", ");
}

async function showPolicy(output: Output, trace: PolicyTrace, title = "policy    "): Promise<void> {
  const by = trace.decidedBy
    ? `, by ${trace.decidedBy.policy} statement ${trace.decidedBy.statement}`
    : ", by no statement";
  const verdict = trace.verdict === "accept" ? "accepted" : "rejected";
  await output.line(`    ${title} ${plain(trace.policy)}: ${verdict}${plain(by)}`);
  for (const { policy, statements } of trace.policies)
    for (const { statement, matched, conditions, changes, then } of statements) {
      const failed = conditions.find(({ holds }) => !holds);
      const said = matched
        ? ["matches", ...changes.map(({ attribute, from, to }) => `sets ${attribute} ${from} -> ${to}`), then]
            .filter(Boolean)
            .join(", ")
        : failed
          ? `no: ${failed.condition} ${failed.wanted}${failed.actual ? `, it has ${failed.actual}` : ""}`
          : "no";
      await output.line(output.paint(`               ${plain(`${policy} ${statement} ${said}`)}`, "dim"));
    }
}

function kernelText({ install, wanted, nextHopId, members, refused }: NonNullable<WhyTable["kernel"]>): string {
  if (!install) return "nothing is installed (routing.install: false)";
  if (refused !== null) return `refused: ${refused}`;
  if (nextHopId === 0) return wanted ? "not there yet" : "not there, as no path is in use";
  const hops = members.map(
    ({ gateway, interface: name, weight }) =>
      `${gateway === null ? "" : `via ${gateway} `}dev ${name}${weight > 1 ? ` weight ${weight}` : ""}`,
  );
  return `installed${wanted ? "" : ", about to go"}, nexthop group ${nextHopId}: ${hops.join(" and ") || "which is gone"}`;
}

async function showTold(output: Output, { peer, routes, why: reason, policy }: ToldWhy): Promise<void> {
  if (reason === null)
    await output.line(
      `  ${output.paint("told", "green")} to ${plain(peer)}: ${plain(routes.map(routeText).join("; "))}`,
    );
  else await output.line(`  ${output.paint("not told", "dim")} to ${plain(peer)}: ${plain(reason)}`);
  if (policy) await showPolicy(output, policy, "policy");
}
