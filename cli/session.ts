// underlayctl refresh and reset: what operators of other daemons know as "clear ... soft in" and "clear".
import type { RefreshView, ResetView } from "../daemon/api/types.ts";
import type { Invocation } from "./commands.ts";
import { plain } from "./output.ts";

/** Asks the neighbour to send its routes again; the session stays as it is. */
export async function refresh({ client, output, options, arguments: [peer] }: Invocation): Promise<number> {
  const query = new URLSearchParams({ peer });
  if (options.family !== undefined) query.set("family", options.family);
  const view = await client.post<RefreshView>(`/v1/refresh?${query}`);
  if (options.json) await output.line(JSON.stringify(view, null, 2));
  else await output.line(`asked ${plain(view.peer)} for its ${view.families.join(" and ")} routes`);
  return 0;
}

/** Ends the session with Cease/4 and the reason; it comes back at once. */
export async function reset({ client, output, options, arguments: [peer, ...words] }: Invocation): Promise<number> {
  const query = new URLSearchParams({ peer });
  if (words.length > 0) query.set("reason", words.join(" "));
  const view = await client.post<ResetView>(`/v1/reset?${query}`);
  if (options.json) await output.line(JSON.stringify(view, null, 2));
  else await output.line(`session with ${plain(view.peer)} reset: ${plain(view.reason)}`);
  return 0;
}
