// Two configurations -> what is different, key by key, and what that does to a running daemon. They are compared as they
// are after loading: a default written out, or another order of keys, is no difference.
import { isDeepStrictEqual } from "node:util";
import type { SpeakerPeer } from "../bgp/speaker-types.ts";
import { formatAddress } from "../net/address.ts";
import { fileKeys, type Impact, type PeerImpact, peerImpact, sectionImpact, stronger } from "./impact.ts";
import type { Config } from "./types.ts";

export interface ConfigChange {
  readonly kind: "added" | "removed" | "changed";
  /** Keys from the top, as in the file: `peers.tor-a.holdTime`. */
  readonly path: string;
  readonly impact: Impact;
  /** In words, null: not there. Secrets are not shown. */
  readonly from: string | null;
  readonly to: string | null;
}

export interface PeerChange {
  readonly kind: ConfigChange["kind"];
  readonly peer: SpeakerPeer;
  readonly impact: PeerImpact;
}

export interface ConfigDiff {
  readonly changes: readonly ConfigChange[];
  /** The peers that are different, `peer` as it is to be (what is equal being the very objects of before), or as it was. */
  readonly peers: readonly PeerChange[];
  /** The strongest of all; null: nothing is different. */
  readonly impact: Impact | null;
}

type Section = keyof typeof sectionImpact;
type PeerKey = keyof typeof peerImpact;

export function diffConfig(before: Config, after: Config): ConfigDiff {
  const sections = (Object.keys(sectionImpact) as Section[]).flatMap((section) =>
    diffSection(section, before[section], after[section]),
  );
  const peers: PeerChange[] = [];
  const changes: ConfigChange[] = [...sections];
  for (const [name, old, peer] of pairs(before.peers, after.peers)) {
    const path = `peers.${name}`;
    if (!old || !peer) {
      const kind = old ? "removed" : "added";
      changes.push({ kind, path, impact: "live", from: null, to: null });
      peers.push({ kind, peer: (peer ?? old) as SpeakerPeer, impact: "live" });
      continue;
    }
    const keys = (Object.keys(peerImpact) as PeerKey[]).filter((key) => !isDeepStrictEqual(old[key], peer[key]));
    if (keys.length === 0) continue;
    for (const key of keys)
      changes.push(changed(`${path}.${fileKeys[key] ?? key}`, peerImpact[key], old[key], peer[key]));
    const kept = Object.fromEntries(Object.entries(old).filter(([key]) => !keys.includes(key as PeerKey)));
    const impact = keys.map((key) => peerImpact[key]).reduce(stronger);
    peers.push({ kind: "changed", peer: { ...peer, ...kept }, impact });
  }
  const impact = changes.length === 0 ? null : changes.map((change) => change.impact).reduce(stronger);
  return { changes, peers, impact };
}

function diffSection(section: Section, before: unknown, after: unknown): ConfigChange[] {
  const impact = sectionImpact[section];
  if (isDeepStrictEqual(before, after)) return [];
  if (Array.isArray(before) && Array.isArray(after)) {
    return pairs(before, after).flatMap(([name, old, now]) => {
      const path = `${section}.${name}`;
      // A policy can be long: that it is another one says enough.
      if (section === "policies" && old && now)
        return isDeepStrictEqual(old, now) ? [] : { kind: "changed", path, impact, from: null, to: null };
      if (old && now) return diffKeys(path, impact, old, now);
      return { kind: old ? "removed" : "added", path, impact, from: null, to: null };
    });
  }
  return diffKeys(section, impact, before as object, after as object);
}

function diffKeys(path: string, impact: Impact, before: object, after: object): ConfigChange[] {
  const old = before as Record<string, unknown>;
  const now = after as Record<string, unknown>;
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .filter((key) => !isDeepStrictEqual(old[key], now[key]))
    .map((key) => changed(`${path}.${key}`, impact, old[key], now[key]));
}

function changed(path: string, impact: Impact, from: unknown, to: unknown): ConfigChange {
  const secret = path.endsWith(".password");
  const text = (value: unknown) => (secret && value !== null ? "a secret" : describe(value));
  return { kind: "changed", path, impact, from: text(from), to: text(to) };
}

function describe(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array) return value.length === 4 || value.length === 16 ? formatAddress(value) : "bytes";
  if (Array.isArray(value)) return value.map(describe).join(", ");
  if (typeof value !== "object") return String(value);
  if ("name" in value && typeof value.name === "string") return value.name;
  return Object.entries(value)
    .map(([key, entry]) => `${key}: ${describe(entry)}`)
    .join(", ");
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
