// underlayctl nodes: who shares the pools, and how a node that does not come back leaves.
import type { NodeView } from "../cni/blocks/removal.ts";
import type { NodeRemovalView } from "../daemon/shared/nodes.ts";
import { CliError } from "./client.ts";
import type { Invocation } from "./commands.ts";
import { confirm } from "./confirm.ts";
import { plain, type Row } from "./output.ts";

export async function nodes(invocation: Invocation): Promise<number> {
  const [verb, node] = invocation.arguments;
  if (verb === undefined) return list(invocation);
  if (verb === "define-pools" && node === undefined) return definePools(invocation);
  if (verb !== "remove" || node === undefined)
    throw new CliError("write: underlayctl nodes, underlayctl nodes remove NODE, or underlayctl nodes define-pools", 2);
  return remove(invocation, node);
}

async function list({ client, output, options }: Invocation): Promise<number> {
  const views = await client.get<NodeView[]>("/v1/nodes");
  const code = views.every(({ alive }) => alive) ? 0 : 1;
  if (options.json) await output.line(JSON.stringify(views, null, 2));
  else if (views.length === 0) await output.line("no nodes");
  else
    await output.table(
      [
        { title: "NODE" },
        { title: "RACK" },
        { title: "STATE" },
        { title: "REGISTERED" },
        { title: "BLOCKS" },
        { title: "LENT", align: "right" },
        { title: "BORROWED", align: "right" },
        { title: "IDENTITIES", align: "right" },
      ],
      views.map(
        (view): Row => [
          view.node,
          view.rack,
          view.alive ? { text: "alive", colour: "green" } : { text: "not seen", colour: "red" },
          view.since,
          view.blocks.map(({ prefix, state }) => (state === "confirmed" ? prefix : `${prefix} (${state})`)).join(" "),
          view.lent,
          view.borrowed,
          view.identities,
        ],
      ),
    );
  return code;
}

async function remove({ client, output, options }: Invocation, node: string): Promise<number> {
  const view = (await client.get<NodeView[]>("/v1/nodes")).find((other) => other.node === node);
  if (!view) throw new CliError(`there is no node ${plain(node)}`, 1);
  await confirmRemoval(view, options.yes ?? false, options.force ?? false);
  const query = new URLSearchParams({ node });
  if (options.force) query.set("force", "true");
  if (options.quarantine !== undefined) query.set("quarantine", options.quarantine);
  const removal = await client.post<NodeRemovalView>(`/v1/nodes/remove?${query}`);
  if (options.json) await output.line(JSON.stringify(removal, null, 2));
  else {
    await output.line(
      `${plain(node)} is removed; free in ${removal.quarantine} s: ${removal.blocks.join(", ") || "no block"}`,
    );
    if (removal.orphans.length > 0)
      await output.line(`free when their last borrowed address is back: ${removal.orphans.join(", ")}`);
  }
  return 0;
}

async function definePools({ client, output, options }: Invocation): Promise<number> {
  const what =
    "This node's definitions of the shared pools count for all nodes from now on. Blocks that are claimed stay.";
  await confirm(what, "yes", options.yes ?? false);
  const view = await client.post<{ pools: string[] }>("/v1/nodes/define-pools");
  await output.line(options.json ? JSON.stringify(view, null, 2) : `in etcd: ${view.pools.join(", ") || "no pool"}`);
  return 0;
}

async function confirmRemoval({ node, alive, blocks }: NodeView, yes: boolean, force: boolean): Promise<void> {
  if (alive && !force)
    throw new CliError(
      `node ${plain(node)} is alive: drain it and stop its daemon, and try again when it is not seen any more; --force takes its blocks away all the same`,
      1,
    );
  const what =
    `This gives the ${blocks.length} blocks of ${plain(node)} to other nodes.` +
    (alive
      ? " It is alive: pods on it lose their addresses."
      : " Make sure that it is off, or cut off from the fabric.");
  await confirm(what, node, yes);
}
