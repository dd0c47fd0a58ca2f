// Taking the node, or one neighbour, out of service without losing a packet that has another way:
//
//   serving -> shifting      what we announce carries graceful-shutdown (RFC 8326), and what the neighbour announces is our
//                            last choice: traffic moves, both ways, while the old paths still work
//           -> withdrawing   after the wait: nothing is announced any more; until the neighbour's TCP has acknowledged it
//           -> drained       the session ends with Cease/Administrative Shutdown and a text (RFC 9003), as a hard reset where
//                            a NOTIFICATION would start a graceful restart (RFC 8538); no new one is made or taken
//
// The kernel keeps rules, blackholes and pods: what is on its way still arrives, and pods of the node reach each other.
// `undrain` goes straight back to serving, from anywhere. What is drained is on disk (drain-state.ts); a start goes on
// where nothing is announced and no session is made.
//
// A peer is what the configuration says it is, seen through this: compose passes every peer through `overlay`.
import type { Speaker } from "../../bgp/speaker.ts";
import type { SpeakerGroup, SpeakerPeer } from "../../bgp/speaker-types.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { ApiError } from "../api/types.ts";
import type { Blocks } from "../blocks/blocks.ts";
import { delivered } from "./delivery.ts";
import { type DrainRecord, readDrainState, writeDrainState } from "./drain-state.ts";

export type DrainState = "serving" | "shifting" | "withdrawing" | "drained";

export interface DrainView {
  /** Of the whole node. */
  readonly state: DrainState;
  /** ISO 8601, null: serving. */
  readonly since: string | null;
  /** Peers that were drained one by one. */
  readonly peers: readonly { readonly name: string; readonly state: DrainState; readonly since: string }[];
}

/** Milliseconds that a withdrawal has to arrive at a neighbour that does not read. */
const DELIVERY_LIMIT = 5_000;
const NODE = "this node is drained for maintenance";
const PEER = "this session is drained for maintenance";
const order: readonly DrainState[] = ["serving", "shifting", "withdrawing", "drained"];

/** One drain, of the node or of a peer. */
interface Course {
  state: DrainState;
  readonly since: string;
  /** Ends the wait early; the drain does not go on then. */
  cancel: () => void;
}

export interface DrainDependencies {
  readonly speaker: Speaker;
  /** BFD beside sessions: gone with them. */
  readonly bfd: { update(peer: SpeakerPeer): Promise<void>; remove(peer: string): Promise<void> };
  readonly clock: Clock;
  readonly log: Log;
  readonly stateDirectory: string;
  /** As configured now. */
  peers(): readonly SpeakerPeer[];
  groups(): readonly SpeakerGroup[];
  readonly blocks: Pick<Blocks, "withdrawAll" | "announceAll">;
}

export class Drain {
  readonly #deps: DrainDependencies;
  #node: Course | null = null;
  readonly #peers = new Map<string, Course>();

  /** Told of each state of the node (`peer` null) or of one peer. */
  onState: (peer: string | null, state: DrainState) => void = () => {};

  constructor(deps: DrainDependencies) {
    this.#deps = deps;
  }

  /** Before the first peer is added: what was drained stays so. Throws when that is not to be known. */
  load(): void {
    const { node, peers } = readDrainState(this.#deps.stateDirectory);
    if (node) this.#node = restored(node);
    for (const [name, since] of peers) this.#peers.set(name, restored(since));
    if (node) void this.#deps.speaker.disableDynamic(NODE);
    if (node || peers.size > 0) this.#deps.log.warn(this.view, "drained: `underlayctl undrain` brings it back");
  }

  get view(): DrainView {
    return {
      state: this.#node?.state ?? "serving",
      since: this.#node?.since ?? null,
      peers: [...this.#peers].map(([name, { state, since }]) => ({ name, state, since })),
    };
  }

  /** Why pods should not be attached, null: they may be. */
  get refusal(): string | null {
    return this.#node && `this node is drained since ${this.#node.since} (underlayctl undrain brings it back)`;
  }

  /** No session is wanted with this peer. */
  isDrained(name: string): boolean {
    return this.#stateOf(name) === "drained";
  }

  /** A peer as it is to be. One that is drained is kept down with this, too. */
  overlay(peer: SpeakerPeer): SpeakerPeer {
    if (this.isDrained(peer.name)) void this.#deps.speaker.disablePeer(peer.name, this.#textFor(peer.name));
    return seenThrough(peer, this.#stateOf(peer.name));
  }

  overlayGroup(group: SpeakerGroup): SpeakerGroup {
    return seenThrough(group, this.#node?.state ?? "serving");
  }

  /** A peer that has left the configuration. */
  forget(name: string): void {
    this.#deps.speaker.enablePeer(name);
    const course = this.#peers.get(name);
    if (!course) return;
    course.cancel();
    this.#peers.delete(name);
    try {
      this.#save();
    } catch (error) {
      this.#deps.log.error(
        { peer: name, reason: (error as Error).message },
        "a removed peer is still listed as drained",
      );
    }
  }

  /**
   * Drains the node (`peer` null) or one peer, and resolves when that is done, or was called off. `wait`: milliseconds.
   * Throws ApiError 404 for a peer that is not configured, 500 when the state cannot be written: nothing has begun then.
   */
  async drain(peer: string | null, wait: number): Promise<DrainView> {
    if (peer !== null) this.#require(peer);
    const known = peer === null ? this.#node : this.#peers.get(peer);
    if (known) throw new ApiError(409, `${peer === null ? "the node" : `peer ${peer}`} is ${known.state} already`);
    const course: Course = { state: "shifting", since: new Date().toISOString(), cancel() {} };
    let cancelled = false;
    const calledOff = new Promise<void>((resolve) => {
      course.cancel = () => {
        cancelled = true;
        resolve();
      };
    });
    this.#set(peer, course);
    try {
      this.#save();
    } catch (error) {
      this.#set(peer, null);
      throw new ApiError(500, (error as Error).message);
    }
    this.#enter(peer, course, "shifting");
    await this.#sleep(wait, calledOff);
    if (cancelled) return this.view;
    this.#enter(peer, course, "withdrawing");
    const { speaker, clock, log } = this.#deps;
    const late = await delivered({ speaker, clock }, (name) => this.#concerns(peer, name), DELIVERY_LIMIT);
    if (cancelled) return this.view;
    if (late.length > 0) log.warn({ peers: late }, "not every neighbour has acknowledged the withdrawal in time");
    this.#enter(peer, course, "drained");
    await this.#end(peer);
    return this.view;
  }

  /** Back into service, whatever the drain has come to. Throws ApiError 404, 409 when nothing is drained. */
  async undrain(peer: string | null): Promise<DrainView> {
    if (peer !== null) this.#require(peer);
    const course = peer === null ? this.#node : this.#peers.get(peer);
    if (!course) throw new ApiError(409, `${peer === null ? "the node" : `peer ${peer}`} is not drained`);
    course.cancel();
    this.#set(peer, null);
    try {
      this.#save();
    } catch (error) {
      this.#deps.log.error({ reason: (error as Error).message }, "undrained, but the next start will not know");
    }
    const { speaker, bfd, log } = this.#deps;
    this.#apply(peer);
    if (peer === null) speaker.enableDynamic();
    for (const configured of this.#configured(peer)) {
      if (this.isDrained(configured.name)) continue;
      speaker.enablePeer(configured.name);
      await bfd
        .update(configured)
        .catch((error: Error) => log.error({ peer: configured.name, reason: error.message }, "BFD cannot be started"));
    }
    this.#report(peer, "serving");
    return this.view;
  }

  /** The daemon ends. */
  stop(): void {
    this.#node?.cancel();
    for (const course of this.#peers.values()) course.cancel();
  }

  #enter(peer: string | null, course: Course, state: DrainState): void {
    course.state = state;
    this.#apply(peer);
    this.#report(peer, state);
  }

  #report(peer: string | null, state: DrainState): void {
    this.onState(peer, state);
    this.#deps.log.info(
      { ...(peer !== null && { peer }), state },
      peer === null ? "drain of the node" : "drain of a peer",
    );
  }

  /** Peers are told what they are to be told now; their sessions stay. */
  #apply(peer: string | null): void {
    const { speaker, blocks, groups } = this.#deps;
    for (const configured of this.#configured(peer))
      speaker.setPolicies(seenThrough(configured, this.#stateOf(configured.name)));
    if (peer !== null) return;
    for (const group of groups()) speaker.changeGroup(this.overlayGroup(group), "live");
    const { state } = this.view;
    if (state === "withdrawing") void blocks.withdrawAll(0);
    else if (state === "serving") blocks.announceAll();
  }

  async #end(peer: string | null): Promise<void> {
    const { speaker, bfd } = this.#deps;
    await Promise.all([
      ...this.#configured(peer).map(async ({ name }) => {
        await speaker.disablePeer(name, this.#textFor(name));
        // Called off meanwhile?
        if (this.isDrained(name)) await bfd.remove(name);
      }),
      ...(peer === null ? [speaker.disableDynamic(NODE)] : []),
    ]);
  }

  #sleep(milliseconds: number, calledOff: Promise<void>): Promise<void> {
    let timer: Timer | null = null;
    const over = new Promise<void>((resolve) => {
      timer = this.#deps.clock.after(milliseconds, resolve);
    });
    return Promise.race([over, calledOff]).finally(() => timer?.cancel());
  }

  #stateOf(name: string): DrainState {
    const states = [this.#node?.state ?? "serving", this.#peers.get(name)?.state ?? "serving"] as const;
    return order[Math.max(...states.map((state) => order.indexOf(state)))];
  }

  #textFor(name: string): string {
    return this.#node ? NODE : this.#peers.has(name) ? PEER : "";
  }

  #configured(peer: string | null): SpeakerPeer[] {
    return this.#deps.peers().filter(({ name }) => peer === null || name === peer);
  }

  #concerns(peer: string | null, name: string): boolean {
    return peer === null || name === peer;
  }

  #require(peer: string): void {
    const names = this.#deps.peers().map(({ name }) => name);
    if (names.includes(peer)) return;
    throw new ApiError(404, `no peer ${peer} in the configuration; there are ${names.join(", ") || "none"}`);
  }

  #set(peer: string | null, course: Course | null): void {
    if (peer === null) this.#node = course;
    else if (course) this.#peers.set(peer, course);
    else this.#peers.delete(peer);
  }

  #save(): void {
    const record: DrainRecord = {
      node: this.#node?.since ?? null,
      peers: new Map([...this.#peers].map(([name, { since }]) => [name, since])),
    };
    writeDrainState(this.#deps.stateDirectory, record);
  }
}

function restored(since: string): Course {
  return { state: "drained", since, cancel() {} };
}

/** What a drain makes of a peer, or of a group. */
export function seenThrough<T extends Pick<SpeakerPeer, "gracefulShutdown" | "export" | "defaultOriginate">>(
  peer: T,
  state: DrainState,
): T {
  if (state === "serving") return peer;
  return { ...peer, gracefulShutdown: true, ...(state !== "shifting" && { export: "none", defaultOriginate: null }) };
}
