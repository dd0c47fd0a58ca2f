// `underlayctl peers`: neighbours and their sessions. In: the daemon's views of them. Out: one line each, or all about one.
import type { PeerView } from "../bgp/views.ts";
import type { Invocation } from "./commands.ts";
import { duration, type Row } from "./output.ts";
import { peerDetails, stateColour } from "./peer-details.ts";

/** Returns 1 when a configured one is not Established. */
export async function peers(invocation: Invocation): Promise<number> {
  const { client, output, options } = invocation;
  const [name] = invocation.arguments;
  const views =
    name === undefined
      ? await client.get<PeerView[]>("/v1/peers")
      : [await client.get<PeerView>(`/v1/peers/${encodeURIComponent(name)}`)];
  const code = views.every((view) => view.state === "Established" || view.dynamic) ? 0 : 1;
  if (options.json) await output.line(JSON.stringify(views, null, 2));
  else if (name !== undefined) await peerDetails(output, views[0]);
  else if (views.length === 0) await output.line("no peers are configured");
  else
    await output.table(
      [
        { title: "PEER" },
        { title: "ADDRESS" },
        { title: "AS", align: "right" },
        { title: "STATE" },
        { title: "UPTIME", align: "right" },
        { title: "RECEIVED", align: "right" },
        { title: "ACCEPTED", align: "right" },
        { title: "ADVERTISED", align: "right" },
        { title: "LAST ERROR" },
      ],
      views.map(
        (view): Row => [
          view.name,
          view.address ?? `(${view.unnumbered?.interface})`,
          view.asn,
          { text: view.state, colour: stateColour(view.state) },
          duration(view.uptime),
          view.received,
          view.accepted,
          view.advertised,
          view.lastError,
        ],
      ),
    );
  return code;
}
