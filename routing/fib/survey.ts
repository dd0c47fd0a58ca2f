// For `underlayctl doctor`: the kernel's own tables, read now, compared with what this worker wants to be there. Nothing
// is changed, and nothing that was believed before is taken for the kernel's word. A route that is being written at this
// very moment may show as a difference: whoever asks looks a second time.
import { formatAddress } from "../../net/address.ts";
import type { ForeignRouteCount, Hazard } from "../hazards.ts";
import { type KernelState, readKernel, Sample, type Sampled } from "../kernel-state.ts";
import type { RouteReader } from "../netlink/route.ts";
import type { Rule } from "../netlink/rule.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { describeRule } from "./rules.ts";
import type { FibState } from "./state.ts";
import { describeRoute, isLearned } from "./static-routes.ts";
import { readOrNull } from "./sysctls.ts";
import { ruleText } from "./views.ts";
import { prefixOf } from "./writer.ts";

export interface LearnedRoute {
  readonly prefix: string;
  readonly table: number;
}

/** Wanted against present, in words where nobody has to reckon with it. */
export interface KernelComparison {
  readonly missingRules: readonly string[];
  /** With our number, and not wanted, or there twice. */
  readonly surplusRules: readonly string[];
  /** Blackholes and last resorts. */
  readonly missingRoutes: readonly (LearnedRoute & { readonly type: number; readonly text: string })[];
  /** With our number in our tables, wanted by nobody. */
  readonly strays: Sampled<LearnedRoute>;
  readonly missing: Sampled<LearnedRoute>;
  /** With another next-hop group than the one wanted. */
  readonly wrong: Sampled<LearnedRoute>;
  /** Routes that cannot be there, because none of their next hops is on a link that is up. */
  readonly withoutNextHop: Sampled<LearnedRoute>;
  /** Next-hop groups that are not as they should be. */
  readonly nextHops: readonly string[];
  /** Routes of a former run that are not confirmed yet: not judged. */
  readonly stale: number;
}

export interface KernelSurvey {
  readonly state: KernelState;
  /** Null: routes are not installed. */
  readonly comparison: KernelComparison | null;
  /** Kernel settings by their path below /proc/sys, null: not there. */
  readonly settings: Readonly<Record<string, string | null>>;
  /** What of others stands in the way of our rules and routes. */
  readonly hazards: readonly Hazard[];
}

export interface SurveyRequest {
  /** Tables with learned routes. */
  readonly tables: readonly number[];
  /** Kernel settings to read, by their path below /proc/sys. */
  readonly settings: readonly string[];
}

/** Rejects when the kernel refuses to say. */
export async function survey(
  fib: FibState,
  request: SurveyRequest,
  look: (rules: readonly Rule[], foreignRoutes: readonly ForeignRouteCount[]) => readonly Hazard[],
): Promise<KernelSurvey> {
  const { ownership, links } = fib;
  const learned = new LearnedComparison(fib);
  const socket = new NetlinkSocket();
  try {
    const state = await readKernel(socket, {
      protocol: ownership.protocol,
      localTable: ownership.localTable,
      tables: request.tables,
      isLearned: (reader) => isLearned(reader, ownership.localTable),
      learned: (reader) => learned.found(reader),
    });
    const settings = Object.fromEntries(request.settings.map((path) => [path, readOrNull(path)]));
    const hazards = fib.install ? look(state.rules, foreignCounts(state)) : [];
    if (!fib.install) return { state, comparison: null, settings, hazards };
    const rules = fib.rules.compare(state.rules);
    const routes = fib.staticRoutes.compare([...state.local, ...state.fixed]);
    const strays = learned.strays;
    if (fib.swept)
      for (const route of routes.strays)
        strays.add(() => ({ prefix: `${formatAddress(route.destination)}/${route.length}`, table: route.table }));
    const comparison: KernelComparison = {
      missingRules: rules.missing.map(describeRule),
      surplusRules: rules.surplus.map((rule) => `${ruleText(rule)} (IPv${rule.family})`),
      missingRoutes: routes.missing.map((spec) => ({
        prefix: describeRoute(spec).split(" ")[0],
        table: spec.table,
        type: spec.type ?? 0,
        text: describeRoute(spec),
      })),
      nextHops: nextHopFaults(fib, state, (ifindex) => links.nameOf(ifindex)),
      stale: fib.routes.stale + fib.staticRoutes.stale + fib.rules.stale,
      ...learned.result(),
    };
    return { state, comparison, settings, hazards };
  } finally {
    socket.close();
  }
}

/** Learned routes: columns of what is wanted against a dump, without an object per route. */
class LearnedComparison {
  readonly #fib: FibState;
  /** By table, then by the table's own route ids: found in the kernel. */
  readonly #found = new Map<object, Uint8Array>();
  readonly strays = new Sample<LearnedRoute>();
  readonly #wrong = new Sample<LearnedRoute>();

  constructor(fib: FibState) {
    this.#fib = fib;
  }

  found(reader: RouteReader): void {
    const { routes, nextHops } = this.#fib;
    const table = routes.find(reader.family, reader.table);
    const id = table ? table.find(reader.address, 0, reader.length) : -1;
    const bytes = reader.family === 4 ? reader.address.slice(0, 4) : reader.address;
    const route = () => ({ prefix: `${formatAddress(bytes)}/${reader.length}`, table: reader.table });
    if (!table || id < 0 || (table.desired[id] === 0 && !table.isStale(id))) {
      this.strays.add(route);
      return;
    }
    const marks = this.#marksOf(table, table.top);
    if (id < marks.length) marks[id] = 1;
    const wanted = nextHops.kernelIdOf(table.desired[id]);
    if (table.desired[id] !== 0 && wanted !== 0 && wanted !== reader.nextHopId) this.#wrong.add(route);
  }

  result(): Pick<KernelComparison, "missing" | "strays" | "wrong" | "withoutNextHop"> {
    const missing = new Sample<LearnedRoute>();
    const withoutNextHop = new Sample<LearnedRoute>();
    for (const table of this.#fib.routes.tables()) {
      const marks = this.#found.get(table);
      for (let id = 0; id < table.top; id++) {
        // What the kernel refused is told with the kernel's words.
        if (table.desired[id] === 0 || table.isFailed(id) || marks?.[id] === 1) continue;
        const usable = this.#fib.nextHops.kernelIdOf(table.desired[id]) !== 0;
        (usable ? missing : withoutNextHop).add(() => ({ prefix: prefixOf(table, id), table: table.table }));
      }
    }
    return { missing, withoutNextHop, strays: this.strays, wrong: this.#wrong };
  }

  #marksOf(table: object, top: number): Uint8Array {
    let marks = this.#found.get(table);
    if (!marks || marks.length < top) {
      const larger = new Uint8Array(Math.max(top, 2 * (marks?.length ?? 0)));
      if (marks) larger.set(marks);
      marks = larger;
      this.#found.set(table, marks);
    }
    return marks;
  }
}

function foreignCounts({ foreign }: KernelState): ForeignRouteCount[] {
  const counts = new Map<number, { count: number; example: string }>();
  for (const route of foreign.first) {
    const { destination, length, table, protocol } = route;
    const known = counts.get(table);
    if (known) known.count++;
    else counts.set(table, { count: 1, example: `${formatAddress(destination)}/${length} of protocol ${protocol}` });
  }
  return [...counts].map(([table, rest]) => ({ table, ...rest, more: foreign.count > foreign.first.length }));
}

function nextHopFaults(fib: FibState, state: KernelState, nameOf: (ifindex: number) => string): string[] {
  const objects = new Map(
    state.nextHops.filter((object) => fib.ownership.ownsNextHop(object)).map((object) => [object.id, object]),
  );
  return fib.nextHops.expected().flatMap(({ id, members }) => {
    const present = (objects.get(id)?.group ?? []).flatMap((member) => {
      const object = objects.get(member.id);
      return object?.gateway ? [hopText(object.gateway, nameOf(object.ifindex), member.weight)] : [];
    });
    const wanted = members.map(({ gateway, ifindex, weight }) => hopText(gateway, nameOf(ifindex), weight));
    if (present.sort().join() === wanted.sort().join()) return [];
    return [`group ${id} has ${present.join(", ") || "no next hops"} instead of ${wanted.join(", ")}`];
  });
}

function hopText(gateway: Uint8Array, device: string, weight: number): string {
  return `${formatAddress(gateway)} on ${device}${weight === 1 ? "" : ` weight ${weight}`}`;
}
