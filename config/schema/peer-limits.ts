// Keys of a peer that limit how many prefixes come and go.
import * as z from "zod";
import { seconds } from "../durations.ts";
import { integer, one, word } from "../scalar.ts";
import * as s from "../scalars.ts";
import { otherwise } from "./common.ts";

const count = integer("number", 1, s.MAX_U32);

const limits = {
  limit: one(count, "Of both families together.").optional(),
  ipv4: one(count, "IPv4 prefixes.").optional(),
  ipv6: one(count, "IPv6 prefixes.").optional(),
  restartAfter: one(seconds(1, 86_400), "When the session may come back after it was ended.")
    .optional()
    .meta(otherwise("when somebody says `underlayctl reset PEER`, or the peer's configuration changes")),
};

const maxPrefixes = z.strictObject({
  ...limits,
  warnAt: one(integer("percent", 1, 100), "From this share of a limit on, in percent, it is logged.").prefault(75),
  action: one(
    word({ close: "close" as const, warn: "warn" as const, drop: "drop" as const }),
    "Beyond a limit: end the session (Cease/1, RFC 4486); only log it; or take no further prefixes, and leave the session as it is.",
  ).prefault("close"),
});

export const limitKeys = {
  maxPrefixes: z
    .union([maxPrefixes, one(count, "")])
    .optional()
    .meta({ title: "number, or map" })
    .describe(
      "Most prefixes that the neighbour may announce, before any policy. A number is the limit for both families together. Without it there is no limit.",
    ),
  maxPrefixesOut: z
    .union([z.strictObject(limits), one(count, "")])
    .optional()
    .meta({ title: "number, or map" })
    .describe(
      "Most prefixes that are announced to the neighbour: a node that would leak more ends the session instead (Cease/1).",
    ),
};
