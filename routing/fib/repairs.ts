// What others do in the kernel, and what we do about it. In: notifications. Out: routes, rules, next hops and settings
// of ours that somebody took away are put back, soon and with damping, each kind at its own pace; links that went or
// came change the next-hop groups at once; events that say what was changed, and by whom as far as that can be known.

import type { Clock, Timer } from "../../net/clock.ts";
import { Flag, MessageType } from "../netlink/constants.ts";
import { flagsOf } from "../netlink/message.ts";
import { decodeNetconf, NetconfIndex } from "../netlink/netconf.ts";
import { decodeNextHop } from "../netlink/nexthop.ts";
import { RouteReader } from "../netlink/route.ts";
import { decodeRule } from "../netlink/rule.ts";
import { METRIC } from "../ownership.ts";
import type { BulkWriter } from "./bulk.ts";
import { Culprits, culpritText } from "./culprit.ts";
import { Damper } from "./damper.ts";
import { type Fights, fightText } from "./fights.ts";
import type { ForeignRoutes } from "./foreign-routes.ts";
import type { HazardWatch } from "./hazard-watch.ts";
import { Losses, lossText, type RepairKind } from "./losses.ts";
import { ruleSubject } from "./rules.ts";
import type { FibState } from "./state.ts";
import { isLearned } from "./static-routes.ts";
import { prefixOf } from "./writer.ts";

const LINKS_REPORT_MS = 5;
/** A link that is deleted goes down first, and takes its time to go. */
const LINK_NEWS_MS = 200;
const REPAIR_MS = { first: 1, last: 5000 };
/** How soon foreign rules are looked at; they are not ours to repair. */
const LOOK_MS = { first: 20, last: 5000 };
/** RTM_F_CLONED: an entry of a route cache. */
export const RTM_F_CLONED = 0x200;
/** Of a route in the kernel that uses no nexthop object; no id of the range. */
const OTHER_NEXT_HOPS = 0xffffffff;
const KINDS: readonly RepairKind[] = ["settings", "nextHops", "static", "rules", "routes"];
/** Subjects named in one event. */
const NAMED = 3;

export interface RepairParts {
  readonly bulk: BulkWriter;
  readonly hazards: HazardWatch;
  readonly foreignRoutes: ForeignRoutes;
  readonly fights: Fights;
}

export class Repairs {
  readonly #state: FibState;
  readonly #parts: RepairParts;
  readonly #dampers: Readonly<Record<RepairKind, Damper>>;
  readonly #look: Damper;
  readonly #losses = new Losses();
  readonly #culprits: Culprits;
  readonly #reader = new RouteReader();
  readonly #guard: (work: () => void) => void;
  #linksTimer: Timer | null = null;
  #newsTimer: Timer | null = null;
  /** Something happened to nexthop objects, or to a link that they are on. */
  #nextHopsInDoubt = false;
  /** What happened to links that no next hop is on, to be told if it lasts. */
  readonly #linkNews = new Map<number, { readonly kind: "up" | "down"; readonly due: number }>();
  /** Links among them that are known to be down. */
  readonly #toldDown = new Set<number>();
  /** A link's change is to be acted on when the notifications at hand have been read. */
  #linksChanged = false;

  constructor(state: FibState, parts: RepairParts, guard: (work: () => void) => void) {
    this.#state = state;
    this.#guard = guard;
    this.#parts = parts;
    const { clock } = state.deps;
    this.#culprits = new Culprits(() => clock.now());
    this.#dampers = dampers(clock, (kind) => guard(() => this.#repair(kind)));
    this.#look = new Damper(clock, LOOK_MS, () => guard(() => this.#parts.hazards.update(state.rules.dump())));
  }

  /** A write was refused: perhaps nexthop objects are gone. */
  doubtNextHops(): void {
    this.#nextHopsInDoubt = true;
    this.#dampers.nextHops.request();
  }

  /** What hazards depend on has changed. */
  lookAtHazards(): void {
    this.#look.request();
  }

  stop(): void {
    this.#linksTimer?.cancel();
    this.#newsTimer?.cancel();
    this.#look.stop();
    for (const kind of KINDS) this.#dampers[kind].stop();
  }

  notified(buffer: Buffer, start: number, end: number, type: number, portId: number): void {
    if (type <= MessageType.delAddress) this.#linkNotified(buffer, start, end, type);
    else if (!this.#state.install) return;
    else if (type === MessageType.newRoute || type === MessageType.delRoute)
      this.#routeNotified(buffer, start, end, type === MessageType.delRoute, portId);
    else if (type === MessageType.newNextHop || type === MessageType.delNextHop) {
      const nextHop = decodeNextHop(buffer, start, end);
      if (!nextHop || !this.#state.ownership.ownsNextHopId(nextHop.id)) return;
      const deed = type === MessageType.delNextHop ? "deleted" : "changed";
      this.#lost("nextHops", "nexthop objects", deed, portId, () => `id ${nextHop.id}`);
      this.#nextHopsInDoubt = true;
      this.#dampers.nextHops.request();
    } else if (type === MessageType.newRule || type === MessageType.delRule) {
      const rule = decodeRule(buffer, start, end);
      if (!rule) return;
      const ours = this.#state.ownership.ownsRule(rule);
      if (ours && type === MessageType.delRule) this.#lost("rules", ruleSubject(rule), "deleted", portId);
      (ours ? this.#dampers.rules : this.#look).request();
    } else if (type === MessageType.newNetconf) this.#settingNotified(buffer, start, end);
  }

  #lost(
    kind: RepairKind,
    subject: string,
    deed: "deleted" | "replaced" | "changed",
    portId: number,
    example: (() => string) | null = null,
  ): void {
    // What the kernel itself takes away, with a link, is nobody's doing.
    if (portId !== 0) this.#losses.note(kind, subject, deed, this.#culprits.of(portId), example);
  }

  #linkNotified(buffer: Buffer, start: number, end: number, type: number): void {
    const { kind, ifindex } = this.#state.links.notified(buffer, start, end, type);
    if (kind === "none") return;
    this.#reportLinksSoon();
    if (kind === "changed") return;
    this.linkChanged(ifindex, kind);
  }

  #reportLinksSoon(): void {
    this.#linksTimer ??= this.#state.deps.clock.after(LINKS_REPORT_MS, () => {
      this.#linksTimer = null;
      this.#state.deps.links(this.#state.links.changes());
      if (this.#state.rulesFollowLinks) this.#guard(() => this.#state.owned.repairRules());
    });
  }

  /** A link went up or down, is gone, or lost an address. */
  linkChanged(ifindex: number, kind: "up" | "down" | "removed" | "addressRemoved"): void {
    if (kind === "removed") this.#state.staticRoutes.linkRemoved(ifindex);
    else this.#state.staticRoutes.suspect(ifindex);
    if (kind === "addressRemoved") {
      this.#linksChanged = true;
      return;
    }
    const name = this.#state.links.nameOf(ifindex);
    if (name === "lo") this.#state.staticRoutes.suspectOwned();
    const carriesNextHops = this.#state.nextHops.isOn(ifindex);
    if (kind === "removed") {
      this.#linkNews.delete(ifindex);
      this.#toldDown.delete(ifindex);
    } else if (carriesNextHops) this.#state.deps.event({ kind: "link", message: `${name} is ${kind}` });
    else {
      const { clock } = this.#state.deps;
      this.#linkNews.set(ifindex, { kind, due: clock.now() + LINK_NEWS_MS });
      this.#newsTimer ??= clock.after(LINK_NEWS_MS, () => this.#tellOfLinks());
    }
    this.#state.gateways.linkChanged(ifindex);
    // Routes of others go with the link too, in silence.
    if (kind !== "up" && this.#parts.foreignRoutes.any) this.#parts.foreignRoutes.recount();
    this.#linksChanged = true;
    if (carriesNextHops) this.#nextHopsInDoubt = true;
  }

  /** Of links that no next hop is on. That a pod's link comes and goes is no news; that it is down is. */
  #tellOfLinks(): void {
    const { links, staticRoutes, deps } = this.#state;
    const now = deps.clock.now();
    for (const [ifindex, { kind, due }] of this.#linkNews) {
      if (due > now) continue;
      this.#linkNews.delete(ifindex);
      const wasDown = this.#toldDown.delete(ifindex);
      if (!links.has(ifindex) || (kind === "up" && !wasDown && staticRoutes.isPodLink(ifindex))) continue;
      if (kind === "down") this.#toldDown.add(ifindex);
      deps.event({ kind: "link", message: `${links.nameOf(ifindex)} is ${kind}` });
    }
    const more = this.#linkNews.size > 0;
    this.#newsTimer = more ? deps.clock.after(LINK_NEWS_MS, () => this.#tellOfLinks()) : null;
  }

  #settingNotified(buffer: Buffer, start: number, end: number): void {
    const netconf = decodeNetconf(buffer, start, end);
    if (!netconf) return;
    const { ifindex, forwarding } = netconf;
    const ours = ifindex === NetconfIndex.all || ifindex === NetconfIndex.default;
    if (!ours && !this.#state.nextHops.uplinks().includes(ifindex)) return;
    this.#look.request();
    if (forwarding === 0) this.#dampers.settings.request();
  }

  #routeNotified(buffer: Buffer, start: number, end: number, deleted: boolean, portId: number): void {
    const reader = this.#reader;
    if (!reader.read(buffer, start, end) || reader.flags & RTM_F_CLONED) return;
    const { routes, ownership, staticRoutes } = this.#state;
    const ours = ownership.ownsProtocol(reader.protocol);
    const table = routes.find(reader.family, reader.table);
    const id = table && reader.priority === METRIC ? table.find(reader.address, 0, reader.length) : -1;
    const subject = () => `IPv${reader.family} routes in table ${reader.table}`;
    if (!ours) {
      this.#parts.foreignRoutes.notified(reader, deleted);
      // In the place of ours, or no longer in its way.
      if (staticRoutes.suspectRoute(reader)) this.#dampers.static.request();
      if (!table || id < 0) return;
      if (deleted) {
        // What was in the way of ours is gone.
        if (!table.isFailed(id)) return;
        table.setFailed(id, false);
      } else {
        // Somebody's route took the place of ours, or is beside it.
        if (table.kernel[id] === 0 || !(flagsOf(buffer, start) & Flag.replace)) return;
        routes.setKernel(table, id, 0);
        this.#lost("routes", subject(), "replaced", portId, () => prefixOf(table, id));
      }
      table.markDirty(id);
      this.#dampers.routes.request();
    } else if (!deleted && table && id >= 0 && reader.nextHopId === 0 && table.kernel[id] !== 0) {
      // Ours by its number, in the place of ours, and not as we write them.
      routes.setKernel(table, id, OTHER_NEXT_HOPS);
      table.markDirty(id);
      this.#lost("routes", subject(), "changed", portId, () => prefixOf(table, id));
      this.#dampers.routes.request();
    } else if (!isLearned(reader, ownership.localTable)) {
      const lost = deleted ? staticRoutes.deleted(reader) : null;
      if (lost === null) return;
      this.#lost("static", `route ${lost}`, "deleted", portId);
      this.#dampers.static.request();
    } else if (deleted) {
      if (!table || id < 0 || table.kernel[id] === 0) return;
      routes.gone(table, id);
      if (table.desired[id] !== 0) this.#lost("routes", subject(), "deleted", portId, () => prefixOf(table, id));
      if (table.dirty > 0) this.#dampers.routes.request();
    } else if (!table || id < 0 || table.kernel[id] !== reader.nextHopId) {
      const into = table ?? routes.table(reader.family, reader.table);
      const at = into.intern(reader.address, 0, reader.length);
      routes.setKernel(into, at, reader.nextHopId);
      into.markDirty(at);
      this.#lost("routes", subject(), "changed", portId, () => prefixOf(into, at));
      this.#dampers.routes.request();
    }
  }

  /** Links that went or came are acted on before anything else is read. */
  afterNotifications(): void {
    if (!this.#state.install || !this.#linksChanged) return;
    this.#linksChanged = false;
    if (this.#nextHopsInDoubt) {
      this.#nextHopsInDoubt = false;
      this.#state.nextHops.reconcile();
    }
    this.restoreStatic();
    this.#state.owned.routesRepaired();
    this.#parts.bulk.schedule();
  }

  /** Writes static routes that are missing. Returns how many came back. */
  restoreStatic(): number {
    const { restored, problems } = this.#state.staticRoutes.restore((ifindex) => this.#state.links.isUp(ifindex));
    for (const message of problems) this.#state.deps.event({ kind: "error", message });
    return restored;
  }

  /** Sets what forwarding depends on. Returns how many had another value. */
  checkSettings(): number {
    const { options, sysctls, nextHops, links, deps } = this.#state;
    if (!options.routing.sysctls) return 0;
    sysctls.uplinks = nextHops
      .uplinks()
      .filter((ifindex) => links.has(ifindex))
      .map((ifindex) => links.nameOf(ifindex));
    const { changed, problems } = sysctls.apply();
    for (const message of problems) deps.event({ kind: "error", message });
    const repaired = changed.filter((setting) => setting.repaired);
    for (const { name, found } of repaired) this.#losses.note("settings", name, "changed", null, () => `to ${found}`);
    return repaired.length;
  }

  /** Compares everything that is quick to compare; `lost` learned and static routes were found missing by a dump. */
  repairAll(lost: number): void {
    for (const subject of lost > 0 ? ["routes of ours"] : []) this.#parts.fights.repaired(subject, null);
    this.#nextHopsInDoubt = true;
    for (const kind of KINDS) this.#repair(kind, kind === "routes" ? lost : 0);
  }

  /** Puts back what somebody took away. */
  #repair(kind: RepairKind, lost = 0): void {
    const { event } = this.#state.deps;
    const count = this.#act(kind) + lost;
    const losses = this.#losses.take(kind);
    if (kind === "routes" || kind === "nextHops") this.#parts.bulk.schedule();
    for (const loss of losses) this.#parts.fights.repaired(loss.subject, loss.by);
    const replaced = losses.filter(({ deed }) => deed === "replaced");
    for (const loss of replaced)
      event({
        kind: "foreign",
        count: loss.count,
        by: loss.by ?? undefined,
        message: `${lossText(loss)}, which stays`,
      });
    const back = losses.filter(({ deed }) => deed !== "replaced");
    const repaired = kind === "routes" ? back.reduce((sum, loss) => sum + loss.count, 0) + lost : count;
    if (repaired === 0) return;
    const by = back.find((loss) => loss.by !== null)?.by ?? undefined;
    const rest = back.length > NAMED ? `; and ${back.length - NAMED} more` : "";
    const text = back.slice(0, NAMED).map(lossText).join("; ");
    event({ kind: "repaired", count: repaired, by, message: `put back: ${text || `${repaired} of ours`}${rest}` });
  }

  /** Settings are looked at now and then: not every change is notified. */
  repairSettings(): void {
    this.#repair("settings");
  }

  /** Returns how much of the kind was missing. */
  #act(kind: RepairKind): number {
    switch (kind) {
      case "settings":
        return this.checkSettings();
      case "nextHops":
        if (!this.#nextHopsInDoubt) return 0;
        this.#nextHopsInDoubt = false;
        return this.#state.nextHops.reconcile();
      case "static":
        try {
          return this.restoreStatic();
        } finally {
          this.#state.owned.routesRepaired();
        }
      case "rules": {
        const count = this.#state.owned.repairRules();
        this.#parts.hazards.update(this.#state.rules.latest);
        return count;
      }
      case "routes":
        return 0; // they are dirty, and written in slices
    }
  }
}

function dampers(clock: Clock, action: (kind: RepairKind) => void): Record<RepairKind, Damper> {
  const made = KINDS.map((kind) => [kind, new Damper(clock, REPAIR_MS, () => action(kind))]);
  return Object.fromEntries(made) as Record<RepairKind, Damper>;
}

/** What a fight's beginning and end look like to people. */
export function fightEvents(state: FibState) {
  return {
    began: (fight: Parameters<typeof fightText>[0]) =>
      state.deps.event({ kind: "fight", count: fight.repairs, by: fight.by ?? undefined, message: fightText(fight) }),
    ended: (fight: Parameters<typeof fightText>[0]) =>
      state.deps.event({
        kind: "cleared",
        message: `${fight.subject} has been left alone for a minute (it was put back ${fight.repairs} times; by ${culpritText(fight.by)})`,
      }),
  };
}
