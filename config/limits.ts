// maxPrefixes and maxPrefixesOut of a peer: what goes together, and the limits that the speaker goes by.
import type { PrefixCountLimits, PrefixLimits } from "../bgp/prefix-limits.ts";
import type { Check } from "./check.ts";
import type { CommonKeys } from "./check-peers.ts";
import type { ParsedPeer } from "./schema.ts";
import type { Path } from "./source.ts";

export function buildLimits({ maxPrefixes }: Pick<ParsedPeer, "maxPrefixes">): PrefixLimits | null {
  if (maxPrefixes === undefined) return null;
  const { warnAt, action } = typeof maxPrefixes === "number" ? usual : maxPrefixes;
  return { ...counts(maxPrefixes), warnAt, action };
}

export function buildLimitsOut({ maxPrefixesOut }: Pick<ParsedPeer, "maxPrefixesOut">): PrefixCountLimits | null {
  return maxPrefixesOut === undefined ? null : counts(maxPrefixesOut);
}

export function checkLimits(check: Check, at: Path, peer: CommonKeys): void {
  for (const key of ["maxPrefixes", "maxPrefixesOut"] as const) {
    const limits = peer[key];
    if (typeof limits !== "object") continue;
    const path = [...at, key];
    if (limits.limit === undefined && limits.ipv4 === undefined && limits.ipv6 === undefined)
      check.problem(path, "limits nothing", "add limit (both families together), ipv4 or ipv6");
    if ("action" in limits && limits.action !== "close" && limits.restartAfter !== undefined)
      check.problem(
        [...path, "restartAfter"],
        `never comes into play: action ${limits.action} does not end the session`,
        "remove restartAfter, or did you mean action: close?",
      );
  }
}

type Counts = Extract<NonNullable<ParsedPeer["maxPrefixesOut"]>, object>;

const usual = { warnAt: 75, action: "close" } as const;

function counts(limits: number | Counts): PrefixCountLimits {
  if (typeof limits === "number") return { total: limits, ipv4: null, ipv6: null, restartAfter: null };
  const { limit = null, ipv4 = null, ipv6 = null, restartAfter = null } = limits;
  return { total: limit, ipv4, ipv6, restartAfter };
}
