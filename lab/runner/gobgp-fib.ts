// GoBGP's best paths in the kernel: asks gobgpd twice a second for both tables and tells the kernel the difference.
// For the lab only. GoBGP itself writes no kernel routes; networks that need it pair it with FRR's zebra.
import { runCommand, sleep } from "./command.ts";

interface GobgpPath {
  readonly best?: boolean;
  readonly nlri?: { readonly prefix?: string };
  readonly attrs?: readonly { readonly type: number; readonly nexthop?: string }[];
  readonly "source-id"?: string;
}

const protocol = "bgp";
const unspecified = new Set(["0.0.0.0", "::", undefined]);

/** `gobgp global rib -j`: prefix -> next hop of the best path; paths of gobgpd's own have no next hop and are left out. */
export function bestNextHops(json: string): Map<string, string> {
  const destinations = JSON.parse(json) as Record<string, readonly GobgpPath[]>;
  const best = new Map<string, string>();
  for (const [prefix, paths] of Object.entries(destinations ?? {})) {
    const path = paths.find((candidate) => candidate.best) ?? paths[0];
    // NEXT_HOP (3) or MP_REACH_NLRI (14).
    const hop = path?.attrs?.find(({ type, nexthop }) => (type === 3 || type === 14) && nexthop)?.nexthop;
    if (hop !== undefined && !unspecified.has(hop)) best.set(prefix, hop);
  }
  return best;
}

/** What `ip -batch` is told to get from one state to the other. */
export function routeChanges(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const changes: string[] = [];
  for (const prefix of before.keys()) {
    if (!after.has(prefix)) changes.push(`route del ${prefix} proto ${protocol}`);
  }
  for (const [prefix, hop] of after) {
    if (before.get(prefix) !== hop) changes.push(`route replace ${prefix} via ${hop} proto ${protocol}`);
  }
  return changes;
}

/** Runs until it is killed. */
export async function followGobgp(): Promise<never> {
  const installed = { ipv4: new Map<string, string>(), ipv6: new Map<string, string>() };
  for (;;) {
    for (const family of ["ipv4", "ipv6"] as const) {
      const rib = await runCommand(["gobgp", "global", "rib", "-a", family, "-j"]);
      if (rib.code !== 0) continue;
      const wanted = bestNextHops(rib.stdout || "{}");
      const changes = routeChanges(installed[family], wanted);
      if (changes.length === 0) continue;
      const flag = family === "ipv6" ? "-6" : "-4";
      const result = await runCommand(["ip", flag, "-force", "-batch", "-"], { input: `${changes.join("\n")}\n` });
      if (result.code !== 0) process.stderr.write(result.stderr);
      installed[family] = wanted;
    }
    await sleep(500);
  }
}
