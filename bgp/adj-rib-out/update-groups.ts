// Finds the update group of a peer, makes it when it is the first of its kind, drops it with its last member.
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { AttributeStore } from "../attribute-store.ts";
import { CompiledPolicy } from "../policy/compile.ts";
import type { ExportPolicy } from "../policy/types.ts";
import type { OutgoingSets } from "./outgoing-sets.ts";
import type { OwnNextHop } from "./own-next-hop.ts";
import { type ExportProblem, type GroupFacts, UpdateGroup } from "./update-group.ts";

interface Member {
  readonly key: string;
  readonly group: UpdateGroup;
  members: number;
}

/** Of the peer's configuration. */
interface GroupPeer {
  readonly name: string;
  readonly export: ExportPolicy;
  readonly gracefulRestart: { readonly partialDeployment: boolean } | null;
}

/** Of what is negotiated. */
interface SessionFacts extends Omit<GroupFacts, "self" | "longLived"> {
  readonly gracefulRestart: { readonly takesLongLived: boolean } | null;
}

/** Of the Loc-RIB that is announced. */
interface Table {
  readonly table: number;
  readonly prefixes: PrefixTable;
}

export class UpdateGroups {
  readonly #store: AttributeStore;
  readonly #sets: OutgoingSets;
  readonly #problem: (peer: string, prefixes: PrefixTable, problem: ExportProblem) => void;
  readonly #groups = new Map<string, Member>();
  readonly #byGroup = new Map<UpdateGroup, Member>();
  /** Policies are told apart by identity. */
  readonly #policyIds = new WeakMap<object, number>();
  #nextPolicy = 1;

  /** `problem` is called once per group and kind, with the first peer that met it. */
  constructor(
    store: AttributeStore,
    sets: OutgoingSets,
    problem: (peer: string, prefixes: PrefixTable, problem: ExportProblem) => void,
  ) {
    this.#store = store;
    this.#sets = sets;
    this.#problem = problem;
  }

  get size(): number {
    return this.#groups.size;
  }

  join(peer: GroupPeer, session: SessionFacts, own: OwnNextHop, { table, prefixes }: Table): UpdateGroup {
    const { ebgp, as4, localAsn, extendedNextHop, maxMessage } = session;
    const longLived = longLivedOf(peer, session);
    const facts: GroupFacts = { ebgp, as4, localAsn, extendedNextHop, maxMessage, self: own.form, longLived };
    const key = `${this.#policyKey(peer.export)} ${table} ${prefixes.family} ${Object.values(facts).join(" ")}`;
    let member = this.#groups.get(key);
    if (!member) {
      const reported = new Set<ExportProblem>();
      const group = new UpdateGroup(
        facts,
        new CompiledPolicy(peer.export),
        prefixes,
        this.#store,
        this.#sets,
        (problem) => {
          if (reported.has(problem)) return;
          reported.add(problem);
          this.#problem(peer.name, prefixes, problem);
        },
      );
      member = { key, group, members: 0 };
      this.#groups.set(key, member);
      this.#byGroup.set(group, member);
    }
    member.members++;
    return member.group;
  }

  leave(group: UpdateGroup): void {
    const member = this.#byGroup.get(group);
    if (!member || --member.members > 0) return;
    this.#groups.delete(member.key);
    this.#byGroup.delete(group);
    group.close();
  }

  #policyKey(policy: ExportPolicy): string {
    if (typeof policy === "string") return policy;
    let id = this.#policyIds.get(policy);
    if (id === undefined) {
      id = this.#nextPolicy++;
      this.#policyIds.set(policy, id);
    }
    return `#${id}`;
  }
}

function longLivedOf(
  { gracefulRestart }: GroupPeer,
  { ebgp, gracefulRestart: theirs }: SessionFacts,
): GroupFacts["longLived"] {
  if (theirs?.takesLongLived) return "send";
  return gracefulRestart?.partialDeployment && !ebgp ? "last resort" : "withhold";
}
