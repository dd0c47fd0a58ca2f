// underlayctl drain, undrain and shutdown: out of service and back, and out of the fabric for good.
import type { DrainState, DrainView } from "../daemon/lifecycle/drain.ts";
import type { ShutdownView } from "../daemon/lifecycle/shutdown.ts";
import { CliError } from "./client.ts";
import type { Invocation } from "./commands.ts";
import { plain } from "./output.ts";

/** Milliseconds that an answer may take longer than the wait that was asked for; without one the longest there is. */
const PATIENCE = 30_000;
const LONGEST_WAIT = 3_600_000;

/** Waits until the node, or the neighbour, is out of service. */
export async function drain({ client, output, options, arguments: [peer] }: Invocation): Promise<number> {
  const query = new URLSearchParams();
  if (peer !== undefined) query.set("peer", peer);
  if (options.wait !== undefined) query.set("wait", String(secondsOf(options.wait)));
  const patience = (options.wait === undefined ? LONGEST_WAIT : secondsOf(options.wait) * 1000) + PATIENCE;
  const view = await client.post<DrainView>(`/v1/drain?${query}`, "", patience);
  if (options.json) await output.line(JSON.stringify(view, null, 2));
  const state = stateOf(view, peer);
  if (state !== "drained") {
    if (!options.json) await output.line(`${nameOf(peer)} is ${state} again: the drain was called off`);
    return 1;
  }
  if (!options.json)
    await output.line(
      `${nameOf(peer)} is drained: \`underlayctl undrain${peer === undefined ? "" : ` ${plain(peer)}`}\` brings it back`,
    );
  return 0;
}

export async function undrain({ client, output, options, arguments: [peer] }: Invocation): Promise<number> {
  const query = new URLSearchParams();
  if (peer !== undefined) query.set("peer", peer);
  const view = await client.post<DrainView>(`/v1/undrain?${query}`);
  if (options.json) await output.line(JSON.stringify(view, null, 2));
  else if (stateOf(view, peer) === "serving" && view.state === "serving")
    await output.line(`${nameOf(peer)} is back in service`);
  else await output.line(`${nameOf(peer)} is not drained by itself any more; the node still is`);
  return 0;
}

export async function shutdown({ client, output, options }: Invocation): Promise<number> {
  const view = await client.post<ShutdownView>("/v1/shutdown");
  if (options.json) {
    await output.line(JSON.stringify(view, null, 2));
    return 0;
  }
  const told = view.told.length === 0 ? "no session was up" : `told ${view.told.map(plain).join(", ")}`;
  await output.line(`withdrawn and shut down: ${told}; routes and pods of this node stay in the kernel`);
  if (view.late.length > 0) await output.line(`not acknowledged in time by ${view.late.map(plain).join(", ")}`);
  return 0;
}

const nameOf = (peer: string | undefined) => (peer === undefined ? "the node" : plain(peer));

function stateOf(view: DrainView, peer: string | undefined): DrainState {
  if (peer === undefined) return view.state;
  return view.peers.find(({ name }) => name === peer)?.state ?? "serving";
}

function secondsOf(wait: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|m|ms)?$/.exec(wait);
  const seconds = match
    ? Number(match[1]) * { ms: 0.001, s: 1, m: 60 }[(match[2] ?? "s") as "ms" | "s" | "m"]
    : Number.NaN;
  if (!(seconds * 1000 <= LONGEST_WAIT)) throw new CliError(`--wait ${wait}: write seconds, 0 to 3600`, 2);
  return seconds;
}
