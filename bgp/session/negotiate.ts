// Our OPEN from a peer's options, and what two OPENs agree on (RFC 4271 §4.2, §6.2; RFC 5492, 4760, 6793, 2918, 7313, 8654,
// 8950, 6286, 9234; draft-walton-bgp-hostname-capability; graceful restart is in graceful-restart.ts, ADD-PATH in
// add-path.ts). Pure: in go options and messages, out comes Negotiated or a WireError 2/x for the NOTIFICATION.
import { type Family, formatIpv4 } from "../../net/address.ts";
import type { Capability } from "../wire/capability.ts";
import { WireError } from "../wire/error.ts";
import { MAX_EXTENDED_MESSAGE, MAX_MESSAGE } from "../wire/message.ts";
import type { OpenMessage } from "../wire/open.ts";
import { Afi, AS_TRANS, afiOf, ErrorCode, OpenSubcode, Safi } from "../wire/registry.ts";
import { addPathCapabilities, agreedAddPath } from "./add-path.ts";
import { negotiateRestart, type RestartState, restartCapabilities } from "./graceful-restart.ts";
import { describeExpected, isExpected } from "./remote-asn.ts";
import { checkRole } from "./role.ts";
import type { Negotiated, PeerOptions } from "./types.ts";

/** Where a session runs; local-addresses.ts finds it out. */
export type SessionEndpoints = Pick<
  Negotiated,
  "localAddress" | "remoteAddress" | "localLinkLocal" | "localAddress6" | "localAddress4" | "ifindex"
>;

export function buildOpen(options: PeerOptions, restart: RestartState): OpenMessage {
  const capabilities: Capability[] = options.families.map((family) => ({
    kind: "multiprotocol",
    afi: afiOf(family),
    safi: Safi.UNICAST,
  }));
  capabilities.push({ kind: "routeRefresh" }, { kind: "enhancedRouteRefresh" }, { kind: "as4", asn: options.localAsn });
  if (options.extendedMessages) capabilities.push({ kind: "extendedMessage" });
  if (options.hostname !== null) capabilities.push(hostnameCapability(options.hostname));
  if (options.extendedNextHop && options.families.includes(4))
    capabilities.push({
      kind: "extendedNextHop",
      entries: [{ afi: Afi.IPV4, safi: Safi.UNICAST, nextHopAfi: Afi.IPV6 }],
    });
  capabilities.push(...addPathCapabilities(options), ...restartCapabilities(options, restart));
  if (options.role !== null) capabilities.push({ kind: "role", role: options.role });
  return {
    version: 4,
    asn: options.localAsn > 0xffff ? AS_TRANS : options.localAsn,
    holdTime: options.holdTime,
    routerId: options.routerId,
    capabilities,
  };
}

/** Checks the neighbour's OPEN against ours. Throws WireError 2/x. */
export function negotiate(options: PeerOptions, remote: OpenMessage, endpoints: SessionEndpoints): Negotiated {
  const as4 = remote.capabilities.find((capability) => capability.kind === "as4");
  const remoteAsn = as4 ? as4.asn : remote.asn;
  checkAsn(options, remoteAsn);
  const ebgp = remoteAsn !== options.localAsn;
  checkRouterId(options, remote.routerId, ebgp);
  if (ebgp) checkRole(options.role, options.requireRole, remote.capabilities);
  if (remote.holdTime === 1 || remote.holdTime === 2)
    throw openError(
      OpenSubcode.UNACCEPTABLE_HOLD_TIME,
      `hold time ${remote.holdTime} s is not allowed (0, or 3 and more)`,
    );
  const holdTime = Math.min(options.holdTime, remote.holdTime);
  const families = commonFamilies(options, remote);
  const { localAddress, remoteAddress, localLinkLocal, localAddress6, localAddress4, ifindex } = endpoints;
  // Property by property, so that all sessions are of one shape: a copy made by `...` has another one when it is among the
  // first, and what is compiled for sessions would be undone by them.
  return {
    localAddress,
    remoteAddress,
    localLinkLocal,
    localAddress6,
    localAddress4,
    ifindex,
    localAsn: options.localAsn,
    remoteAsn,
    remoteRouterId: remote.routerId,
    holdTime,
    keepaliveTime: holdTime === 0 ? 0 : Math.max(1, Math.floor(holdTime / 3)),
    as4: as4 !== undefined,
    ebgp,
    families,
    addPath: agreedAddPath(options, remote, families),
    extendedNextHop: options.extendedNextHop && offersExtendedNextHop(remote),
    maxMessage: options.extendedMessages && offers(remote, "extendedMessage") ? MAX_EXTENDED_MESSAGE : MAX_MESSAGE,
    routeRefresh: offers(remote, "routeRefresh") || offers(remote, "enhancedRouteRefresh"),
    enhancedRefresh: offers(remote, "enhancedRouteRefresh"),
    gracefulRestart: negotiateRestart(options, remote.capabilities),
  };
}

function offers(remote: OpenMessage, kind: Capability["kind"]): boolean {
  return remote.capabilities.some((capability) => capability.kind === kind);
}

/** `node1.rack7.example.net` is host `node1` in domain `rack7.example.net`. */
function hostnameCapability(name: string): Capability {
  const dot = name.indexOf(".");
  return dot < 0
    ? { kind: "hostname", host: name, domain: "" }
    : { kind: "hostname", host: name.slice(0, dot), domain: name.slice(dot + 1) };
}

function openError(subcode: number, message: string, data = new Uint8Array(0)): WireError {
  return new WireError(message, ErrorCode.OPEN_MESSAGE_ERROR, subcode, { data });
}

function checkAsn(options: PeerOptions, asn: number): void {
  const { remoteAsn, localAsn } = options;
  if (isExpected(asn, remoteAsn, localAsn)) return;
  const wanted = describeExpected(remoteAsn, localAsn);
  throw openError(OpenSubcode.BAD_PEER_AS, `neighbour is in AS ${asn}, configured is ${wanted}`);
}

/** RFC 6286: not 0, and unique within an AS. */
function checkRouterId(options: PeerOptions, routerId: number, ebgp: boolean): void {
  if (routerId === 0) throw openError(OpenSubcode.BAD_BGP_IDENTIFIER, "neighbour's router id is 0.0.0.0");
  if (!ebgp && routerId === options.routerId)
    throw openError(OpenSubcode.BAD_BGP_IDENTIFIER, `neighbour has our own router id ${formatIpv4(routerId)}`);
}

/** Families both sides announced; a neighbour that announces none speaks IPv4 unicast only (RFC 4760 §8). */
function commonFamilies(options: PeerOptions, remote: OpenMessage): readonly Family[] {
  const announced = remote.capabilities.filter((capability) => capability.kind === "multiprotocol");
  const theirs = (family: Family) =>
    announced.length === 0
      ? family === 4
      : announced.some((capability) => capability.afi === afiOf(family) && capability.safi === Safi.UNICAST);
  const families = options.families.filter(theirs);
  if (families.length > 0) return families;
  const ours = options.families.map((family) => `IPv${family} unicast`).join(", ");
  // RFC 5492 §5: the Data field lists the capabilities that were missed.
  const data = Uint8Array.from(options.families.flatMap((family) => [1, 4, 0, afiOf(family), 0, Safi.UNICAST]));
  throw openError(
    OpenSubcode.UNSUPPORTED_CAPABILITY,
    `no address family in common with the neighbour (ours: ${ours})`,
    data,
  );
}

function offersExtendedNextHop(remote: OpenMessage): boolean {
  return remote.capabilities.some(
    (capability) =>
      capability.kind === "extendedNextHop" &&
      capability.entries.some(
        (entry) => entry.afi === Afi.IPV4 && entry.safi === Safi.UNICAST && entry.nextHopAfi === Afi.IPV6,
      ),
  );
}
