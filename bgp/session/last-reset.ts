// How a neighbour's last Established session ended, for the operator: who ended it, by which NOTIFICATION, and why. In: the
// end of the session. Out: plain data; of what came with a NOTIFICATION no more than fits on a screen.
import { readShutdownCommunication } from "../wire/notification.ts";
import { CeaseSubcode, ErrorCode } from "../wire/registry.ts";
import type { Notification } from "./fsm-types.ts";
import { unwrapped } from "./graceful-restart.ts";
import { describeSent } from "./peer-stop.ts";
import type { LastReset, SessionDown } from "./types.ts";

/** Octets of a NOTIFICATION's data that are shown. */
const MOST_DATA = 64;

/** `lasted`: seconds. */
export function resetOf(down: SessionDown, lasted: number): Omit<LastReset, "time" | "age"> {
  const { reason, notification, local, graceful } = down;
  const remote = notification !== null && !notification.sent;
  return {
    lasted,
    by: remote ? "remote" : local ? "local" : "connection",
    reason,
    graceful,
    notification: notification && {
      direction: notification.sent ? "sent" : "received",
      code: notification.code,
      subcode: notification.subcode,
      name: describeSent(notification),
      communication: communicationOf(notification),
      data: Buffer.from(notification.data.subarray(0, MOST_DATA)).toString("hex"),
      dataLength: notification.data.length,
    },
  };
}

/** RFC 9003, in a hard reset too. */
function communicationOf(notification: Notification): string | null {
  const { code, subcode, data } = unwrapped(notification);
  const carries = subcode === CeaseSubcode.ADMINISTRATIVE_SHUTDOWN || subcode === CeaseSubcode.ADMINISTRATIVE_RESET;
  return code === ErrorCode.CEASE && carries ? readShutdownCommunication(data) : null;
}
