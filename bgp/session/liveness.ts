// Whether the neighbour of a session that is up still answers, without waiting for its hold time: asked by what TCP has to
// acknowledge.
import { KEEPALIVE } from "../wire/message.ts";
import type { Session } from "./session.ts";
import { sinceLastAck } from "./socket-options.ts";

/** Makes the session send something. */
export function provoke(session: Session): void {
  if (session.state === "Established") session.send(KEEPALIVE);
}

/** The session is up, and its neighbour's TCP has acknowledged something within so many milliseconds. */
export function heardWithin({ state, transport }: Session, milliseconds: number): boolean {
  if (state !== "Established" || !transport) return false;
  const since = sinceLastAck(transport.fd);
  return since !== null && since <= milliseconds;
}
