// Attaches pods as a container runtime does: a network namespace, the CNI plugin executed with CNI_* variables and one
// plugin's configuration out of the node's conflist on standard input.
import { randomBytes } from "node:crypto";
import { LabError } from "./runner/command.ts";
import type { NodeNamespace } from "./runner/node-namespace.ts";

const conflist = "/etc/cni/net.d/10-underlay.conflist";
const pluginDirectory = "/opt/cni/bin";

export interface Pod {
  readonly name: string;
  readonly node: NodeNamespace;
  readonly containerId: string;
  /** Without prefix length. */
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  /** The node's end of its cable. */
  readonly hostInterface: string;
  /** Milliseconds that ADD took, as the runtime sees it. */
  readonly addMilliseconds: number;
}

interface CniResult {
  readonly ips?: readonly { readonly address: string }[];
  readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string }[];
}

/** What the runtime hands to the (first) plugin of a conflist: its entry with the list's name and version. */
export function pluginConfiguration(text: string): { readonly type: string; readonly json: string } {
  const list = JSON.parse(text) as { cniVersion: string; name: string; plugins: { type: string }[] };
  const plugin = list.plugins[0];
  return { type: plugin.type, json: JSON.stringify({ ...plugin, cniVersion: list.cniVersion, name: list.name }) };
}

export async function attachPod(node: NodeNamespace, name: string): Promise<Pod> {
  const containerId = randomBytes(16).toString("hex");
  await node.mustRun(["ip", "netns", "add", name]);
  await node.mustRun(["ip", "-n", name, "link", "set", "lo", "up"]);
  const started = performance.now();
  const result = JSON.parse(await executePlugin(node, "ADD", name, containerId)) as CniResult;
  const addMilliseconds = performance.now() - started;
  const addresses = (result.ips ?? []).map(({ address }) => address.split("/")[0]);
  return {
    name,
    node,
    containerId,
    ipv4: addresses.find((address) => !address.includes(":")) ?? null,
    ipv6: addresses.find((address) => address.includes(":")) ?? null,
    hostInterface: result.interfaces?.find(({ sandbox }) => !sandbox)?.name ?? "",
    addMilliseconds,
  };
}

export async function detachPod(pod: Pod): Promise<void> {
  await executePlugin(pod.node, "DEL", pod.name, pod.containerId);
  await pod.node.mustRun(["ip", "netns", "del", pod.name]);
}

export function checkPod(pod: Pod): Promise<string> {
  return executePlugin(pod.node, "CHECK", pod.name, pod.containerId);
}

/** Arguments that run a program in the pod's network, from its node. */
export function inPod(pod: Pod, argv: readonly string[]): string[] {
  return ["nsenter", `--net=/run/netns/${pod.name}`, ...argv];
}

const results = new Map<string, string>();

async function executePlugin(node: NodeNamespace, verb: string, pod: string, containerId: string): Promise<string> {
  const plugin = pluginConfiguration(await node.mustRun(["cat", conflist]));
  // CHECK and DEL are given the result of the ADD (CNI specification, "prevResult").
  const previous = results.get(containerId);
  const json =
    previous === undefined
      ? plugin.json
      : JSON.stringify({ ...JSON.parse(plugin.json), prevResult: JSON.parse(previous) });
  const answer = await node.run([`${pluginDirectory}/${plugin.type}`], {
    input: json,
    env: {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: `/run/netns/${pod}`,
      CNI_IFNAME: "eth0",
      CNI_PATH: pluginDirectory,
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}`,
    },
  });
  if (answer.code !== 0)
    throw new LabError(`${node.name}: CNI ${verb} of ${pod} failed: ${answer.stdout.trim()} ${answer.stderr.trim()}`);
  if (verb === "ADD") results.set(containerId, answer.stdout);
  if (verb === "DEL") results.delete(containerId);
  return answer.stdout;
}
