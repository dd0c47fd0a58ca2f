// A list of any length as an HTTP answer: one JSON array, or one JSON object per line (NDJSON). Items are taken from the
// iterator only as fast as the client reads, and never for longer than a few milliseconds at once.
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate as nextTurn } from "node:timers/promises";

export const NDJSON = "application/x-ndjson";

/** Characters per write. */
const CHUNK = 64 << 10;
/** Milliseconds of work per turn of the event loop. */
const SLICE = 4;

/** Rejects when the iterator throws before the first item; a later fault cuts the answer off, so that it shows. */
export async function sendList(
  request: IncomingMessage,
  response: ServerResponse,
  items: Iterable<unknown>,
  stall: number,
): Promise<void> {
  const lines = (request.headers.accept ?? "").includes(NDJSON);
  const iterator = items[Symbol.iterator]();
  let next = iterator.next();
  try {
    response.writeHead(200, { "Content-Type": lines ? NDJSON : "application/json" });
    let text = lines ? "" : "[";
    let first = true;
    while (!next.done) {
      const until = performance.now() + SLICE;
      // performance.now() every 16 items: an item takes microseconds.
      for (let count = 1; !next.done && text.length < CHUNK; count++) {
        const item = JSON.stringify(next.value);
        text += lines ? `${item}\n` : first ? `\n${item}` : `,\n${item}`;
        first = false;
        next = iterator.next();
        if (count % 16 === 0 && performance.now() > until) break;
      }
      if (text.length >= CHUNK) {
        if (!(await write(response, text, stall))) return;
        text = "";
      }
      await nextTurn();
      if (response.destroyed) return;
    }
    response.end(lines ? text : first ? "[]\n" : `${text}\n]\n`);
  } finally {
    if (!next.done) iterator.return?.();
  }
}

/** False when the client has gone, or has read nothing for `stall` milliseconds. */
async function write(response: ServerResponse, text: string, stall: number): Promise<boolean> {
  if (response.destroyed) return false;
  if (response.write(text)) return true;
  const giveUp = new AbortController();
  const timer = setTimeout(() => response.destroy(), stall);
  try {
    await Promise.race([
      once(response, "drain", { signal: giveUp.signal }),
      once(response, "close", { signal: giveUp.signal }),
    ]);
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
    giveUp.abort();
  }
  return !response.destroyed;
}
