// Why we end a neighbour's session for good, and the NOTIFICATION that says so (RFC 4486, RFC 9003), there and in words.
import { shutdownCommunication } from "../wire/notification.ts";
import { CeaseSubcode, describeNotification, ErrorCode } from "../wire/registry.ts";
import type { Notification } from "./fsm-types.ts";
import { isHardReset, unwrapped } from "./graceful-restart.ts";

export interface PeerStop {
  readonly kind: "shutdown" | "restart" | "deconfigured" | "changed";
  /** For the log, and for the neighbour (RFC 9003). */
  readonly reason: string;
}

const noData = new Uint8Array(0);

/** Null: TCP is just closed, so that graceful restart helpers keep our routes. */
export function stopNotification(kind: PeerStop["kind"], reason: string): Notification | null {
  switch (kind) {
    case "restart":
      return null;
    case "shutdown":
      return {
        code: ErrorCode.CEASE,
        subcode: CeaseSubcode.ADMINISTRATIVE_SHUTDOWN,
        data: shutdownCommunication(reason),
      };
    case "deconfigured":
      return { code: ErrorCode.CEASE, subcode: CeaseSubcode.PEER_DECONFIGURED, data: noData };
    case "changed":
      return { code: ErrorCode.CEASE, subcode: CeaseSubcode.OTHER_CONFIGURATION_CHANGE, data: noData };
  }
}

/** Without the text, which is the reason already. */
export function describeSent(notification: Notification): string {
  const { code, subcode } = unwrapped(notification);
  const meant = describeNotification(code, subcode, noData);
  return isHardReset(notification) ? `Cease/Hard Reset (${meant})` : meant;
}
