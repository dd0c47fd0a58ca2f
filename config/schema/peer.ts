// Keys of a peer.
import * as z from "zod";
import { durationOrFalse, holdTime, milliseconds, seconds } from "../durations.ts";
import { boolean, integer, list, one } from "../scalar.ts";
import * as s from "../scalars.ts";
import { hopsOrBoolean, listenRange, remoteAsn } from "../scalars-peer.ts";
import { addPath } from "./add-path.ts";
import { family, otherwise } from "./common.ts";
import { limitKeys } from "./peer-limits.ts";
import { routeKeys } from "./peer-routes.ts";
import { policyChain, sentCommunities } from "./policy.ts";

export const gracefulRestart = z.strictObject({
  time: one(seconds(1, 4095), "How long neighbours keep this node's routes while the daemon restarts.").prefault(
    "120s",
  ),
  staleTime: one(
    seconds(1, 86400),
    "How long routes of a neighbour that has come back wait to be announced again, should it send no End-of-RIB.",
  ).prefault("360s"),
  notification: one(
    boolean,
    "Routes outlive NOTIFICATIONs too (RFC 8538), an expired hold timer's for one, if the neighbour wants the same. A prefix limit, a shutdown, a removed peer, a reset and BFD end the session for good nevertheless.",
  ).prefault(true),
  longLived: one(
    durationOrFalse(1, 0xff_ffff),
    "Long-lived graceful restart (RFC 9494): a neighbour that has it too keeps this node's routes for so much longer as a last resort, and its own are kept for as long as it asks, but no longer than this. `false`: not offered.",
  ).prefault(false),
  partialDeployment: one(
    boolean,
    "An iBGP neighbour without long-lived graceful restart is told long-lived stale routes nevertheless, with local preference 0 and `no-export` (RFC 9494 §4.6). Otherwise they are withdrawn from it.",
  ).prefault(false),
});

export const bfd = z.strictObject({
  interval: one(
    milliseconds(50, 60_000),
    "Pace of our packets, and the fastest pace wanted from the neighbour. The slower of both sides' counts.",
  ).prefault("300ms"),
  multiplier: one(
    integer("number", 1, 255),
    "So many packets of ours in a row are lost until the neighbour declares the session down. Our own detection goes by the neighbour's multiplier.",
  ).prefault(3),
});

export const peer = z
  .strictObject({
    group: one(s.name, "Peer group that the keys not given here come from.").optional(),
    address: one(
      s.unicastAddress,
      "The neighbour's address. Without one the neighbour is found on `interface` (unnumbered).",
    )
      .optional()
      .meta(otherwise("found on `interface`")),
    interface: one(
      s.interfaceName,
      "Interface the neighbour is on; the session is bound to it. Needed with a link-local address. Without `address`, the neighbour is the router whose advertisements are heard there (BGP unnumbered).",
    ).optional(),
    routerAdvertisements: one(
      boolean,
      "Without `address`: advertise this node as a router on `interface`, so that the neighbour finds it. Hosts do not take it for their default router (lifetime 0).",
    )
      .optional()
      .meta(otherwise("true")),
    asn: one(
      remoteAsn,
      "The neighbour's AS number, or `external` (any but ours) or `internal` (ours), or a list of numbers and ranges (`65001-65099`) that are all another AS.",
    ),
    import: policyChain(
      "What is taken from the neighbour: `all`, `none`, `default-route` (only 0.0.0.0/0 and ::/0), or the name of a policy; or several of these: the first one that accepts or rejects decides.",
    )
      .optional()
      .meta(otherwise("`none` for another AS (RFC 8212), `all` for our own")),
    export: policyChain(
      "What is told to the neighbour: `blocks` (this node's blocks), `none`, `all` (everything: the node becomes transit), or the name of a policy; or several of these.",
    )
      .optional()
      .meta(otherwise("`none` for another AS (RFC 8212), `blocks` for our own")),
    communities: sentCommunities.optional(),
    passive: one(boolean, "Never connect, only wait for the neighbour.").prefault(false),
    port: one(integer("port", 1, 65535), "TCP port to connect to.").prefault(179),
    holdTime: one(
      holdTime,
      "Offered hold time: the session ends when the neighbour is silent for so long. The lower of both sides' counts; keepalives are sent at a third of it. 0: never.",
    ).prefault("90s"),
    connectRetry: one(seconds(1, 65535), "Pause between attempts to connect.").prefault("10s"),
    families: list(family, "Address families offered.", { nonEmpty: true }).prefault(["ipv4", "ipv6"]),
    localAddress: one(s.unicastAddress, "Address of this node to connect from.")
      .optional()
      .meta(otherwise("the kernel's choice")),
    password: z
      .strictObject({
        file: one(
          s.path,
          "File that holds the secret, relative to the configuration's directory. One line of at most 80 bytes, readable by root only.",
        ),
        accept: list(
          s.path,
          "Files with other secrets that the neighbour may still, or already, have: to change a secret without losing the session, first have the new one accepted at either end.",
        ).prefault([]),
      })
      .optional()
      .describe("TCP MD5 signatures (RFC 2385)."),
    ttlSecurity: one(
      hopsOrBoolean,
      "Take packets only from so many hops away at most (GTSM, RFC 5082); `true`: from as many as `multihop` says, or one. The neighbour must do it too.",
    ).prefault(false),
    multihop: one(integer("number of hops", 1, 255), "Most hops to the neighbour.")
      .optional()
      .meta(otherwise("1 to another AS")),
    gracefulRestart: z
      .union([z.literal(false), gracefulRestart])
      .prefault({})
      .describe("Graceful restart (RFC 4724); `false`: not offered."),
    bfd: z
      .union([z.boolean(), bfd])
      .prefault(false)
      .meta({ title: "map, `true` or `false`" })
      .describe(
        "BFD (RFC 5880): notices within a few intervals that packets no longer pass, and ends the BGP session then. A neighbour without BFD holds nothing back. `true`: with the defaults. With `multihop` above 1 it is multihop BFD (RFC 5883).",
      ),
    extendedNextHop: one(boolean, "IPv4 routes with IPv6 next hops (RFC 8950).")
      .optional()
      .meta(otherwise("true for a neighbour with an IPv6 address, or without an address")),
    extendedMessages: one(
      boolean,
      "Messages of up to 65535 bytes where the neighbour takes them too (RFC 8654). Otherwise, and with `false`, 4096: routes whose attributes do not fit are not announced then.",
    ).prefault(true),
    advertiseHostname: one(boolean, "Tell the neighbour `node.name`, as FRR does and shows it.").prefault(false),
    monitoring: one(
      boolean,
      "`false`: BMP collectors and MRT files are told nothing of this neighbour and what it says; what is in use of that stays visible in the Loc-RIB.",
    ).prefault(true),
    addPath,
    ...limitKeys,
    ...routeKeys,
    table: one(s.name, "Table that the neighbour's routes go to, and that it is told about.")
      .optional()
      .meta(otherwise("`fabric`, or the only table there is")),
  })
  .describe("One BGP neighbour; its name is yours to choose.");

const asnInGroup = peer.shape.asn.optional().meta(otherwise("the group's"));

/** As a person writes it: what is not here may be in its group. */
export const peerAsWritten = peer.extend({ asn: asnInGroup }).describe(peer.description ?? "");

export const peerGroup = peer
  .omit({ address: true })
  .extend({
    group: one(s.name, "Another peer group that the keys not given here come from.").optional(),
    asn: asnInGroup,
    listen: list(
      listenRange,
      "Prefixes whose addresses may connect without being a peer each: one that does becomes the peer GROUP/ADDRESS until its session has ended. The longest matching prefix counts, configured peers come first. Link-local ones are on an interface: `fe80::/64%eth1`, or the group's `interface`.",
    ).prefault([]),
    listenLimit: one(
      integer("number", 1, 100_000),
      "Most peers that the ranges may have at once; further connections are refused (Cease, RFC 4486).",
    ).prefault(100),
    listenPods: one(
      boolean,
      "Pods of this node may be such peers, where a range covers their addresses. Without it they are refused.",
    ).prefault(false),
  })
  .describe(
    "What peers have in common: every key of a peer but `address`, and the ones below. A peer's own key wins over its group's, a group's over that of its own `group`. Maps are merged key by key; all else, lists too, is replaced as a whole.",
  );
