// Graceful restart as far as sessions are concerned (RFC 4724 §3, RFC 8538, RFC 9494 §3): the capabilities in the two
// OPENs, and whether the end of a session leaves routes in place. Pure. What becomes of the routes is in
// ../stale-routes.ts.
//
// RFC 8538 §4: when both sides have set the N bit, a NOTIFICATION (a hold timer's included) ends a session like a lost
// connection does, routes stay, unless it is Cease/9, Hard Reset, which carries what is meant in its data. §5.1 leaves
// to us which ends are meant for good: prefix limit, shutdown, removed peer and operator's reset as it suggests, and BFD
// Down, because packets to the neighbour do not arrive any more (RFC 5882 §4.3.1).
import type { Family } from "../../net/address.ts";
import type { Capability } from "../wire/capability.ts";
import { Afi, afiOf, CeaseSubcode, ErrorCode, Safi } from "../wire/registry.ts";
import type { Notification } from "./fsm-types.ts";
import type { LongLivedFamily, Negotiated, PeerOptions } from "./types.ts";

/** The R and F bits for OPENs to come (RFC 4724 §3, §4.1). */
export interface RestartState {
  readonly restarting: boolean;
  /** The kernel forwards for us what it did when the peer last heard from us. */
  forwarding(peer: PeerOptions, family: Family): boolean;
}

export const noRestart: RestartState = { restarting: false, forwarding: () => false };

/** Fields of 12 and 24 bits. */
const LONGEST_RESTART_TIME = 4095;
const LONGEST_STALE_TIME = 0xff_ffff;

/** What we offer; nothing when graceful restart is off. */
export function restartCapabilities(options: PeerOptions, restart: RestartState): Capability[] {
  const { gracefulRestart, families } = options;
  if (!gracefulRestart) return [];
  const { time, notification, longLived } = gracefulRestart;
  const entries = families.map((family) => ({
    afi: afiOf(family),
    safi: Safi.UNICAST,
    forwarding: restart.forwarding(options, family),
  }));
  const capabilities: Capability[] = [
    {
      kind: "gracefulRestart",
      restarting: restart.restarting,
      notification,
      time: Math.min(LONGEST_RESTART_TIME, Math.max(0, Math.round(time))),
      families: entries,
    },
  ];
  if (longLived !== null)
    capabilities.push({
      kind: "longLivedGracefulRestart",
      families: entries.map((entry) => ({ ...entry, staleTime: Math.min(LONGEST_STALE_TIME, longLived) })),
    });
  return capabilities;
}

/** What the neighbour offers; null: no graceful restart. */
export function negotiateRestart(
  options: PeerOptions,
  capabilities: readonly Capability[],
): Negotiated["gracefulRestart"] {
  const theirs = capabilities.find((capability) => capability.kind === "gracefulRestart");
  if (!theirs) return null;
  const families = new Map<Family, boolean>();
  for (const entry of theirs.families) {
    const family = familyOf(entry);
    if (family) families.set(family, entry.forwarding);
  }
  const ours = options.gracefulRestart;
  return {
    restarting: theirs.restarting,
    time: theirs.time,
    families,
    notification: theirs.notification && (ours?.notification ?? false),
    takesLongLived: capabilities.some(({ kind }) => kind === "longLivedGracefulRestart"),
    longLived: ours && ours.longLived !== null ? longLivedFamilies(capabilities, ours.longLived) : new Map(),
  };
}

/** RFC 9494 §4.2: for how long is up to the neighbour, and we may cut it short. */
function longLivedFamilies(capabilities: readonly Capability[], longest: number): Map<Family, LongLivedFamily> {
  const families = new Map<Family, LongLivedFamily>();
  const theirs = capabilities.find((capability) => capability.kind === "longLivedGracefulRestart");
  for (const entry of theirs?.families ?? []) {
    const family = familyOf(entry);
    const { forwarding, staleTime } = entry;
    if (family) families.set(family, { forwarding, staleTime: Math.min(staleTime, longest) });
  }
  return families;
}

function familyOf({ afi, safi }: { readonly afi: number; readonly safi: number }): Family | null {
  if (safi !== Safi.UNICAST) return null;
  return afi === Afi.IPV4 ? 4 : afi === Afi.IPV6 ? 6 : null;
}

/** Both sides offered graceful restart and there is something to keep (RFC 4724 §4.2). */
export function restartsGracefully(options: PeerOptions, { gracefulRestart }: Negotiated): boolean {
  if (options.gracefulRestart === null || !gracefulRestart) return false;
  return gracefulRestart.families.size > 0 || gracefulRestart.longLived.size > 0;
}

/** Whether routes outlive the end of an Established session; `notification` as it went over the wire. */
export function endsGracefully(
  options: PeerOptions,
  negotiated: Negotiated,
  { lost, notification }: { readonly lost: boolean; readonly notification: Notification | null },
): boolean {
  if (!restartsGracefully(options, negotiated)) return false;
  if (!notification) return lost;
  return (negotiated.gracefulRestart?.notification ?? false) && !isHardReset(notification);
}

const endsForGood: ReadonlySet<number> = new Set([
  CeaseSubcode.MAXIMUM_NUMBER_OF_PREFIXES_REACHED,
  CeaseSubcode.ADMINISTRATIVE_SHUTDOWN,
  CeaseSubcode.PEER_DECONFIGURED,
  CeaseSubcode.ADMINISTRATIVE_RESET,
  CeaseSubcode.BFD_DOWN,
]);

/** What to send in place of a NOTIFICATION to a neighbour that would take it as the start of a graceful restart. */
export function hardReset(notification: Notification): Notification {
  const { code, subcode, data } = notification;
  if (code !== ErrorCode.CEASE || !endsForGood.has(subcode)) return notification;
  return {
    code: ErrorCode.CEASE,
    subcode: CeaseSubcode.HARD_RESET,
    data: Uint8Array.from([code, subcode, ...data]),
  };
}

export function isHardReset({ code, subcode }: Pick<Notification, "code" | "subcode">): boolean {
  return code === ErrorCode.CEASE && subcode === CeaseSubcode.HARD_RESET;
}

/** What a hard reset wraps, and anything else as it is. */
export function unwrapped(notification: Notification): Notification {
  const { data } = notification;
  if (!isHardReset(notification) || data.length < 2) return notification;
  return { code: data[0], subcode: data[1], data: data.subarray(2) };
}
