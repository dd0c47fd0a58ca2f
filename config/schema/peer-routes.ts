// Keys of a peer about its routes beside the policies: AS paths, next hops, reflection, roles, what is taken and sent at all.
import * as z from "zod";
import { boolean, integer, list, one, quote, Refusal, type Scalar, word } from "../scalar.ts";
import * as s from "../scalars.ts";
import { family, otherwise } from "./common.ts";
import { policyChain } from "./policy.ts";

const localAsn = z.strictObject({
  asn: one(s.asn, "The AS number that the neighbour knows this node by."),
  noPrepend: one(boolean, "Do not put it in front of the paths that come from the neighbour.").prefault(false),
  replaceAs: one(boolean, "What is sent has this AS number alone, without the node's own behind it.").prefault(false),
});

const roles = { provider: 0, "route-server": 1, "route-server-client": 2, customer: 3, peer: 4 } as const;

const allowAsIn: Scalar<number | "origin"> = {
  json: { title: "number or `origin`", anyOf: [{ type: "integer", minimum: 0, maximum: 10 }, { const: "origin" }] },
  parse(value) {
    if (value === "origin") return value;
    const times = integer("number", 0, 10).parse(value);
    return times instanceof Refusal && typeof value !== "number"
      ? new Refusal(`${quote(value)} is neither a number nor origin`, "write how often our AS may be in the path: 1")
      : times;
  },
};

const removal: Scalar<{ readonly all: boolean; readonly replace: boolean } | null> = {
  json: {
    title: "`true`, `false`, `replace`, `all` or `replace-all`",
    anyOf: [{ type: "boolean" }, { enum: ["replace", "all", "replace-all"] }],
  },
  parse(value) {
    if (value === false) return null;
    if (value === true) return { all: false, replace: false };
    const known = word({
      replace: { all: false, replace: true },
      all: { all: true, replace: false },
      "replace-all": { all: true, replace: true },
    });
    const parsed = known.parse(value);
    return parsed instanceof Refusal
      ? new Refusal(`${quote(value)} is not one of true, false, replace, all, replace-all`, parsed.hint)
      : parsed;
  },
};

const nextHopSelf: Scalar<boolean | "force"> = {
  json: { title: "`true`, `false` or `force`", anyOf: [{ type: "boolean" }, { const: "force" }] },
  parse: (value) =>
    typeof value === "boolean" || value === "force"
      ? value
      : new Refusal(`${quote(value)} is not one of true, false, force`),
};

export const defaultOriginate = z.strictObject({
  while: policyChain(
    "Only while the neighbour's table has a route in use that this accepts: `default-route`, another built-in policy, or policies by name. What comes from the neighbour itself does not count; this node's blocks do, unless a policy leaves out `peer: local`.",
  )
    .optional()
    .meta(otherwise("in any case")),
  families: list(family, "Address families, as far as the session has them.", { nonEmpty: true }).prefault([
    "ipv4",
    "ipv6",
  ]),
  policy: policyChain(
    "Policies that the default route passes, for what they set on it; one that they reject is not announced.",
  )
    .optional()
    .meta(otherwise("it is sent as it is")),
});

export const routeKeys = {
  defaultOriginate: z
    .union([z.boolean(), defaultOriginate])
    .prefault(false)
    .meta({ title: "map, `true` or `false`" })
    .describe(
      "Announce default routes (0.0.0.0/0 and ::/0) by way of this node to the neighbour, whatever `export` says, in place of any that this node has. `true`: in any case.",
    ),
  localAsn: z
    .union([localAsn, one(s.asn, "")])
    .optional()
    .meta({ title: "AS number, or map" })
    .describe(
      "Another AS number of this node towards this neighbour (local-as), for a move from one to the other. It is in the OPEN, in front of the node's own in what is sent, and in front of what is received; loops are looked for with both.",
    ),
  allowAsIn: one(
    allowAsIn,
    "How often our own AS number may be in a path that is received; `origin`: only at its end, as often as may be.",
  ).prefault(0),
  enforceFirstAs: one(
    boolean,
    "Do not use routes from another AS whose path does not begin with that AS (RFC 4271 §6.3).",
  )
    .optional()
    .meta(otherwise("`true` for another AS, unless `role` is `route-server-client`")),
  allowAsSets: one(boolean, "Use routes with an AS_SET or AS_CONFED_SET in the path, which are deprecated (RFC 9774).")
    .optional()
    .meta(otherwise("`bgp.allowAsSets`")),
  allowMartians: one(
    boolean,
    "Use routes to prefixes that can be nobody's destination on a network: 0.0.0.0/8 (but not the default route), 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 240.0.0.0/4, ::/128, ::1/128, ::ffff:0:0/96, fe80::/10, ff00::/8 and what is inside of them.",
  ).prefault(false),
  asOverride: one(boolean, "In paths that are sent, write our own AS number for the neighbour's.").prefault(false),
  removePrivateAs: one(
    removal,
    "Take private AS numbers (RFC 6996) out of paths that are sent, or `replace` them by our own: `true` and `replace` where a path has no others, `all` and `replace-all` in every path. The export policy sees the path without them.",
  ).prefault(false),
  nextHopSelf: one(
    nextHopSelf,
    "To a neighbour in our own AS: this node as the next hop of routes from other ASes; `force`: of reflected routes too.",
  ).prefault(false),
  routeReflectorClient: one(
    boolean,
    "The neighbour, in our own AS, is a client: this node is a route reflector (RFC 4456).",
  ).prefault(false),
  role: one(
    word(roles),
    "What this node is to the neighbour (RFC 9234). The neighbour has to be the counterpart; routes that would leak are neither taken nor sent (OTC).",
  ).optional(),
  requireRole: one(boolean, "No session with a neighbour that does not say its role (strict mode).").prefault(false),
  gracefulShutdown: one(
    boolean,
    "This session is about to end (RFC 8326): everything is sent with the community graceful-shutdown, and what is received becomes the last choice.",
  ).prefault(false),
  honorGracefulShutdown: one(
    boolean,
    "Routes from another AS with the community graceful-shutdown get LOCAL_PREF 0, after the import policy (RFC 8326).",
  ).prefault(true),
};
