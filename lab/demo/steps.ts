// The demonstration's checks, in order: each shows what it did and adds its result to the report.
import { LongPing } from "../ping.ts";
import { attachPod, checkPod, detachPod, inPod, type Pod } from "../pods.ts";
import { sleep } from "../runner/command.ts";
import type { Rack } from "../runner/rack.ts";
import { ask, explain, notEstablished, notRouted, peersInUse, podBlocks, waitFor } from "./observe.ts";
import type { Report } from "./report.ts";
import { showKernel, showPods, showSessions } from "./show.ts";

const podsPerNode = 2;
/** Seconds between the packets of the pings that go on while a ToR dies. */
const longPingInterval = 0.02;
/** What may be lost then: 0.5 s of packets. Detection is by loss of carrier, not by a hold timer. */
const tolerableLoss = 25;

export async function checkSessions(rack: Rack, report: Report): Promise<void> {
  report.heading("Sessions");
  await waitFor(rack, 40, "sessions Established", () => notEstablished(rack));
  const count = rack.namesOf("node").length * rack.namesOf("tor").length;
  await showSessions(rack, report);
  report.result("sessions Established", true, `${count} of ${count}`);
}

export async function checkKernel(rack: Rack, report: Report): Promise<void> {
  report.heading("Rules and tables in the kernel");
  const blocks = await podBlocks(rack);
  const paths = rack.namesOf("tor").length;
  await waitFor(rack, 20, "routes to all blocks", () => notRouted(rack, blocks, paths));
  await showKernel(rack, report, rack.namesOf("node")[0]);
  report.result("routes to every node's blocks in table 7100", true, `IPv4 and IPv6, ${paths} next hops each (ECMP)`);
}

export async function attachPods(rack: Rack, report: Report, pods: Pod[]): Promise<void> {
  report.heading("Pods: the CNI plugin is executed as a runtime does");
  for (const node of rack.namesOf("node")) {
    const number = node.replace(/\D+/, "");
    for (const letter of "abcdefgh".slice(0, podsPerNode))
      pods.push(await attachPod(rack.node(node), `pod${number}${letter}`));
  }
  showPods(pods, report);
  const whole = pods.filter(({ ipv4, ipv6 }) => ipv4 !== null && ipv6 !== null).length;
  for (const pod of pods) await checkPod(pod);
  const times = pods.map(({ addMilliseconds }) => addMilliseconds).sort((a, b) => a - b);
  report.result(
    "pods attached with an address of each family (ADD, CHECK)",
    whole === pods.length,
    `${whole} of ${pods.length}, ADD ${times[times.length >> 1].toFixed(0)} ms`,
  );
}

/** Which way a packet from a pod to one on another node takes, and why. */
export async function explainPath(rack: Rack, report: Report, pods: readonly Pod[]): Promise<void> {
  const from = pods[0];
  const to = pods.find(({ node }) => node !== from.node);
  if (!from.ipv4 || !to?.ipv4) return;
  report.heading(`The way from ${from.name} to ${to.name}, rule by rule`);
  const explained = await explain(rack, from, to);
  report.output(from.node.name, explained.command, explained.text);
  report.result("underlayctl explain and the kernel agree", explained.agrees, `${from.ipv4} to ${to.ipv4}`);
}

/** One ToR loses power while pings go on, and comes back. */
export async function checkTorFailure(rack: Rack, report: Report, pods: readonly Pod[]): Promise<void> {
  const [tor, survivor] = rack.namesOf("tor");
  report.heading(`${tor} loses power while pods ping each other every ${longPingInterval * 1000} ms`);
  const first = rack.namesOf("node")[0];
  const pairs = pods
    .filter(({ node }) => node.name === first)
    .flatMap((from) =>
      pods
        .filter(({ node }) => node.name !== first)
        .flatMap((to) => [
          { from, target: to.ipv4! },
          { from, target: to.ipv6! },
        ]),
    );
  const pings = pairs.map(({ from, target }) => new LongPing(from.node, inPod(from, []), target, longPingInterval));
  await sleep(500);
  const failed = performance.now();
  await rack.powerOff(tor);
  report.progress(`${tor} is off: no carrier on its links, its processes are gone`);
  await waitFor(rack, 15, `routes by ${survivor} alone`, async () => {
    for (const node of rack.namesOf("node")) {
      const used = await peersInUse(rack, node);
      if (used.join() !== survivor) return `${node} uses ${used.join(", ") || "no peer"}`;
    }
    return null;
  });
  report.progress(`every node goes by ${survivor} alone after ${((performance.now() - failed) / 1000).toFixed(2)} s`);
  await showSessions(rack, report);
  await sleep(500);
  const during = await Promise.all(pings.map((one) => one.stop()));
  report.table(
    ["from", "to", "sent", "lost"],
    pairs.map(({ from, target }, index) => {
      const { sent, received } = during[index];
      return [from.name, target, String(sent), String(sent - received)];
    }),
  );
  const worst = Math.max(...during.map(({ sent, received }) => (sent === 0 ? Infinity : sent - received)));
  const lost = during.reduce((sum, { sent, received }) => sum + sent - received, 0);
  const sent = during.reduce((sum, one) => sum + one.sent, 0);
  report.result(
    `pings go on without ${tor}`,
    worst <= tolerableLoss,
    `${lost} of ${sent} packets lost, at most ${worst} of one flow (${Math.round(worst * longPingInterval * 1000)} ms)`,
  );

  await rack.powerOn(tor);
  report.progress(`${tor} is on again`);
  await waitFor(rack, 40, `sessions with ${tor}`, () => notEstablished(rack));
  const blocks = await podBlocks(rack);
  await waitFor(rack, 20, "routes by both ToRs", () => notRouted(rack, blocks, rack.namesOf("tor").length));
  await showSessions(rack, report);
  report.result(`${tor} is back`, true, "sessions Established, ECMP by both ToRs again");
}

export async function detachPods(rack: Rack, report: Report, pods: readonly Pod[]): Promise<void> {
  report.heading("Pods are detached");
  for (const pod of pods) await detachPod(pod);
  let used = 0;
  let interfaces = 0;
  for (const node of rack.namesOf("node")) {
    for (const block of (await ask<{ used: number }[]>(rack, node, "blocks")) ?? []) used += block.used;
    const links = JSON.parse(await rack.node(node).mustRun(["ip", "-j", "link", "show"])) as { ifname: string }[];
    interfaces += links.filter(({ ifname }) => !/^(lo|eth\d+)$/.test(ifname)).length;
  }
  report.result(
    "pods detached (DEL)",
    used === 0 && interfaces === 0,
    `${used} addresses and ${interfaces} interfaces left`,
  );
}
