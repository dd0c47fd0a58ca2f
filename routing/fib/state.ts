// What the parts of the fib worker share: the sockets, and both sides of everything, wanted and in the kernel.
import type { Clock } from "../../net/clock.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { WriteLog } from "../netlink/write-log.ts";
import { Ownership } from "../ownership.ts";
import type {
  ForwardingState,
  KernelEvent,
  KernelOperation,
  KernelOperations,
  RefusedBlock,
  RouteOperations,
} from "../types.ts";
import { Gateways } from "./gateways.ts";
import { type LinkChanges, Links } from "./links.ts";
import { NextHops } from "./next-hops.ts";
import { Owned } from "./owned.ts";
import type { WorkerOptions } from "./protocol.ts";
import { Routes } from "./routes.ts";
import { Rules } from "./rules.ts";
import { StaticRoutes } from "./static-routes.ts";
import { Sysctls } from "./sysctls.ts";
import { ruleText } from "./views.ts";

export interface FibDeps {
  readonly clock: Clock;
  event(event: KernelEvent): void;
  /** What was written to the kernel. */
  operations(operations: readonly (KernelOperation | KernelOperations)[]): void;
  routeOperations(routes: RouteOperations): void;
  links(changes: LinkChanges): void;
  forwarding(state: ForwardingState): void;
  refusedBlocks(refused: readonly RefusedBlock[]): void;
}

export class FibState {
  readonly options: WorkerOptions;
  readonly install: boolean;
  readonly deps: FibDeps;
  readonly ownership: Ownership;
  /** All writes, and short dumps. */
  readonly socket: NetlinkSocket;
  /** Long dumps, read in slices while writes go on. */
  readonly dumpSocket = new NetlinkSocket();
  readonly links = new Links();
  readonly writeLog: WriteLog;
  readonly routes = new Routes();
  readonly staticRoutes: StaticRoutes;
  readonly rules: Rules;
  readonly owned: Owned;
  readonly nextHops: NextHops;
  readonly sysctls: Sysctls;
  readonly gateways: Gateways;
  /** What a former run left and nobody asked for has been removed. */
  swept = false;
  stopped = false;
  /** The rules wanted depend on the host's connected networks. */
  rulesFollowLinks = false;
  /** Set by the part that repairs. */
  onNextHopRefused: () => void = () => {};
  #lastRefusal = "";

  /** `guard` runs work whose failure must not end the worker. */
  constructor(options: WorkerOptions, deps: FibDeps, guard: (work: () => void) => void) {
    this.options = options;
    this.socket = new NetlinkSocket({ receiveBuffer: options.answerBuffer ?? undefined });
    this.install = options.routing.install;
    this.deps = deps;
    this.ownership = new Ownership(options.routing);
    this.writeLog = new WriteLog(deps.clock, { operations: deps.operations, routes: deps.routeOperations });
    const context = { nameOf: (ifindex: number) => this.links.nameOf(ifindex), ruleText };
    this.socket.onWritten = (bytes, failures) => this.writeLog.written(bytes, failures, context);
    this.staticRoutes = new StaticRoutes(this.socket, this.ownership);
    this.rules = new Rules(this.socket, this.ownership);
    this.sysctls = new Sysctls(options.stateDir);
    this.sysctls.onWritten = (name, value) =>
      this.writeLog.operation({ operation: "set", object: "sysctl", name, value });
    this.gateways = new Gateways(this, guard, () => Date.now());
    this.owned = new Owned(this.staticRoutes, this.rules, this.ownership, deps);
    this.nextHops = new NextHops(this.socket, this.ownership, options.routing, {
      isUp: (ifindex) => this.links.isUp(ifindex),
      answers: (ifindex, gateway) => this.gateways.answers(ifindex, gateway),
      groupGone: (group) => this.routes.groupGone(group),
      setChanged: (set) => this.routes.setChanged(set),
      routesOf: (group) => this.routes.usersOf(group),
      usedBy: (group, set) => this.routes.usedBy(group, set),
      problem: (message) => this.problem(message),
      refused: (message) => {
        if (message !== this.#lastRefusal) this.problem(message);
        this.#lastRefusal = message;
        this.onNextHopRefused();
      },
    });
  }

  problem(message: string): void {
    this.deps.event({ kind: "error", message });
  }

  close(): void {
    this.writeLog.flush();
    this.socket.close();
    this.dumpSocket.close();
  }
}
