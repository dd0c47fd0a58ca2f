// What others do in the kernel, and what we do about it. In: notifications. Out: routes, rules and next hops of ours that
// somebody took away are put back, soon and with damping; links that went or came change the next-hop groups at once;
// what others put before ours is reported.

import type { Timer } from "../../net/clock.ts";
import { MessageType } from "../netlink/constants.ts";
import { decodeNextHop } from "../netlink/nexthop.ts";
import { RouteReader } from "../netlink/route.ts";
import { decodeRule } from "../netlink/rule.ts";
import { METRIC } from "../ownership.ts";
import type { BulkWriter } from "./bulk.ts";
import { Damper } from "./damper.ts";
import type { HazardWatch } from "./hazard-watch.ts";
import type { FibState } from "./state.ts";
import { isLearned } from "./static-routes.ts";
import { prefixOf } from "./writer.ts";

const LINKS_REPORT_MS = 5;
const REPAIR_MS = { first: 5, last: 5000 };
/** RTM_F_CLONED: an entry of a route cache. */
export const RTM_F_CLONED = 0x200;

export class Repairs {
  readonly #state: FibState;
  readonly #bulk: BulkWriter;
  readonly #hazards: HazardWatch;
  readonly #damper: Damper;
  readonly #reader = new RouteReader();
  readonly #guard: (work: () => void) => void;
  #linksTimer: Timer | null = null;
  /** Something happened to nexthop objects, or to a link that they are on. */
  #nextHopsInDoubt = false;
  /** A link's change is to be acted on when the notifications at hand have been read. */
  #linksChanged = false;
  /** Learned routes that somebody deleted since the last repair. */
  #lost = 0;
  /** Learned routes in whose place somebody put another since the last repair. */
  #replaced = 0;
  #replacedExample = "";

  constructor(state: FibState, bulk: BulkWriter, hazards: HazardWatch, guard: (work: () => void) => void) {
    this.#state = state;
    this.#bulk = bulk;
    this.#hazards = hazards;
    this.#guard = guard;
    this.#damper = new Damper(state.deps.clock, REPAIR_MS, () => guard(() => this.repair()));
  }

  /** A write was refused: perhaps nexthop objects are gone. */
  doubtNextHops(): void {
    this.#nextHopsInDoubt = true;
    this.#damper.request();
  }

  stop(): void {
    this.#linksTimer?.cancel();
    this.#damper.stop();
  }

  notified(buffer: Buffer, start: number, end: number, type: number): void {
    if (type <= MessageType.delAddress) this.#linkNotified(buffer, start, end, type);
    else if (!this.#state.install) return;
    else if (type === MessageType.newRoute || type === MessageType.delRoute)
      this.#routeNotified(buffer, start, end, type === MessageType.delRoute);
    else if (type === MessageType.newNextHop || type === MessageType.delNextHop) {
      const nextHop = decodeNextHop(buffer, start, end);
      if (!nextHop || !this.#state.ownership.ownsNextHopId(nextHop.id)) return;
      this.#nextHopsInDoubt = true;
      this.#damper.request();
    } else if (type === MessageType.newRule || type === MessageType.delRule) {
      const rule = decodeRule(buffer, start, end);
      if (rule) this.#damper.request();
    }
  }

  #linkNotified(buffer: Buffer, start: number, end: number, type: number): void {
    const { kind, ifindex } = this.#state.links.notified(buffer, start, end, type);
    if (kind === "none") return;
    this.#linksTimer ??= this.#state.deps.clock.after(LINKS_REPORT_MS, () => {
      this.#linksTimer = null;
      this.#state.deps.links(this.#state.links.snapshot());
      if (this.#state.rulesFollowLinks) this.#guard(() => this.#state.rules.reconcile().remove());
    });
    if (kind === "changed") return;
    this.linkChanged(ifindex, kind);
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
    if (kind !== "removed") this.#state.deps.event({ kind: "link", message: `${name} is ${kind}` });
    this.#linksChanged = true;
    this.#nextHopsInDoubt = true;
  }

  #routeNotified(buffer: Buffer, start: number, end: number, deleted: boolean): void {
    const reader = this.#reader;
    if (!reader.read(buffer, start, end) || reader.flags & RTM_F_CLONED) return;
    const ours = this.#state.ownership.ownsProtocol(reader.protocol);
    const table = this.#state.routes.find(reader.family, reader.table);
    const id = table && reader.priority === METRIC ? table.find(reader.address, 0, reader.length) : -1;
    if (!ours) {
      // Somebody's route took the place of ours.
      if (deleted || !table || id < 0 || table.kernel[id] === 0) return;
      this.#state.routes.setKernel(table, id, 0);
      table.markDirty(id);
      this.#damper.request();
      this.#replaced++;
      this.#replacedExample = `${prefixOf(table, id)} in table ${table.table} by a route of protocol ${reader.protocol}`;
    } else if (!isLearned(reader, this.#state.ownership.localTable)) {
      if (!deleted || !this.#state.staticRoutes.deleted(reader)) return;
      this.#damper.request();
    } else if (deleted) {
      if (!table || id < 0 || table.kernel[id] === 0) return;
      this.#state.routes.setKernel(table, id, 0);
      if (table.desired[id] === 0) table.releaseIfUnused(id);
      else {
        table.markDirty(id);
        this.#lost++;
        this.#damper.request();
      }
    } else if (!table || id < 0 || table.kernel[id] !== reader.nextHopId) {
      const into = table ?? this.#state.routes.table(reader.family, reader.table);
      const at = into.intern(reader.address, 0, reader.length);
      this.#state.routes.setKernel(into, at, reader.nextHopId);
      into.markDirty(at);
      this.#damper.request();
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
    this.#restoreStatic();
    this.#bulk.schedule();
  }

  /** Sets what forwarding depends on; at start that is no repair. */
  checkSettings(): void {
    const { options, sysctls, nextHops, links, deps } = this.#state;
    if (!options.routing.sysctls) return;
    sysctls.uplinks = nextHops
      .uplinks()
      .filter((ifindex) => links.has(ifindex))
      .map((ifindex) => links.nameOf(ifindex));
    const { problems } = sysctls.apply();
    for (const message of problems) deps.event({ kind: "error", message });
  }

  #restoreStatic(): number {
    const { restored, problems } = this.#state.staticRoutes.restore((ifindex) => this.#state.links.isUp(ifindex));
    for (const message of problems) this.#state.deps.event({ kind: "error", message });
    return restored;
  }

  /** Puts back what somebody took away. */
  /** Compares what is quick to compare; `lost` learned routes were found missing by a dump. */
  repair(lost = 0): void {
    let count = this.#lost + lost;
    this.#lost = 0;
    if (this.#replaced > 0)
      this.#state.deps.event({
        kind: "foreign",
        count: this.#replaced,
        message: `${this.#replaced} of our routes were replaced by another program: ${this.#replacedExample}`,
      });
    this.#replaced = 0;
    if (this.#nextHopsInDoubt) {
      this.#nextHopsInDoubt = false;
      count += this.#state.nextHops.reconcile();
    }
    count += this.#restoreStatic();
    const rules = this.#state.rules.reconcile();
    count += rules.added.length + rules.remove();
    this.#hazards.update(this.#state.rules.latest);
    this.#bulk.schedule();
    if (count > 0)
      this.#state.deps.event({
        kind: "repaired",
        count,
        message: `${count} of our rules, routes or next hops were put back after a change by another program`,
      });
  }
}
