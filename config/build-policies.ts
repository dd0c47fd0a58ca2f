// Parsed policies and sets -> policies as bgp/policy takes them: names become the objects they stand for, one object per
// name, so that a set of thousands is compiled once.
// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
import type {
  CommunityChanges,
  Elements,
  NamedSet,
  Policy,
  PolicyChain,
  PolicyElement,
  PolicyMatch,
  PolicySet,
  PolicyStatement,
} from "../bgp/policy/types.ts";
import type { OriginatedAttributes } from "../bgp/speaker-types.ts";
import { builtIns } from "./built-in-policies.ts";
import { type AnyCommunity, type AnyCommunityPattern, Reference } from "./community-scalars.ts";
import { membersOf, OWN_ROUTES } from "./peer-groups.ts";
import type { Parsed, ParsedStatement } from "./schema.ts";

type SetKind = "prefixSets" | "communitySets" | "extendedCommunitySets" | "largeCommunitySets" | "asPathSets";
type InFile = Pick<Parsed, SetKind | "policies" | "tables" | "peers" | "peerGroups">;

interface ParsedChange {
  readonly replace?: readonly unknown[];
  readonly remove?: readonly unknown[];
  readonly add?: readonly unknown[];
}

export class PolicyBuilder {
  readonly #parsed: InFile;
  readonly #ownAsn: number;
  readonly #policies = new Map<string, Policy>();
  readonly #sets = new Map<string, NamedSet<unknown>>();

  /** Everything in it has been checked: names exist, and no policy leads to itself. */
  constructor(parsed: InFile, ownAsn: number) {
    this.#parsed = parsed;
    this.#ownAsn = ownAsn;
  }

  /** Every policy of the file. */
  all(): Policy[] {
    return [...this.#parsed.policies.keys()].map((name) => this.#policy(name));
  }

  element(name: string): PolicyElement {
    return builtIns.includes(name) ? (name as PolicyElement) : this.#policy(name);
  }

  /** One name is that policy itself. */
  chain(names: readonly string[], onAccept: PolicySet = {}): PolicyElement | PolicyChain {
    const elements = names.map((name) => this.element(name));
    if (elements.length === 1 && Object.keys(onAccept).length === 0) return elements[0];
    return { name: names.join(", "), chain: elements, onAccept };
  }

  #policy(name: string): Policy {
    let policy = this.#policies.get(name);
    if (!policy) {
      const statements = this.#parsed.policies.get(name) ?? [];
      policy = { name, statements: statements.map((statement) => this.#statement(statement)) };
      this.#policies.set(name, policy);
    }
    return policy;
  }

  #statement({ match, set, apply, then }: ParsedStatement): PolicyStatement {
    return {
      match: this.#match(match),
      set: this.#set(set),
      ...(apply && { apply: apply.map((name) => this.element(name)) }),
      then: then ?? "next",
    };
  }

  #match({ not, ...conditions }: ParsedStatement["match"]): PolicyMatch {
    return given({ ...this.#conditions(conditions), not: not && this.#conditions(not) });
  }

  #conditions(match: Omit<ParsedStatement["match"], "not">): PolicyMatch {
    return given({
      ...match,
      prefix: match.prefix && this.#elements("prefixSets", match.prefix),
      nextHop: match.nextHop && this.#elements("prefixSets", match.nextHop),
      peer: match.peer?.map((name) => this.#peerOrGroup(name)),
      community: match.community && this.#lists("communitySets", match.community),
      extendedCommunity: match.extendedCommunity && this.#lists("extendedCommunitySets", match.extendedCommunity),
      largeCommunity: match.largeCommunity && this.#lists("largeCommunitySets", match.largeCommunity),
      asPath: match.asPath && this.#elements("asPathSets", match.asPath),
      policy: match.policy?.map((name) => this.element(name)),
    }) as PolicyMatch;
  }

  #set(set: ParsedStatement["set"]): PolicySet {
    return given({
      ...set,
      prepend: typeof set.prepend === "number" ? new Array<number>(set.prepend).fill(this.#ownAsn) : set.prepend,
      removeAs: set.removeAs?.flat(),
      table: set.table === undefined ? undefined : this.#parsed.tables.get(set.table)?.id,
      community: set.community && this.#change("communitySets", set.community),
      extendedCommunity: set.extendedCommunity && this.#change("extendedCommunitySets", set.extendedCommunity),
      largeCommunity: set.largeCommunity && this.#change("largeCommunitySets", set.largeCommunity),
    }) as PolicySet;
  }

  #peerOrGroup(name: string): string | NamedSet<string> {
    const { peers, peerGroups } = this.#parsed;
    if (name === OWN_ROUTES || peers.has(name) || !peerGroups.has(name)) return name;
    const key = `peerGroups ${name}`;
    const set = this.#sets.get(key) ?? { name, values: membersOf(name, this.#parsed) };
    this.#sets.set(key, set);
    return set as NamedSet<string>;
  }

  #change(kind: SetKind, change: ParsedChange): object {
    return given({ ...change, remove: change.remove && this.#elements(kind, change.remove) });
  }

  #lists(kind: SetKind, lists: Readonly<Partial<Record<string, readonly unknown[]>>>): object {
    return Object.fromEntries(Object.entries(lists).map(([key, list]) => [key, this.#elements(kind, list ?? [])]));
  }

  #elements(kind: SetKind, list: readonly unknown[]): Elements<unknown> {
    return list.map((element) => (element instanceof Reference ? this.#named(kind, element.name) : element));
  }

  #named(kind: SetKind, name: string): NamedSet<unknown> {
    const key = `${kind} ${name}`;
    let set = this.#sets.get(key);
    if (!set) {
      set = { name, values: this.#parsed[kind].get(name) ?? [] };
      this.#sets.set(key, set);
    }
    return set;
  }
}

/** Communities of all kinds as the attributes of a route that is originated with them. */
export function originatedAttributes(communities: readonly AnyCommunity[]): OriginatedAttributes {
  const { community, extendedCommunity, largeCommunity } = communityChanges({ add: communities });
  return {
    communities: community?.add ?? [],
    extendedCommunities: extendedCommunity?.add ?? [],
    largeCommunities: largeCommunity?.add ?? [],
  };
}

/** Changes of communities of all kinds, sorted by kind. */
export function communityChanges(change: {
  readonly remove?: readonly AnyCommunityPattern[];
  readonly add?: readonly AnyCommunity[];
}): CommunityChanges {
  const kinds = ["community", "extendedCommunity", "largeCommunity"] as const;
  const entries = kinds.flatMap((kind) => {
    const of = (list: readonly { readonly kind: string; readonly value: unknown }[] = []) =>
      list.filter((entry) => entry.kind === kind).map((entry) => entry.value);
    const [remove, add] = [of(change.remove), of(change.add)];
    if (remove.length + add.length === 0) return [];
    return [[kind, { ...(remove.length > 0 && { remove }), ...(add.length > 0 && { add }) }] as const];
  });
  return Object.fromEntries(entries);
}

/** Without the keys that were not given. */
function given<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as Partial<T>;
}
