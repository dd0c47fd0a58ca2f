// What the demonstration asks the running rack: sessions and routes through underlayctl, the kernel through ip.
import type { Pod } from "../pods.ts";
import { LabError, sleep } from "../runner/command.ts";
import type { Rack } from "../runner/rack.ts";

export interface Session {
  readonly name: string;
  /** Null: not found yet. */
  readonly address: string | null;
  readonly asn: number | null;
  readonly state: string;
  readonly received: number;
  readonly accepted: number;
  readonly advertised: number;
  readonly lastError: string | null;
}

interface Route {
  readonly prefix: string;
  readonly peer: string;
  readonly best: boolean;
  readonly multipath: boolean;
}

/** underlayctl's JSON on a node; null while the daemon does not answer. */
export async function ask<T>(rack: Rack, node: string, ...words: string[]): Promise<T | null> {
  const result = await rack.node(node).run(["underlayctl", "--json", ...words]);
  if (!result.stdout.trim()) return null;
  return JSON.parse(result.stdout) as T;
}

export const sessions = (rack: Rack, node: string) => ask<Session[]>(rack, node, "peers");

interface Explained {
  readonly goesSomewhere: boolean;
  readonly difference: string | null;
}

/** What underlayctl says of a packet that a pod sends to another, and whether the kernel says the same. */
export async function explain(
  rack: Rack,
  from: Pod,
  to: Pod,
): Promise<{ command: string; text: string; agrees: boolean }> {
  const words = ["explain", String(from.ipv4), String(to.ipv4), "--iif", from.hostInterface];
  const { stdout } = await rack.node(from.node.name).run(["underlayctl", ...words]);
  const view = await ask<Explained>(rack, from.node.name, ...words);
  return {
    command: `underlayctl ${words.join(" ")}`,
    text: stdout,
    agrees: view?.goesSomewhere === true && view.difference === null,
  };
}

/** Waits until `check` says null; what it said last is the reason given when that takes too long. */
export async function waitFor(
  rack: Rack,
  seconds: number,
  what: string,
  check: () => Promise<string | null>,
): Promise<void> {
  const until = performance.now() + seconds * 1000;
  let reason: string | null = null;
  do {
    const ended = rack.ended();
    if (ended.length > 0) throw new LabError(`${ended[0]}: its program has ended\n${rack.logTail(ended[0])}`);
    reason = await check();
    if (reason === null) return;
    await sleep(100);
  } while (performance.now() < until);
  throw new LabError(`${what}: not within ${seconds} s: ${reason}`);
}

/** Null when every session of every node is Established, else the first one that is not. */
export async function notEstablished(rack: Rack, except: string | null = null): Promise<string | null> {
  for (const node of rack.namesOf("node")) {
    const peers = await sessions(rack, node);
    if (peers === null) return `${node}: underlayd does not answer yet`;
    const waiting = peers.find(({ name, state }) => name !== except && state !== "Established");
    if (waiting) return `${node}: ${waiting.name} is ${waiting.state} (${waiting.lastError ?? "no error"})`;
  }
  return null;
}

/** Null when each node's kernel has every other node's blocks by `paths` next hops, else what is missing. */
export async function notRouted(
  rack: Rack,
  blocks: ReadonlyMap<string, readonly string[]>,
  paths: number,
): Promise<string | null> {
  for (const node of rack.namesOf("node")) {
    const counts = await kernelNextHops(rack, node);
    for (const [owner, prefixes] of blocks) {
      if (owner === node) continue;
      for (const prefix of prefixes) {
        const count = counts.get(prefix) ?? 0;
        if (count !== paths) return `${node}: ${prefix} of ${owner} has ${count} next hops in table 7100, not ${paths}`;
      }
    }
  }
  return null;
}

/** Prefix -> number of next hops in the group of its route in table 7100. */
async function kernelNextHops(rack: Rack, node: string): Promise<Map<string, number>> {
  // A table that has never had a route is an error to iproute2.
  const json = async <T>(...words: string[]) => {
    const { code, stdout } = await rack.node(node).run(["ip", "-j", ...words]);
    return code === 0 ? (JSON.parse(stdout || "[]") as T[]) : [];
  };
  const objects = await json<{ id: number; group?: unknown[] }>("nexthop", "show");
  const sizes = new Map(objects.map(({ id, group }) => [id, group?.length ?? 1]));
  const counts = new Map<string, number>();
  for (const family of ["-4", "-6"]) {
    const routes = await json<{ dst: string; nhid: number }>(family, "route", "show", "table", "7100");
    for (const { dst, nhid } of routes) counts.set(dst, sizes.get(nhid) ?? 0);
  }
  return counts;
}

/** The prefixes of pools that pods get addresses from, per node. */
export async function podBlocks(rack: Rack): Promise<Map<string, string[]>> {
  const blocks = new Map<string, string[]>();
  for (const node of rack.namesOf("node")) {
    const views = (await ask<{ prefix: string; pool: string }[]>(rack, node, "blocks")) ?? [];
    blocks.set(
      node,
      views.filter(({ pool }) => pool === "default").map(({ prefix }) => prefix),
    );
  }
  return blocks;
}

/** Peers that a node has routes in use from. */
export async function peersInUse(rack: Rack, node: string): Promise<string[]> {
  const routes = (await ask<Route[]>(rack, node, "routes")) ?? [];
  const used = routes.filter(({ best, multipath, peer }) => (best || multipath) && peer !== "local");
  return [...new Set(used.map(({ peer }) => peer))].sort();
}
