// `underlayctl explain`: where a packet goes and why. In: what somebody asks, in words. The fib worker reads the kernel and
// simulates (routing/explain); here is added what only the daemon knows: for rules and routes of ours the block and pool, the
// pod, the neighbour, the policy statement and AS path that they come from.

import { formatCommunity } from "../bgp/community-text.ts";
import { type PolicyTrace, tracePolicy } from "../bgp/policy/trace.ts";
import type { Speaker } from "../bgp/speaker.ts";
import type { BlockView, PodView } from "../cni/types.ts";
import type { Config } from "../config/types.ts";
import { formatAddress, isLinkLocal, parseAddress } from "../net/address.ts";
import { prefix as parsed } from "../net/prefix.ts";
import type { Flow, Step } from "../routing/explain/types.ts";
import { type ExplainView, explainView, type Names } from "../routing/explain/view.ts";
import { RouteType, RuleAction } from "../routing/netlink/constants.ts";
import type { Route } from "../routing/netlink/route.ts";
import type { Fib } from "../routing/types.ts";
import { ApiError } from "./api/types.ts";

/** What is asked, as it was written. */
export interface ExplainRequest {
  readonly source: string;
  readonly destination: string;
  readonly mark?: string;
  readonly iif?: string;
  readonly oif?: string;
  readonly tos?: string;
  readonly uid?: string;
  readonly ipProtocol?: string;
  readonly sourcePort?: string;
  readonly destinationPort?: string;
}

export interface ExplainParts {
  readonly config: Config;
  readonly fib: Pick<Fib, "explain" | "links" | "status">;
  readonly speaker: Pick<Speaker, "routes" | "policyInputs">;
  readonly pods: readonly PodView[];
  readonly blocks: readonly BlockView[];
}

const TABLES = new Map([
  [253, "default"],
  [254, "main"],
  [255, "local"],
]);
const IP_PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmpv6: 58,
  "ipv6-icmp": 58,
  sctp: 132,
};
const ANY = ["any", "-", "0.0.0.0", "::"];

/** Throws ApiError 400 with what is wrong with the question. */
export async function explain(request: ExplainRequest, parts: ExplainParts): Promise<ExplainView> {
  const notes: string[] = [];
  const flow = flowOf(request, parts, notes);
  const live = await parts.fib.explain(flow);
  const nameOf = (ifindex: number) => (ifindex === 0 ? null : (live.links.get(ifindex)?.name ?? null));
  const { source, destination, iif, oif, mark, tos, uid, ipProtocol, sourcePort, destinationPort } = flow;
  const said = {
    source: source && formatAddress(source),
    destination: formatAddress(destination),
    iif: nameOf(iif),
    oif: nameOf(oif),
    ...{ mark, tos, uid, ipProtocol, sourcePort, destinationPort },
  };
  const view = explainView(live, said, notes, new Owners(parts));
  const refusal = (await isIsolated(parts)) ? notFromPod(flow, said.iif, parts.pods) : null;
  return refusal === null ? view : { ...view, refusal, goesSomewhere: false };
}

async function isIsolated({ fib }: ExplainParts): Promise<boolean> {
  const { isolation } = await fib.status();
  return isolation.state === "active";
}

/** Why a packet that arrives from a pod is dropped before it is routed (routing/isolation/ruleset.ts); null: it is not. */
function notFromPod({ source }: Flow, iif: string | null, pods: readonly PodView[]): string | null {
  const pod = iif === null ? undefined : pods.find(({ hostInterface }) => hostInterface === iif);
  if (!pod || !source) return null;
  const own = pods.filter(({ netns, hostInterface }) => hostInterface === iif || (netns !== "" && netns === pod.netns));
  if (own.some(({ addresses }) => addresses.some((address) => isAddress(address, source)))) return null;
  return `${formatAddress(source)} is no address of pod ${podName(pod)}: pods are kept to their own (cni.sourceValidation)`;
}

function flowOf(request: ExplainRequest, parts: ExplainParts, notes: string[]): Flow {
  const destination = addressOf("destination", request.destination);
  const family = destination.length === 4 ? 4 : 6;
  const source = ANY.includes(request.source) ? null : addressOf("source", request.source);
  if (source && source.length !== destination.length)
    throw new ApiError(400, `${request.source} and ${request.destination} are not of one family`);
  if (destination.length === 16 && isLinkLocal(destination) && !request.iif && !request.oif)
    throw new ApiError(
      400,
      `${request.destination} means nothing without an interface: say which, with --oif or --iif`,
    );
  if (request.iif && request.oif)
    throw new ApiError(400, "a packet arrives by an interface (iif) or is sent by one (oif): not both can be said");
  let iif = interfaceOf("iif", request.iif, parts);
  const oif = interfaceOf("oif", request.oif, parts);
  const pod = source && parts.pods.find(({ addresses }) => addresses.some((text) => isAddress(text, source)));
  if (pod && iif === 0 && oif === 0) {
    iif = interfaceOf("iif", pod.hostInterface, parts);
    notes.push(`${request.source} is pod ${podName(pod)}: the packet is taken to arrive by ${pod.hostInterface}`);
  }
  if (iif !== 0 && destination[0] === (family === 4 ? 224 : 0xff))
    throw new ApiError(400, "what becomes of multicast that arrives is decided by group memberships, not by routes");
  const number = (key: "mark" | "tos" | "uid" | "sourcePort" | "destinationPort", most: number) =>
    numberOf(key, request[key], most);
  const ipProtocol =
    IP_PROTOCOLS[request.ipProtocol?.toLowerCase() ?? ""] ?? numberOf("ipProtocol", request.ipProtocol, 255);
  return {
    family,
    source,
    destination,
    iif,
    oif,
    mark: number("mark", 0xffffffff),
    tos: number("tos", 255),
    uid: number("uid", 0xfffffffe),
    // The kernel takes an IPv4 packet that it is only asked about for UDP.
    ipProtocol: ipProtocol === 0 && family === 4 ? IP_PROTOCOLS["udp"] : ipProtocol,
    sourcePort: number("sourcePort", 65535),
    destinationPort: number("destinationPort", 65535),
  };
}

function addressOf(what: string, text: string): Uint8Array {
  const address = parseAddress(text);
  if (address) return address;
  const hint = text.includes("/")
    ? "; a packet has an address, not a prefix"
    : text.includes("%")
      ? "; give the interface with --oif or --iif"
      : "";
  throw new ApiError(400, `the ${what} ${JSON.stringify(text)} is not an address${hint}`);
}

function interfaceOf(key: string, name: string | undefined, { fib }: ExplainParts): number {
  if (name === undefined || name === "") return 0;
  const links = fib.links();
  const link = links.find((candidate) => candidate.name === name);
  if (link) return link.ifindex;
  const names = links.map((candidate) => candidate.name);
  const some = names.length > 12 ? `${names.slice(0, 12).join(", ")} ...` : names.join(", ");
  throw new ApiError(400, `${key}: there is no interface ${JSON.stringify(name)}; there are ${some}`);
}

function numberOf(key: string, text: string | undefined, most: number): number {
  if (text === undefined || text === "") return 0;
  const value = /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : Number.NaN;
  if (value <= most) return value;
  throw new ApiError(400, `${key}: ${JSON.stringify(text)} is not a number from 0 to ${most}`);
}

function isAddress(text: string, address: Uint8Array): boolean {
  const own = parseAddress(text.split("/")[0]);
  return own !== null && formatAddress(own) === formatAddress(address);
}

function podName({ pod, containerId }: PodView): string {
  return pod ?? containerId.slice(0, 12);
}

/** Says of rules and routes of ours why they are there. */
class Owners implements Names {
  readonly protocol: number;
  readonly #parts: ExplainParts;

  constructor(parts: ExplainParts) {
    this.protocol = parts.config.routing.protocol;
    this.#parts = parts;
  }

  table(id: number): string {
    const { tables, routing } = this.#parts.config;
    const ours = id === routing.localTable ? "underlay's local" : tables.find((table) => table.id === id)?.name;
    return ours === undefined ? (TABLES.get(id) ?? String(id)) : `${ours} (${id})`;
  }

  ruleBecause({ rule }: Step): string[] {
    if (rule.protocol !== this.protocol) return [];
    const { config, blocks } = this.#parts;
    const { localTable } = config.routing;
    if (rule.table === localTable) return ["this node's pods and blocks come before everything else"];
    const from = rule.source && `${formatAddress(rule.source)}/${rule.sourceLength}`;
    const block = blocks.find(({ prefix }) => prefix === from);
    const pool = block ? `block ${block.prefix} of pool ${block.pool}` : from && `block ${from}`;
    const named = config.tables.find(({ id }) => id === rule.table)?.name ?? String(rule.table);
    if (rule.action === RuleAction.unreachable) return [`${pool}: its table has fallback unreachable`];
    if (rule.suppressPrefixLength >= 0)
      return [
        `${pool ?? "the host's own traffic"}: the host's own routes, but for default ones, come before learned ones`,
      ];
    return pool
      ? [`${pool} sends by table ${named}`]
      : [`table ${named} is for the host's own traffic too (host: true)`];
  }

  routeBecause(route: Route): string[] {
    if (route.protocol !== this.protocol) return [];
    const { config } = this.#parts;
    if (route.table === config.routing.localTable) return this.#local(route);
    const table = config.tables.find(({ id }) => id === route.table);
    return table ? this.#learned(route, table.name) : [];
  }

  #local(route: Route): string[] {
    const { pods, blocks } = this.#parts;
    const text = `${formatAddress(route.destination)}/${route.length}`;
    if (route.type === RouteType.blackhole) {
      const block = blocks.find(({ prefix }) => prefix === text);
      const of = block ? `block ${text} of pool ${block.pool}` : `block ${text}`;
      return [`${of}: an address that no pod has is dropped here, and never goes back to the fabric`];
    }
    const pod = pods.find(({ addresses }) => addresses.some((address) => isAddress(address, route.destination)));
    return pod ? [`pod ${podName(pod)} of pool ${pod.pool}, behind ${pod.hostInterface}`] : [];
  }

  #learned(route: Route, table: string): string[] {
    const { speaker } = this.#parts;
    const text = `${formatAddress(route.destination)}/${route.length}`;
    const paths = [...speaker.routes({ prefix: text, table, best: true })];
    if (paths.length === 0) return ["learned before, and no neighbour announces it any more: it is about to go"];
    return paths.map(({ peer, asPath, stale }) => {
      const by = this.#acceptedBy(peer, text);
      return `learned from ${peer}, AS path ${asPath || "empty"}${by ? `, ${by}` : ""}${stale ? ", kept while it restarts" : ""}`;
    });
  }

  #acceptedBy(peer: string, text: string): string | null {
    const { config, speaker } = this.#parts;
    const options =
      config.peers.find(({ name }) => name === peer) ??
      config.peerGroups.find(({ name }) => peer.startsWith(`${name}/`));
    if (!options) return null;
    const prefix = parsed(text);
    const names = {
      community: formatCommunity,
      table: (id: number) => config.tables.find((entry) => entry.id === id)?.name ?? String(id),
    };
    for (const attributes of speaker.policyInputs(peer, prefix)) {
      const trace: PolicyTrace = tracePolicy(options.import, { prefix, peer, attributes }, names);
      if (trace.verdict !== "accept") continue;
      const by = trace.decidedBy;
      return by ? `accepted by ${by.policy}, statement ${by.statement}` : `accepted by ${trace.policy}`;
    }
    return null;
  }
}
