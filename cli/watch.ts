// underlayctl watch: the daemon's events, one per line, until it or the user stops.
import { connect } from "node:net";
import type { WatchEvent } from "../daemon/api/events.ts";
import { formatLocal } from "../history/time.ts";
import { CliError, type Client, connectionError, errorText } from "./client.ts";
import { eventText } from "./event-text.ts";
import type { Output } from "./output.ts";

/** Of the longest type. */
export const TYPE_WIDTH = 9;

export async function watch(
  client: Client,
  output: Output,
  options: { json: boolean; types?: string },
): Promise<number> {
  // Loaded when it is needed: it brings TLS and compression along, a quarter of what any other command takes.
  const { WebSocket } = await import("ws");
  const query = options.types === undefined ? "" : `?types=${encodeURIComponent(options.types)}`;
  const socket = new WebSocket(`ws://localhost/v1/watch${query}`, {
    createConnection: () => connect(client.socketPath),
    perMessageDeflate: false,
    handshakeTimeout: 10_000,
  });
  let writing = Promise.resolve();
  return await new Promise((_, reject) => {
    socket.on("error", (error) => reject(connectionError(error, client.socketPath)));
    socket.on("unexpected-response", (_request, response) => {
      let body = "";
      response.on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () =>
        reject(new CliError(errorText(body) ?? `the daemon answered ${response.statusCode}`, 2)),
      );
    });
    socket.on("close", () => {
      writing.then(() => reject(new CliError("the daemon ended the connection", 1)), reject);
    });
    socket.on("message", (data) => {
      const text = String(data);
      // A slow reader of ours slows the daemon's connection down, and the daemon drops events and says so.
      socket.pause();
      writing = writing
        .then(() => output.line(options.json ? text : eventLine(JSON.parse(text) as WatchEvent, output)))
        .then(() => socket.resume());
    });
  });
}

/** `12:34:56.789  session  tor-a: OpenConfirm -> Established`, local time. */
export function eventLine(event: WatchEvent, output: Pick<Output, "paint">): string {
  const time = formatLocal(Date.parse(event.time)).slice(11);
  const type = output.paint(event.type.padEnd(TYPE_WIDTH), event.type === "resync" ? "red" : "bold");
  return `${time}  ${type}  ${eventText(event)}`;
}
