// Two configurations -> what is different, key by key, and what that does to a running daemon. They are compared as they
// are after loading: a default written out, or another order of keys, is no difference.
import { isDeepStrictEqual } from "node:util";
import type { SpeakerGroup, SpeakerPeer } from "../bgp/speaker-types.ts";
import { formatAddress } from "../net/address.ts";
import { formatPrefix, type Prefix } from "../net/prefix.ts";
import {
  fileKeys,
  groupImpact,
  type Impact,
  type PeerImpact,
  peerImpact,
  sectionImpact,
  stronger,
  tableImpact,
} from "./impact.ts";
import type { Config, TableConfig } from "./types.ts";

export interface ConfigChange {
  readonly kind: "added" | "removed" | "changed";
  /** Keys from the top, as in the file: `peers.tor-a.holdTime`. */
  readonly path: string;
  readonly impact: Impact;
  /** In words, null: not there. Secrets are not shown. */
  readonly from: string | null;
  readonly to: string | null;
}

/** `entry` is as it is to be (what is equal being the very objects of before), or as it was. */
export interface EntryChange<T> {
  readonly kind: ConfigChange["kind"];
  readonly entry: T;
  readonly impact: PeerImpact;
}

export interface ConfigDiff {
  readonly changes: readonly ConfigChange[];
  /** Those that are different. */
  readonly peers: readonly EntryChange<SpeakerPeer>[];
  readonly peerGroups: readonly EntryChange<SpeakerGroup>[];
  /** The strongest of all; null: nothing is different. */
  readonly impact: Impact | null;
}

type Section = keyof typeof sectionImpact;

export function diffConfig(before: Config, after: Config): ConfigDiff {
  const changes: ConfigChange[] = (Object.keys(sectionImpact) as Section[]).flatMap((section) =>
    diffSection(section, before[section], after[section]),
  );
  const peers = diffEntries("peers", peerImpact, before.peers, after.peers, changes);
  const ofGroup: Readonly<Record<string, PeerImpact>> = { ...peerImpact, ...groupImpact };
  const peerGroups = diffEntries("peerGroups", ofGroup, before.peerGroups, after.peerGroups, changes);
  const impact = changes.length === 0 ? null : changes.map((change) => change.impact).reduce(stronger);
  return { changes, peers, peerGroups, impact };
}

/** What is different goes into `changes`, too. */
function diffEntries<T extends Named>(
  section: "peers" | "peerGroups",
  impacts: Readonly<Record<string, PeerImpact>>,
  before: readonly T[],
  after: readonly T[],
  changes: ConfigChange[],
): EntryChange<T>[] {
  const entries: EntryChange<T>[] = [];
  for (const [name, old, now] of pairs(before, after)) {
    const path = `${section}.${name}`;
    if (!old || !now) {
      const kind = old ? "removed" : "added";
      changes.push({ kind, path, impact: "live", from: null, to: null });
      entries.push({ kind, entry: (now ?? old) as T, impact: "live" });
      continue;
    }
    const values = (entry: T) => entry as Readonly<Record<string, unknown>>;
    const keys = Object.keys(impacts).filter((key) => !isDeepStrictEqual(values(old)[key], values(now)[key]));
    if (keys.length === 0) continue;
    // A key that takes the place of another one is changed on the live connection.
    const rekeyed = values(old)["password"] !== null && values(now)["password"] !== null;
    const impactOf = (key: string): PeerImpact => (key === "password" && rekeyed ? "live" : impacts[key]);
    for (const key of keys)
      changes.push(changed(`${path}.${fileKeys[key] ?? key}`, impactOf(key), values(old)[key], values(now)[key]));
    const kept = Object.fromEntries(Object.entries(old).filter(([key]) => !keys.includes(key)));
    const impact = keys.map(impactOf).reduce(stronger);
    entries.push({ kind: "changed", entry: { ...now, ...kept }, impact });
  }
  return entries;
}

function diffSection(section: Section, before: unknown, after: unknown): ConfigChange[] {
  const impact = sectionImpact[section];
  const ofTable: Readonly<Record<string, Impact>> = tableImpact;
  const impactOf = (key: string) => (section === "tables" ? ofTable[key] : impact);
  if (isDeepStrictEqual(before, after)) return [];
  if (Array.isArray(before) && Array.isArray(after)) {
    return pairs(before, after).flatMap(([name, old, now]) => {
      const path = `${section}.${name}`;
      // A policy can be long: that it is another one says enough.
      if (section === "policies" && old && now)
        return isDeepStrictEqual(old, now) ? [] : { kind: "changed", path, impact, from: null, to: null };
      if (old && now) return diffKeys(path, impactOf, old, now);
      const renamed =
        section === "tables" && [before, after].every((tables) => hasTable(tables, (now ?? old) as Named));
      return { kind: old ? "removed" : "added", path, impact: renamed ? "restart" : impact, from: null, to: null };
    });
  }
  if (before === null || after === null)
    return [{ kind: before === null ? "added" : "removed", path: section, impact, from: null, to: null }];
  return diffKeys(section, impactOf, before as object, after as object);
}

/** Whether there is a table with the same id, under whatever name. */
function hasTable(tables: readonly unknown[], table: Named): boolean {
  const { id } = table as TableConfig;
  return (tables as readonly TableConfig[]).some((other) => other.id === id);
}

function diffKeys(path: string, impactOf: (key: string) => Impact, before: object, after: object): ConfigChange[] {
  const old = before as Record<string, unknown>;
  const now = after as Record<string, unknown>;
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .filter((key) => !isDeepStrictEqual(old[key], now[key]))
    .map((key) => changed(`${path}.${fileKeys[key] ?? key}`, impactOf(key), old[key], now[key]));
}

function changed(path: string, impact: Impact, from: unknown, to: unknown): ConfigChange {
  const secret = /assword(s|\.accept)?$/.test(path);
  const text = (value: unknown) => (secret && value !== null ? "a secret" : describe(value));
  return { kind: "changed", path, impact, from: text(from), to: text(to) };
}

function describe(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (isPrefix(value)) return formatPrefix(value);
  if (value instanceof Uint8Array) return value.length === 4 || value.length === 16 ? formatAddress(value) : "bytes";
  if (Array.isArray(value)) return value.map(describe).join(", ");
  if (typeof value !== "object") return String(value);
  if ("name" in value && typeof value.name === "string") return value.name;
  return Object.entries(value)
    .map(([key, entry]) => `${key}: ${describe(entry)}`)
    .join(", ");
}

function isPrefix(value: unknown): value is Prefix {
  return typeof value === "object" && value !== null && "family" in value && "bytes" in value;
}

interface Named {
  readonly name: string;
}

/** By name, in the order of the second list, what is gone at the end. */
function pairs<T extends Named>(before: readonly T[], after: readonly T[]): [string, T | null, T | null][] {
  const old = new Map(before.map((entry) => [entry.name, entry]));
  const now = new Set(after.map(({ name }) => name));
  return [
    ...after.map((entry): [string, T | null, T | null] => [entry.name, old.get(entry.name) ?? null, entry]),
    ...before
      .filter(({ name }) => !now.has(name))
      .map((entry): [string, T | null, T | null] => [entry.name, entry, null]),
  ];
}
