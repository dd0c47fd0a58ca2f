// A connection that is not taken: closed with a NOTIFICATION that says so (Cease/Connection Rejected, RFC 4486), so that
// the neighbour's operator need not guess. Only so many at once: what comes faster is just closed.
import { Socket } from "node:net";
import { native } from "../../net/native.ts";
import { encodeNotification } from "../wire/notification.ts";
import { CeaseSubcode, ErrorCode } from "../wire/registry.ts";

const MOST = 32;
/** Milliseconds that the neighbour has to take it. */
const LINGER = 1_000;

const rejected = encodeNotification(ErrorCode.CEASE, CeaseSubcode.CONNECTION_REJECTED);
let lingering = 0;

/** Takes over the descriptor. */
export function refuse(fd: number): void {
  if (lingering >= MOST) {
    native().close(fd);
    return;
  }
  const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: false });
  lingering++;
  const timer = setTimeout(() => socket.destroy(), LINGER);
  socket.once("close", () => {
    clearTimeout(timer);
    lingering--;
  });
  socket.on("error", () => socket.destroy());
  // What the neighbour has sent is thrown away: unread, it would turn the close into a reset.
  socket.resume();
  socket.end(rejected);
}
