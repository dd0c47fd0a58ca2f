// Pings between all pods, and from every node to all pods, in both families.
import { type PingReport, ping } from "../ping.ts";
import { inPod, type Pod } from "../pods.ts";
import { LabError } from "../runner/command.ts";
import type { Rack } from "../runner/rack.ts";
import type { Report } from "./report.ts";

interface Attempt {
  readonly from: string;
  readonly to: string;
  readonly report: PingReport;
}

export async function checkPings(rack: Rack, report: Report, pods: readonly Pod[]): Promise<void> {
  report.heading("Pings");
  for (const family of [4, 6] as const) {
    const betweenPods = await podToPod(pods, family);
    tell(report, `ping pod to pod, IPv${family}`, betweenPods);
    const fromNodes = await nodeToPod(rack, pods, family);
    tell(report, `ping node to pod, IPv${family}`, fromNodes);
    report.table(
      [`IPv${family} to:`, ...pods.map(({ name }) => name)],
      [...pods.map(({ name }) => name), ...rack.namesOf("node")].map((from) => [
        from,
        ...pods.map(({ name }) =>
          cell([...betweenPods, ...fromNodes].find((one) => one.from === from && one.to === name)),
        ),
      ]),
    );
  }
}

function podToPod(pods: readonly Pod[], family: 4 | 6): Promise<Attempt[]> {
  const pairs = pods.flatMap((from) => pods.filter((to) => to !== from).map((to) => ({ from, to })));
  return Promise.all(
    pairs.map(async ({ from, to }) => ({
      from: from.name,
      to: to.name,
      report: await ping(from.node, inPod(from, []), addressOf(to, family)),
    })),
  );
}

async function nodeToPod(rack: Rack, pods: readonly Pod[], family: 4 | 6): Promise<Attempt[]> {
  const attempts: Promise<Attempt>[] = [];
  for (const from of rack.namesOf("node")) {
    const source = await loopback(rack, from, family);
    for (const to of pods) {
      // To another node's pods from the loopback, which is announced; a link's address is known to nobody else.
      const local = to.node.name === from;
      const run = ping(rack.node(from), [], addressOf(to, family), local ? null : source);
      attempts.push(run.then((result) => ({ from, to: to.name, report: result })));
    }
  }
  return await Promise.all(attempts);
}

function addressOf(pod: Pod, family: 4 | 6): string {
  const address = family === 4 ? pod.ipv4 : pod.ipv6;
  if (address === null) throw new LabError(`${pod.name} has no IPv${family} address`);
  return address;
}

function cell(attempt: Attempt | undefined): string {
  if (!attempt) return "";
  return attempt.report.received > 0 ? `${attempt.report.average?.toFixed(2)} ms` : "LOST";
}

function tell(report: Report, name: string, attempts: readonly Attempt[]): void {
  const good = attempts.filter(({ report: { sent, received } }) => sent > 0 && received === sent).length;
  report.result(name, good === attempts.length, `${good} of ${attempts.length} pairs`);
}

/** The address of a node that its fabric knows. */
async function loopback(rack: Rack, node: string, family: 4 | 6): Promise<string> {
  const argv = ["ip", "-j", `-${family}`, "addr", "show", "dev", "lo", "scope", "global"];
  const links = JSON.parse(await rack.node(node).mustRun(argv)) as {
    addr_info?: { local: string; scope: string }[];
  }[];
  const found = links.flatMap(({ addr_info = [] }) => addr_info).find(({ scope }) => scope === "global");
  if (!found) throw new LabError(`${node} has no IPv${family} address on lo`);
  return found.local;
}
