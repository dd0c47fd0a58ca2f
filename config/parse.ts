// Plain values -> parsed sections. Every entry is parsed by itself, so that a fault in one peer does not hide what is
// wrong with another one, or between two others.
import type * as z from "zod";
import { problemsOf } from "./issues.ts";
import { inheritGroups } from "./peer-groups.ts";
import type { ConfigProblem } from "./problem.ts";
import { isMap, quote, Refusal } from "./scalar.ts";
import { name as nameScalar } from "./scalars.ts";
import { sets } from "./schema/policy.ts";
import { maps, type Parsed, schema, sections } from "./schema.ts";
import type { Path, Source } from "./source.ts";

export interface ParseResult {
  readonly parsed: Parsed;
  /** Names as written, of entries with faults too: a reference to one of these is not unknown. */
  readonly names: { readonly [K in keyof typeof maps]: readonly string[] };
  readonly problems: ConfigProblem[];
}

const defaultTables = { fabric: { id: 7100 } };

export function parseSections(source: Source, top: Record<string, unknown>): ParseResult {
  const problems: ConfigProblem[] = [];
  const known = Object.keys(schema.shape);
  const unknown = Object.keys(top).filter((key) => !known.includes(key));
  if (unknown.length > 0)
    problems.push(
      ...problemsOf(source, schema, top, [], [{ code: "unrecognized_keys", keys: unknown, path: [], message: "" }]),
    );

  const inherited = inheritGroups(source, top, Object.keys(maps.peers.shape));
  problems.push(...inherited.problems);
  const parseOne = <T>(type: z.ZodType<T>, value: unknown, path: Path): T | null => {
    const result = type.safeParse(value);
    if (result.success) return result.data;
    const found = problemsOf(source, type, value, path, result.error.issues);
    // What is missing may be in a group that is missing itself.
    problems.push(...found.filter(({ message }) => message !== "is missing" || !inherited.orphans.has(value)));
    return null;
  };
  const parseMap = <T>(
    key: keyof typeof maps,
    type: z.ZodType<T>,
    merged: Record<string, unknown> | null = null,
  ): [Map<string, T>, string[]] => {
    const entries = new Map<string, T>();
    const value = top[key] ?? (key === "tables" ? defaultTables : {});
    if (!isMap(value)) {
      const hint = "write one entry per name, indented, below it";
      problems.push(source.problem([key], `${quote(value)} is not a map`, hint));
      return [entries, []];
    }
    const names = Object.keys(value);
    for (const name of names) {
      const refusal = nameScalar.parse(name);
      if (refusal instanceof Refusal) problems.push(source.problem([key, name], refusal.message, refusal.hint, "key"));
      const written = (merged ?? value)[name] ?? (key === "policies" || key in sets ? [] : {});
      const entry = parseOne(type, written, [key, name]);
      if (entry !== null) entries.set(name, entry);
    }
    return [entries, names];
  };

  const [pools, poolNames] = parseMap("pools", maps.pools);
  const [tables, tableNames] = parseMap("tables", maps.tables);
  const [peerGroups, peerGroupNames] = parseMap("peerGroups", maps.peerGroups, inherited.groups);
  const [peers, peerNames] = parseMap("peers", maps.peers, inherited.peers);
  const [policies, policyNames] = parseMap("policies", maps.policies);
  const [prefixSets, prefixSetNames] = parseMap("prefixSets", maps.prefixSets);
  const [communitySets, communitySetNames] = parseMap("communitySets", maps.communitySets);
  const [extendedCommunitySets, extendedNames] = parseMap("extendedCommunitySets", maps.extendedCommunitySets);
  const [largeCommunitySets, largeNames] = parseMap("largeCommunitySets", maps.largeCommunitySets);
  const [asPathSets, asPathSetNames] = parseMap("asPathSets", maps.asPathSets);
  const section = <K extends keyof typeof sections>(key: K): Parsed[K] => {
    if (key === "etcd" && (top[key] ?? null) === null) return null;
    const value = top[key] ?? (key === "node" ? undefined : {});
    return parseOne(sections[key] as unknown as z.ZodType<NonNullable<Parsed[K]>>, value, [key]);
  };
  return {
    parsed: {
      pools,
      tables,
      peerGroups,
      peers,
      policies,
      prefixSets,
      communitySets,
      extendedCommunitySets,
      largeCommunitySets,
      asPathSets,
      node: section("node"),
      etcd: section("etcd"),
      routing: section("routing"),
      bgp: section("bgp"),
      monitoring: section("monitoring"),
      cni: section("cni"),
      drain: section("drain"),
      api: section("api"),
      paths: section("paths"),
      history: section("history"),
      log: section("log"),
    },
    names: {
      pools: poolNames,
      tables: tableNames,
      peerGroups: peerGroupNames,
      peers: peerNames,
      policies: policyNames,
      prefixSets: prefixSetNames,
      communitySets: communitySetNames,
      extendedCommunitySets: extendedNames,
      largeCommunitySets: largeNames,
      asPathSets: asPathSetNames,
    },
    problems,
  };
}
