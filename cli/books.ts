// underlayctl pods|blocks inspect, verify and repair: the books of allocations. With a daemon it is asked; without one
// the journal and the kernel are looked at here, by the code of the daemon's own start.
import { existsSync } from "node:fs";
import type { Books, Repair } from "../cni/offline/books.ts";
import type { Config } from "../config/types.ts";
import type { Finding } from "../doctor/types.ts";
import { CliError } from "./client.ts";
import type { Command, Invocation, Options } from "./commands.ts";
import { DEFAULT_CONFIG, readConfiguration } from "./configuration.ts";
import type { Output } from "./output.ts";

const DEFAULT_STATE = "/var/lib/underlay";
/** Checks of the doctor that are about the books. */
const ABOUT = /^(pod-|journal-|state-|spool-|address-|block|host-interface-)/;

export const verbs: readonly string[] = ["inspect", "verify", "repair"];
const usage = "usage: underlayctl pods|blocks inspect|verify|repair [--state DIR | --config FILE] [--yes]";

/**
 * `of`: what `inspect` is about; `list`: what a daemon says of it. Exit code 1 when something is wrong, or is yet to be
 * repaired.
 */
export async function books(of: "pods" | "blocks", invocation: Invocation, list: Command["run"]): Promise<number> {
  const [verb, ...rest] = invocation.arguments;
  if (rest.length > 0) throw new CliError(`${of} ${verb}: too many arguments: ${rest.join(" ")}\n${usage}`, 2);
  const { options } = invocation;
  if (options.yes && verb !== "repair") throw new CliError(`${of} ${verb} takes no --yes\n${usage}`, 2);
  const config = await configuration(options);
  const state = options.state ?? config?.paths.state ?? DEFAULT_STATE;
  if (!existsSync(state)) throw new CliError(`there is no state directory ${state}: --state DIR, or --config FILE`, 2);
  // What looks into files and the kernel is large, and loaded only where it is needed.
  const { lockHolder } = await import("../doctor/offline.ts");
  const holder = await lockHolder(state);
  if (holder !== null) {
    const running = `underlayd is running (process ${holder || "unknown"})`;
    if (verb === "repair") throw new CliError(`${running}: stop it first, nothing was done`, 2);
    process.stderr.write(`${running} and is asked\n`);
    return verb === "verify" ? verifyRunning(invocation) : list({ ...invocation, arguments: [] });
  }
  const offline = await import("../cni/offline/books.ts");
  try {
    if (verb === "inspect") return await inspect(of, invocation, await offline.readBooks(state), config);
    const work = verb === "repair" && options.yes ? offline.repairBooks : offline.verifyBooks;
    return await tell(invocation, verb, await work(state));
  } catch (error) {
    throw error instanceof CliError ? error : new CliError(error instanceof Error ? error.message : String(error), 1);
  }
}

/** Null: none is named, and there is none at its usual place. */
async function configuration(options: Options): Promise<Config | null> {
  if (options.state !== undefined && options.config !== undefined)
    throw new CliError(`--state or --config, not both\n${usage}`, 2);
  if (options.state !== undefined || (options.config === undefined && !existsSync(DEFAULT_CONFIG))) return null;
  return readConfiguration(options.config ?? DEFAULT_CONFIG);
}

async function verifyRunning({ client, output, options }: Invocation): Promise<number> {
  const findings = (await client.get<Finding[]>("/v1/doctor")).filter(({ check }) => ABOUT.test(check));
  if (options.json) await output.line(JSON.stringify(findings, null, 2));
  else for (const { subject, text, cure } of findings) await output.line(`${subject}: ${text}; ${cure}`);
  if (!options.json && findings.length === 0) await output.line("books and kernel agree");
  return findings.some(({ severity }) => severity === "fault") ? 1 : 0;
}

async function inspect(
  of: "pods" | "blocks",
  { output, options }: Invocation,
  found: Books,
  config: Config | null,
): Promise<number> {
  const well = !found.missing && found.damage === null;
  if (options.json) {
    await output.line(
      JSON.stringify(of === "pods" ? found : { ...found, blocks: await usesOf(found, config) }, null, 2),
    );
    return well ? 0 : 1;
  }
  await output.line(`${found.journal}: ${found.missing ? "there is none" : (found.damage ?? "whole")}`);
  if (found.torn > 0) await output.line(`its last record was cut off by a crash (${found.torn} bytes)`);
  if (found.booted) await output.line("the host has been booted since: these pods are gone, their addresses are free");
  if (of === "blocks") await blocksTable(output, found, config);
  else
    await output.table(
      ["POD", "NETWORK", "CONTAINER", "IF", "ADDRESSES", "POOL", "SEQUENCE", "HOST IF", "NETNS"].map((title) => ({
        title,
      })),
      found.pods.map((pod) => [
        pod.pod ?? "",
        pod.network,
        pod.containerId.slice(0, 12),
        pod.ifname,
        pod.addresses.join(" "),
        pod.pool,
        pod.sequence ?? "",
        pod.hostInterface,
        pod.netns,
      ]),
    );
  await output.line(`${found.pods.length} pods, ${found.released.length} addresses given back earlier`);
  return well ? 0 : 1;
}

interface BlockUse {
  readonly block: string;
  readonly pool: string;
  readonly used: number;
  readonly released: number;
}

/** By the blocks of the configuration; what is in none of them, and all without one, by its pool. */
async function usesOf(found: Books, config: Config | null): Promise<BlockUse[]> {
  const { parseAddress } = await import("../net/address.ts");
  const { contains, hostPrefix, prefix } = await import("../net/prefix.ts");
  const blocks = (config?.pools ?? []).flatMap(({ name, blocks }) =>
    blocks.map((text) => ({ pool: name, text, prefix: prefix(text) })),
  );
  const uses = new Map<string, { block: string; pool: string; used: number; released: number }>();
  for (const { text, pool } of blocks) uses.set(text, { block: text, pool, used: 0, released: 0 });
  const count = (address: string, pool: string, what: "used" | "released") => {
    const bytes = parseAddress(address);
    const block =
      bytes &&
      blocks.find((one) => one.prefix.bytes.length === bytes.length && contains(one.prefix, hostPrefix(bytes)));
    const key = block ? block.text : `pool ${pool}`;
    const use = uses.get(key) ?? { block: "", pool, used: 0, released: 0 };
    use[what]++;
    uses.set(key, use);
  };
  for (const pod of found.pods) for (const address of pod.addresses) count(address, pod.pool, "used");
  for (const { address, pool } of found.released) count(address, pool, "released");
  return [...uses.values()];
}

async function blocksTable(output: Output, found: Books, config: Config | null): Promise<void> {
  await output.table(
    [{ title: "BLOCK" }, { title: "POOL" }, { title: "USED", align: "right" }, { title: "GIVEN BACK", align: "right" }],
    (await usesOf(found, config)).map(({ block, pool, used, released }) => [
      block || "(no block)",
      pool,
      used,
      released,
    ]),
  );
}

async function tell({ output, options }: Invocation, verb: string, { discrepancies, pods }: Repair): Promise<number> {
  const done = verb === "repair" && (options.yes ?? false);
  if (options.json) await output.line(JSON.stringify({ repaired: done, discrepancies, pods }, null, 2));
  else {
    for (const { subject, text, repair } of discrepancies) {
      const cure =
        repair === null ? "" : `: ${done ? "" : verb === "repair" ? "would be " : "a repair, or a start: "}${repair}`;
      await output.line(`${subject}: ${text}${cure}`);
    }
    if (discrepancies.length === 0) await output.line("journal and kernel agree");
    else if (verb === "repair" && !done) await output.line("nothing was done; --yes does it");
    else if (done)
      await output.line(`${pods.length} pods are in the books now; the old journal is kept as .before-repair`);
  }
  return discrepancies.length === 0 || done ? 0 : 1;
}
