// Finds the update group of a peer, makes it when it is the first of its kind, drops it with its last member.
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { AttributeStore } from "../attribute-store.ts";
import { CompiledPolicy } from "../policy/compile.ts";
import { policyKey } from "../policy/key.ts";
import type { RouteRules } from "../route-rules.ts";
import type { Negotiated } from "../session/types.ts";
import type { SpeakerPeer } from "../speaker-types.ts";
import type { GroupFacts } from "./export-form.ts";
import type { OutgoingSets } from "./outgoing-sets.ts";
import type { OwnNextHop } from "./own-next-hop.ts";
import { type ExportProblem, UpdateGroup } from "./update-group.ts";

/** A peer's configuration, as far as it says how routes go out. */
export type ExportingPeer = Pick<SpeakerPeer, "name" | "export" | "role" | "gracefulRestart"> & RouteRules;
type ExportingSession = Pick<
  Negotiated,
  "ebgp" | "as4" | "localAsn" | "remoteAsn" | "extendedNextHop" | "maxMessage" | "gracefulRestart"
>;

/** Of the node. */
export interface ExportingSpeaker {
  readonly asn: number;
  readonly clusterId: number;
}

interface Member {
  readonly key: string;
  readonly group: UpdateGroup;
  members: number;
}

/** Of the Loc-RIB that is announced. */
interface Table {
  readonly table: number;
  readonly prefixes: PrefixTable;
}

export class UpdateGroups {
  readonly #store: AttributeStore;
  readonly #sets: OutgoingSets;
  readonly #speaker: ExportingSpeaker;
  readonly #problem: (peer: string, prefixes: PrefixTable, problem: ExportProblem) => void;
  readonly #groups = new Map<string, Member>();
  readonly #byGroup = new Map<UpdateGroup, Member>();

  /** `problem` is called once per group and kind, with the first peer that met it. */
  constructor(
    store: AttributeStore,
    sets: OutgoingSets,
    speaker: ExportingSpeaker,
    problem: (peer: string, prefixes: PrefixTable, problem: ExportProblem) => void,
  ) {
    this.#store = store;
    this.#sets = sets;
    this.#speaker = speaker;
    this.#problem = problem;
  }

  get size(): number {
    return this.#groups.size;
  }

  join(peer: ExportingPeer, session: ExportingSession, own: OwnNextHop, { table, prefixes }: Table): UpdateGroup {
    const facts = groupFacts(peer, session, own, this.#speaker);
    const key = `${policyKey(peer.export)} ${table} ${prefixes.family} ${Object.values(facts).join(" ")}`;
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
}

function longLivedOf(
  { gracefulRestart }: ExportingPeer,
  { ebgp, gracefulRestart: theirs }: ExportingSession,
): GroupFacts["longLived"] {
  if (theirs?.takesLongLived) return "send";
  return gracefulRestart?.partialDeployment && !ebgp ? "last resort" : "withhold";
}

/** With nothing in it that makes no difference, so that groups stay few. */
function groupFacts(
  rules: ExportingPeer,
  session: ExportingSession,
  own: OwnNextHop,
  { asn, clusterId }: ExportingSpeaker,
): GroupFacts {
  const { ebgp, as4, localAsn, remoteAsn, extendedNextHop, maxMessage } = session;
  const { removePrivateAs: removal, role } = rules;
  return {
    ebgp,
    as4,
    localAsn,
    extendedNextHop,
    maxMessage,
    self: own.form,
    longLived: longLivedOf(rules, session),
    nodeAsn: localAsn === asn || rules.hideNodeAsn ? 0 : asn,
    remoteAsn: ebgp && (rules.asOverride || removal) ? remoteAsn : 0,
    asOverride: rules.asOverride,
    removePrivateAs: removal ? (removal.all ? "all" : "only") : "no",
    replacePrivateAs: removal?.replace ?? false,
    nextHopSelf: rules.nextHopSelf,
    reflectorClient: rules.routeReflectorClient,
    clusterId: ebgp ? 0 : clusterId,
    role: (ebgp ? role : null) ?? -1,
    gracefulShutdown: rules.gracefulShutdown,
  };
}

/** Another form of what goes out, with the same policy. */
export function sendsOtherwise(peer: ExportingPeer, before: ExportingPeer): boolean {
  const form = (rules: ExportingPeer) => [
    rules.hideNodeAsn,
    rules.asOverride,
    rules.removePrivateAs?.all,
    rules.removePrivateAs?.replace,
    rules.nextHopSelf,
    rules.gracefulShutdown,
  ];
  const old = form(before);
  return form(peer).some((value, index) => value !== old[index]);
}
