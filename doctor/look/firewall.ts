// Whether packets of pods are forwarded at all: chains of nftables (and of iptables over it) at the forward hook that drop
// what no rule takes. Read with the nft program; the old iptables has no way to be read that does not load its modules.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";

/** Milliseconds, and bytes that are read of a table's rules at most. */
const PATIENCE = 2_000;
const MOST_BYTES = 1 << 20;

export interface DroppingChain {
  /** `ip filter FORWARD` */
  readonly name: string;
  readonly family: string;
  /** JSON of the rules in its table, null: too many to be read. */
  readonly rules: string | null;
}

export interface Firewall {
  readonly dropping: readonly DroppingChain[];
  /** The old iptables has a filter table in this namespace. */
  readonly legacy: boolean;
}

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

/** Rejects in words when nft is not there or does not answer. */
export async function lookAtFirewall(): Promise<Firewall> {
  const legacy = await Promise.all(
    ["ip_tables_names", "ip6_tables_names"].map((name) => readFile(`/proc/net/${name}`, "utf8").catch(() => "")),
  );
  const chains = droppingChains(await nft("list", "chains"));
  const dropping = await Promise.all(
    chains.map(async ({ family, table, name }): Promise<DroppingChain> => {
      const rules = await nft("list", "table", family, table).catch(() => null);
      return { name: `${family} ${table} ${name}`, family, rules };
    }),
  );
  return { dropping, legacy: legacy.some((names) => names.split("\n").includes("filter")) };
}

/** Of `nft -j list chains`: those at the forward hook whose policy is drop. */
export function droppingChains(json: string): Chain[] {
  const { nftables } = JSON.parse(json) as { nftables: readonly { readonly chain?: Chain }[] };
  return nftables.flatMap(({ chain }) => (chain?.hook === "forward" && chain.policy === "drop" ? [chain] : []));
}

function nft(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile("nft", ["-j", "-t", ...args], { timeout: PATIENCE, maxBuffer: MOST_BYTES }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
      reject(new Error(missing ? "the program nft is not installed" : `nft: ${stderr.trim() || error.message}`));
    });
  });
}
