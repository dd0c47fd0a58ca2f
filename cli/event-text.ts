// Events in words, one line each: for `watch` as they happen, for `history` as they are on record. An event that this does
// not know shows its fields.
import type { WatchEvent } from "../daemon/api/events.ts";
import { mebibytes, plain } from "./output.ts";

type Fields = Readonly<Record<string, unknown>>;

const hidden: ReadonlySet<string> = new Set(["time", "type", "seq", "up"]);
const done: Readonly<Record<string, string>> = { add: "added", replace: "replaced", delete: "deleted", set: "set" };
/** Changes that one line names. */
const NAMED = 4;

/** Without time and type. */
export function eventText(event: Omit<WatchEvent, "type"> & { readonly type: string }): string {
  try {
    const text = Object.hasOwn(texts, event.type) ? texts[event.type](event) : null;
    return text === null ? fieldsText(event) : plain(text);
  } catch {
    // Of another version, with other fields.
    return fieldsText(event);
  }
}

const texts: Readonly<Record<string, (event: Fields) => string | null>> = {
  session,
  bfd: ({ peer, from, to, reason }) => `${peer}: ${from} -> ${to}${because(reason)}`,
  route,
  kernel,
  pod: ({ kind, pod }) => {
    const { pod: name, containerId, addresses, hostInterface } = pod as Record<string, unknown>;
    const who = name ?? `container ${String(containerId).slice(0, 12)}`;
    return `${kind} ${who}: ${(addresses as string[]).join(", ")} on ${hostInterface}`;
  },
  block: ({ prefix, pool, state, reason }) => `${prefix} of pool ${pool} is ${state}${because(reason)}`,
  pool: ({ pool, family, level, used, free }) =>
    `${pool}: ${level === "fine" ? "has room again" : level === "filling" ? "nearly exhausted" : "exhausted"} for IPv${family} (${used} in use, ${free} free)`,
  cni: ({ verb, containerId, ifname, error, milliseconds }) => {
    const what = [verb, containerId && String(containerId).slice(0, 12), ifname].filter(Boolean).join(" ");
    return `${what}: ${error === null ? "done" : `refused: ${error}`} (${milliseconds} ms)`;
  },
  config,
  api: ({ request, pid, error }) => `POST ${request}${pid === null ? "" : ` by process ${pid}`}${because(error)}`,
  problem: ({ kind, problem }) => `${kind}: ${problem}`,
  daemon: ({ kind, message }) => `${kind}: ${message}`,
  resources,
  recorder: ({ message, kind, of, count }) =>
    message !== undefined
      ? String(message)
      : kind === "leftOut"
        ? `${count} more events of type ${of} are left out`
        : null,
  resync: ({ dropped }) => `${dropped} events were left out for this slow reader`,
  segment: ({ version, pid }) => `underlayd ${version}, process ${pid}`,
};

function because(reason: unknown): string {
  return reason === null || reason === undefined || reason === "" ? "" : `: ${reason}`;
}

function session(event: Fields): string | null {
  const { kind, peer, from, to, reason, direction, family, prefixes, text, code, subcode } = event;
  if (kind === "notification") return `${peer}: ${direction} NOTIFICATION ${text} (${code}/${subcode})`;
  if (kind === "endOfRib") return `${peer}: ${direction} End-of-RIB for IPv${family} after ${prefixes} prefixes`;
  if (from === undefined || to === undefined) return null;
  const counts = prefixes as Record<string, number> | undefined;
  const counted =
    counts === undefined || to === "Established"
      ? ""
      : ` (${counts["received"]} prefixes received, ${counts["accepted"]} accepted, ${counts["advertised"]} advertised)`;
  return `${peer}: ${from} -> ${to}${because(reason)}${counted}`;
}

interface RouteChange {
  readonly prefix: string;
  readonly peer: string | null;
  readonly nextHops: readonly string[];
}

function route({ table, family, count, changes }: Fields): string {
  const named = (changes as RouteChange[]).slice(0, NAMED).map(({ prefix, peer, nextHops }) => {
    const via = nextHops.length > 0 ? ` via ${nextHops.join(", ")}` : "";
    return peer === null ? `${prefix} withdrawn` : `${prefix} from ${peer}${via}`;
  });
  const more = (count as number) - named.length;
  if (more > 0) named.push(named.length > 0 ? `${more} more` : `${more}, not named`);
  return `best routes in table ${table}, IPv${family}: ${named.join("; ")}`;
}

function kernel(event: Fields): string | null {
  const { kind, message, error, operation, count } = event;
  if (kind !== "operation" && kind !== "operations") return message === undefined ? null : String(message);
  const what = kind === "operation" ? objectText(event) : summaryText(event);
  if (what === null) return null;
  if (error === undefined) return `${done[String(operation)]} ${what}`;
  return `${operation} ${what} ${count === undefined ? "was" : "were"} refused: ${error}`;
}

function objectText(event: Fields): string | null {
  const { object, family, rule, id, gateway, members, name, value, prefix, netns } = event;
  const on = event["interface"] === undefined ? "" : ` on ${event["interface"]}`;
  const inside = netns === undefined ? "" : ` in ${netns}`;
  switch (object) {
    case "route":
      return `${routeText(event)}${inside}`;
    case "rule":
      return `IPv${family} rule ${rule}`;
    case "nexthop":
      return `nexthop ${id}${gateway === undefined ? "" : ` ${gateway} dev ${event["interface"]}`}`;
    case "group":
      return `nexthop group ${id}${members === undefined ? "" : `: ${(members as string[]).join(", ")}`}`;
    case "link":
      return `link ${name}${value === undefined ? "" : ` (${value})`}${inside}`;
    case "address":
      return `address ${prefix}${on}${inside}`;
    case "neighbour":
      return `neighbour ${prefix}${on}${value === undefined ? "" : ` (${value})`}${inside}`;
    case "sysctl":
      return `${name}=${value}${inside}`;
    default:
      return null;
  }
}

function routeText(event: Fields): string {
  const { prefix, table, routeType, nextHop, gateway } = event;
  const via = nextHop === undefined ? "" : ` via nexthop ${nextHop}`;
  const by = gateway === undefined ? "" : ` via ${gateway}`;
  const dev = event["interface"] === undefined ? "" : ` dev ${event["interface"]}`;
  return `${routeType ?? "route"} ${prefix} in table ${table}${via}${by}${dev}`;
}

function summaryText({ object, count, table, nextHop, lowest, highest, milliseconds }: Fields): string {
  const within = table === undefined ? "" : ` in table ${table}`;
  const via = nextHop === undefined ? "" : ` via nexthop ${nextHop}`;
  const between = lowest === undefined ? "" : `, between ${lowest} and ${highest}`;
  const seconds = ((milliseconds as number) / 1000).toFixed(1);
  return `${count} ${object}s${within}${via} in ${seconds} s${between}`;
}

function config({ kind, file, impact, changes, error }: Fields): string {
  if (kind === "refused") return `${file} was refused: ${error}`;
  const list = changes as { path: string; kind: string; from?: unknown; to?: unknown }[];
  if (list.length === 0) return `${file} was read again, nothing has changed`;
  const named = list
    .slice(0, NAMED)
    .map(({ path, kind, from, to }) => (kind === "changed" ? `${path} ${from} -> ${to}` : `${path} ${kind}`));
  if (list.length > NAMED) named.push(`${list.length - NAMED} more`);
  return `${file} was read again (${impact}): ${named.join("; ")}`;
}

function resources(event: Fields): string {
  const { rss, eventLoopDelay, sessions, kernel, pods } = event as Record<string, Record<string, number> & number>;
  return [
    `${mebibytes(rss)} resident`,
    `event loop late by ${eventLoopDelay["p50"]} ms (median), ${eventLoopDelay["p99"]} ms (p99), ${eventLoopDelay["max"]} ms (worst)`,
    `${sessions["established"]} of ${sessions["configured"]} sessions Established`,
    `${kernel["installed"]} of ${kernel["desired"]} routes installed`,
    `${pods} pods`,
  ].join(", ");
}

function fieldsText(event: Fields): string {
  return Object.entries(event)
    .filter(([key, value]) => !hidden.has(key) && value !== undefined && value !== null)
    .map(([key, value]) => `${key}=${fieldText(value)}`)
    .join("  ");
}

function fieldText(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return plain(typeof value === "string" && /[\s="]/.test(text) ? JSON.stringify(text) : text);
}
