// Gateways of ours that do not answer although their link is up (RFC 4861 §7.3, NUD_FAILED; the same for ARP). In:
// notifications of the kernel's neighbour table, and word that it is full. Out: members that next-hop groups do without
// for the time being, and events.
//
// A gateway that nobody sends to is not asked again by the kernel, so we have it asked, at growing pauses. One that comes
// and goes is taken back later each time. A link that was down starts afresh: its gateways count as answering.
import { formatAddress } from "../../net/address.ts";
import type { Timer } from "../../net/clock.ts";
import { Group, NeighbourState } from "../netlink/constants.ts";
import { NetlinkError } from "../netlink/error.ts";
import { decodeNeighbour, encodeNeighbourDump, encodeProbeNeighbour } from "../netlink/neighbour.ts";
import type { UnreachableGateway } from "../types.ts";
import { KernelWatch, neighbourFilter } from "../watch.ts";
import { Damper } from "./damper.ts";
import type { FibState } from "./state.ts";

const PROBE_MS = { first: 1000, last: 10_000 };
/** The second failure within a minute costs a second after the gateway answers again, the third two ... */
const HOLD_MS = { first: 1000, last: 30_000 };
const FORGET_MS = 60_000;
const RELOAD_MS = { first: 50, last: 5000 };
const RECEIVE_BUFFER = 1 << 20;

interface Gateway {
  readonly ifindex: number;
  readonly address: Uint8Array;
  /** Seconds since the epoch. */
  since: number;
  failures: number;
  /** Of `failed`. */
  lastChange: number;
  /** It does not answer, or has not answered for long enough. */
  failed: boolean;
  /** The neighbour table had no room for it when it was last asked. */
  withoutPlace: boolean;
  avoided: boolean;
  probePause: number;
  probe: Timer | null;
  hold: Timer | null;
}

export class Gateways {
  readonly #state: FibState;
  readonly #guard: (work: () => void) => void;
  readonly #wallClock: () => number;
  readonly #gateways = new Map<string, Gateway>();
  readonly #reload: Damper;
  #watch: KernelWatch | null = null;

  constructor(state: FibState, guard: (work: () => void) => void, wallClock: () => number) {
    this.#state = state;
    this.#guard = guard;
    this.#wallClock = wallClock;
    this.#reload = new Damper(state.deps.clock, RELOAD_MS, () => guard(() => this.#load()));
  }

  start(): void {
    const take = (buffer: Buffer, start: number, end: number) => this.#guard(() => this.#notified(buffer, start, end));
    this.#watch = new KernelWatch(
      { receiveBuffer: RECEIVE_BUFFER, groups: [Group.neighbour], filter: neighbourFilter() },
      {
        message: take,
        turn: () => {},
        overrun: () => this.#reload.request(),
        error: (text) => this.#state.problem(text),
      },
    );
  }

  stop(): void {
    this.#watch?.close();
    this.#reload.stop();
    for (const gateway of this.#gateways.values()) cancel(gateway);
    this.#gateways.clear();
  }

  answers(ifindex: number, address: Uint8Array): boolean {
    return !(this.#gateways.size > 0 && this.#gateways.get(keyOf(ifindex, address))?.failed);
  }

  list(): UnreachableGateway[] {
    return [...this.#gateways.values()]
      .filter(({ failed }) => failed)
      .map(({ address, ifindex, since, avoided }) => ({
        gateway: formatAddress(address),
        interface: this.#state.links.nameOf(ifindex),
        since,
        avoided,
      }));
  }

  /** A link went down, or is gone, or came. The owner brings the groups in line. */
  linkChanged(ifindex: number): void {
    for (const [key, gateway] of this.#gateways) {
      if (gateway.ifindex !== ifindex) continue;
      cancel(gateway);
      this.#gateways.delete(key);
    }
  }

  /** Has all gateways asked that should answer: one that the kernel has no room for any more is not notified. */
  ask(family: 4 | 6): void {
    const asked = new Set<string>();
    for (const { ifindex, gateway: address } of this.#state.nextHops.expected().flatMap(({ members }) => members)) {
      const key = keyOf(ifindex, address);
      if (asked.has(key) || (address.length === 4) !== (family === 4) || !this.answers(ifindex, address)) continue;
      asked.add(key);
      if (this.#probe(ifindex, address) !== "ENOBUFS") continue;
      const gateway = this.#gateways.get(key) ?? this.#create(key, ifindex, address);
      gateway.withoutPlace = true;
      this.#failed(gateway);
    }
  }

  /** `10.0.0.1 on eth1` for each that the neighbour table has no room for. */
  withoutPlace(family: 4 | 6): string[] {
    return [...this.#gateways.values()]
      .filter(
        ({ failed, withoutPlace, address }) => failed && withoutPlace && (address.length === 4) === (family === 4),
      )
      .map(({ address, ifindex }) => `${formatAddress(address)} on ${this.#state.links.nameOf(ifindex)}`);
  }

  #notified(buffer: Buffer, start: number, end: number): void {
    const neighbour = decodeNeighbour(buffer, start, end);
    if (!neighbour || !this.#state.nextHops.wants(neighbour.ifindex, neighbour.address)) return;
    this.#found(neighbour.ifindex, neighbour.address, neighbour.state);
  }

  /** Notifications were lost. */
  #load(): void {
    if (this.#state.stopped) return;
    for (const { ifindex, address, state } of this.#state.socket.dump(encodeNeighbourDump, decodeNeighbour))
      if (this.#state.nextHops.wants(ifindex, address)) this.#found(ifindex, address, state);
  }

  #found(ifindex: number, address: Uint8Array, state: number): void {
    const key = keyOf(ifindex, address);
    const known = this.#gateways.get(key);
    const { reachable, stale, delay, probe, noarp, permanent, failed } = NeighbourState;
    if (state & failed) {
      if (this.#state.links.isUp(ifindex)) this.#failed(known ?? this.#create(key, ifindex, address));
    } else if (known?.failed && state & (reachable | stale | delay | probe | noarp | permanent)) this.#answered(known);
  }

  #create(key: string, ifindex: number, address: Uint8Array): Gateway {
    this.#forgetOld();
    const gateway: Gateway = {
      ifindex,
      address,
      since: 0,
      failures: 0,
      lastChange: Number.NEGATIVE_INFINITY,
      failed: false,
      withoutPlace: false,
      avoided: false,
      probePause: PROBE_MS.first,
      probe: null,
      hold: null,
    };
    this.#gateways.set(key, gateway);
    return gateway;
  }

  #forgetOld(): void {
    const now = this.#state.deps.clock.now();
    for (const [key, gateway] of this.#gateways)
      if (!gateway.failed && now - gateway.lastChange > FORGET_MS) this.#gateways.delete(key);
  }

  #failed(gateway: Gateway): void {
    gateway.hold?.cancel();
    gateway.hold = null;
    if (!gateway.failed) {
      const now = this.#state.deps.clock.now();
      gateway.failures = now - gateway.lastChange > FORGET_MS ? 1 : gateway.failures + 1;
      gateway.lastChange = now;
      gateway.failed = true;
      gateway.since = Math.floor(this.#wallClock() / 1000);
      gateway.probePause = PROBE_MS.first;
      const { groups, avoiding } = this.#state.nextHops.gatewayChanged(gateway.ifindex, gateway.address);
      gateway.avoided = groups > 0 && avoiding === groups;
      const what = gateway.withoutPlace ? "has no place in the neighbour table" : "does not answer";
      const others = groups > avoiding ? `, ${groups - avoiding} have no other member` : "";
      this.#tell(
        gateway,
        avoiding > 0
          ? `${what}: ${avoiding} next-hop groups do without it${others}`
          : `${what}: no next-hop group has another member that does, so it stays in use`,
      );
    }
    if (!gateway.probe) this.#probeLater(gateway);
  }

  #answered(gateway: Gateway): void {
    if (gateway.hold) return;
    const pause = gateway.failures < 2 ? 0 : Math.min(HOLD_MS.last, HOLD_MS.first * 2 ** (gateway.failures - 2));
    const back = () => {
      gateway.hold = null;
      gateway.failed = gateway.withoutPlace = false;
      gateway.lastChange = this.#state.deps.clock.now();
      gateway.probe?.cancel();
      gateway.probe = null;
      const { groups } = this.#state.nextHops.gatewayChanged(gateway.ifindex, gateway.address);
      this.#tell(gateway, `answers again: ${groups} next-hop groups use it`);
    };
    if (pause === 0) back();
    else gateway.hold = this.#state.deps.clock.after(pause, () => this.#guard(back));
  }

  #probeLater(gateway: Gateway): void {
    gateway.probe = this.#state.deps.clock.after(gateway.probePause, () =>
      this.#guard(() => {
        gateway.probe = null;
        gateway.probePause = Math.min(PROBE_MS.last, gateway.probePause * 2);
        if (this.#state.stopped || !gateway.failed) return;
        const key = keyOf(gateway.ifindex, gateway.address);
        if (!this.#state.nextHops.wants(gateway.ifindex, gateway.address)) {
          this.#gateways.delete(key);
          return;
        }
        gateway.withoutPlace = this.#probe(gateway.ifindex, gateway.address) === "ENOBUFS";
        this.#probeLater(gateway);
      }),
    );
  }

  /** The refusal, if it is one: the neighbour table is full (ENOBUFS), the link has just gone (ENODEV). */
  #probe(ifindex: number, address: Uint8Array): string | null {
    try {
      this.#state.socket.request((out) => encodeProbeNeighbour(out, ifindex, address));
      return null;
    } catch (error) {
      if (error instanceof NetlinkError) return error.code;
      throw error;
    }
  }

  #tell({ ifindex, address }: Gateway, what: string): void {
    const message = `gateway ${formatAddress(address)} on ${this.#state.links.nameOf(ifindex)} ${what}`;
    this.#state.deps.event({ kind: "neighbour", message });
  }
}

function keyOf(ifindex: number, address: Uint8Array): string {
  return `${ifindex} ${address}`;
}

function cancel(gateway: Gateway): void {
  gateway.probe?.cancel();
  gateway.hold?.cancel();
  gateway.probe = gateway.hold = null;
}
