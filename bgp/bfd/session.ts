// One BFD session (RFC 5880 §6): the three-way handshake, what the two sides agree on about intervals, and the two timers,
// of transmission and of detection. In: control packets that belong to it, time. Out: control packets, changes of state.
// Variables have the RFC's names (§6.8.1) without `bfd.`; intervals on the wire are in microseconds, times in milliseconds.
//
// We always take the active role, use the asynchronous mode only (a neighbour's demand mode is honoured), and never set the
// control-plane-independent bit: the process that speaks BFD is the one that speaks BGP.
// Known deviation: on a detection timeout everything learned from the neighbour is forgotten, not only its discriminator.
import type { Clock, Timer } from "../../net/clock.ts";
import { type BfdState, type ControlPacket, Diagnostic, describeDiagnostic } from "./packet.ts";

/** §6.8.3: the least DesiredMinTxInterval while not Up. */
const SLOW_TX = 1_000_000;

/** What the neighbour calls a path that carries no packets. */
const pathDiagnostics: ReadonlySet<number> = new Set([
  Diagnostic.DETECTION_TIME_EXPIRED,
  Diagnostic.ECHO_FAILED,
  Diagnostic.FORWARDING_PLANE_RESET,
  Diagnostic.PATH_DOWN,
  Diagnostic.CONCATENATED_PATH_DOWN,
  Diagnostic.REVERSE_CONCATENATED_PATH_DOWN,
]);

export interface BfdTiming {
  /** Desired transmit and required receive interval, milliseconds. */
  readonly interval: number;
  /** How many of our packets in a row may be lost until the neighbour declares the session down. */
  readonly multiplier: number;
}

export interface StateChange {
  readonly from: BfdState;
  readonly to: BfdState;
  /** One line for the operator. */
  readonly reason: string;
  /** From Up to Down, and neither side asked for it: the path has failed. */
  readonly failed: boolean;
  /**
   * A failure that no restart of the neighbour's control plane explains (RFC 5882 §4.3.1): its BFD outlives that (C bit),
   * and packets do not arrive, here or there. One that only says Down has lost its client, as FRR's bfdd does for a moment.
   */
  readonly independent: boolean;
}

export interface SessionDependencies {
  readonly clock: Clock;
  /** 0 to 1, for jitter. */
  random(): number;
  send(packet: ControlPacket): void;
  stateChanged(change: StateChange): void;
  /**
   * Called before the session is declared down: hand over packets that have arrived but were not read yet. A process that
   * was stopped for a while finds its timers expired and the neighbour's packets waiting.
   */
  catchUp(): void;
}

export class BfdSession {
  readonly localDiscriminator: number;
  readonly #dependencies: SessionDependencies;
  #interval: number;
  #multiplier: number;
  #state: BfdState = "Down";
  #diagnostic: number = Diagnostic.NONE;
  #desiredMinTx: number;
  #requiredMinRx: number;
  /** What timing goes by; differs from the two above while a poll sequence is to confirm a slower pace (§6.8.3). */
  #usedMinTx: number;
  #usedMinRx: number;
  #polling = false;

  #remoteState: BfdState = "Down";
  #remoteDiagnostic: number = Diagnostic.NONE;
  #remoteDiscriminator = 0;
  #remoteMinTx = 0;
  #remoteMinRx = 1;
  #remoteMultiplier = 0;
  #remoteDemand = false;
  #remoteIndependent = false;

  #lastSent = Number.NEGATIVE_INFINITY;
  #lastReceived = Number.NEGATIVE_INFINITY;
  #sendTimer: Timer | null = null;
  /** The interval that #sendTimer was set by; 0: not sending. */
  #sendInterval = 0;
  #detectTimer: Timer | null = null;
  #detectDue = Number.POSITIVE_INFINITY;

  constructor(localDiscriminator: number, { interval, multiplier }: BfdTiming, dependencies: SessionDependencies) {
    this.localDiscriminator = localDiscriminator;
    this.#dependencies = dependencies;
    this.#interval = interval * 1000;
    this.#multiplier = multiplier;
    this.#desiredMinTx = this.#usedMinTx = Math.max(SLOW_TX, this.#interval);
    this.#requiredMinRx = this.#usedMinRx = this.#interval;
  }

  get state(): BfdState {
    return this.#state;
  }
  get diagnostic(): number {
    return this.#diagnostic;
  }
  get remoteState(): BfdState {
    return this.#remoteState;
  }
  get remoteDiagnostic(): number {
    return this.#remoteDiagnostic;
  }
  get remoteDiscriminator(): number {
    return this.#remoteDiscriminator;
  }
  get remoteMinTx(): number {
    return this.#remoteMinTx;
  }
  get remoteMinRx(): number {
    return this.#remoteMinRx;
  }
  get remoteMultiplier(): number {
    return this.#remoteMultiplier;
  }
  /** The neighbour's C bit: its BFD goes on when its control plane restarts (RFC 5882 §4.3). */
  get remoteIndependent(): boolean {
    return this.#remoteIndependent;
  }

  /** Microseconds between our packets before jitter; 0: none are sent. */
  get transmitInterval(): number {
    if (this.#remoteMinRx === 0) return 0;
    const idle = this.#remoteDemand && this.#state === "Up" && this.#remoteState === "Up" && !this.#polling;
    return idle ? 0 : Math.max(this.#usedMinTx, this.#remoteMinRx);
  }

  /** Microseconds of silence after which the session goes down (§6.8.4); 0: nothing was heard yet. */
  get detectionTime(): number {
    return this.#remoteMultiplier * Math.max(this.#usedMinRx, this.#remoteMinTx);
  }

  start(): void {
    this.#transmit();
  }

  /** Another pace for a running session, agreed on with a poll sequence when it is Up. */
  configure({ interval, multiplier }: BfdTiming): void {
    this.#interval = interval * 1000;
    this.#multiplier = multiplier;
    this.#requiredMinRx = this.#interval;
    this.#desiredMinTx = this.#state === "Up" ? this.#interval : Math.max(SLOW_TX, this.#interval);
    const up = this.#state === "Up";
    this.#polling = up;
    // Slower sending and a shorter detection time wait until the neighbour knows of them.
    this.#usedMinTx = up ? Math.min(this.#usedMinTx, this.#desiredMinTx) : this.#desiredMinTx;
    this.#usedMinRx = up ? Math.max(this.#usedMinRx, this.#requiredMinRx) : this.#requiredMinRx;
    if (this.#state === "AdminDown") return;
    this.#transmit();
    this.#watchDetection();
  }

  /** Says AdminDown, so that the neighbour does not take the coming silence as a failure (RFC 5882 §4.1). */
  shutdown(): void {
    if (this.#state === "AdminDown") return;
    this.#enter("AdminDown", Diagnostic.ADMINISTRATIVELY_DOWN, "administratively down", false);
  }

  /** No packet and no callback from here on. */
  close(): void {
    this.#sendTimer?.cancel();
    this.#detectTimer?.cancel();
    this.#sendTimer = this.#detectTimer = null;
    this.#state = "AdminDown";
  }

  /** Says the present state once more, at once. */
  repeat(): void {
    this.#transmit();
  }

  /** §6.8.6, from "Set bfd.RemoteDiscr" on. */
  receive(packet: ControlPacket): void {
    const now = this.#dependencies.clock.now();
    this.#remoteDiscriminator = packet.myDiscriminator;
    this.#remoteState = packet.state;
    this.#remoteDiagnostic = packet.diagnostic;
    this.#remoteDemand = packet.demand;
    this.#remoteIndependent = packet.controlPlaneIndependent;
    this.#remoteMinTx = packet.desiredMinTx;
    this.#remoteMinRx = packet.requiredMinRx;
    this.#remoteMultiplier = packet.detectMultiplier;
    if (packet.final && this.#polling) this.#pollAnswered();
    if (this.#state === "AdminDown") return;
    this.#lastReceived = now;
    this.#advance(packet);
    if (packet.poll) this.#answerPoll();
    this.#watchDetection();
    if (this.transmitInterval !== this.#sendInterval) this.#scheduleTransmission();
  }

  /** The state machine of §6.2 and §6.8.6. */
  #advance(packet: ControlPacket): void {
    const state = this.#state;
    const signaled = `neighbour signaled ${packet.state}: ${describeDiagnostic(packet.diagnostic)}`;
    switch (packet.state) {
      case "AdminDown":
        if (state !== "Down") this.#enter("Down", Diagnostic.NEIGHBOR_SIGNALED_DOWN, signaled, false);
        return;
      case "Down":
        if (state === "Down") this.#enter("Init", this.#diagnostic, "the neighbour answers");
        else if (state === "Up") this.#enter("Down", Diagnostic.NEIGHBOR_SIGNALED_DOWN, signaled, true);
        return;
      case "Init":
        if (state !== "Up") this.#enter("Up", Diagnostic.NONE, "packets pass both ways");
        return;
      case "Up":
        if (state === "Init") this.#enter("Up", Diagnostic.NONE, "packets pass both ways");
    }
  }

  #enter(to: BfdState, diagnostic: number, reason: string, failed = false): void {
    const from = this.#state;
    this.#state = to;
    this.#diagnostic = diagnostic;
    if (from === "Up" || to === "Up") {
      const desired = to === "Up" ? this.#interval : Math.max(SLOW_TX, this.#interval);
      this.#polling = to === "Up" && desired !== this.#desiredMinTx;
      this.#desiredMinTx = this.#usedMinTx = desired;
      this.#usedMinRx = this.#requiredMinRx;
    }
    // The neighbour hears of a new state at once, not at the next turn of a slow timer (§6.8.7).
    this.#transmit();
    const lost = diagnostic === Diagnostic.DETECTION_TIME_EXPIRED || pathDiagnostics.has(this.#remoteDiagnostic);
    this.#dependencies.stateChanged({
      from,
      to,
      reason,
      failed,
      independent: failed && this.#remoteIndependent && lost,
    });
  }

  #pollAnswered(): void {
    this.#polling = false;
    this.#usedMinTx = this.#desiredMinTx;
    this.#usedMinRx = this.#requiredMinRx;
  }

  #answerPoll(): void {
    this.#dependencies.send({ ...this.#packet(), poll: false, final: true });
  }

  #packet(): ControlPacket {
    return {
      state: this.#state,
      diagnostic: this.#diagnostic,
      poll: this.#polling,
      final: false,
      controlPlaneIndependent: false,
      demand: false,
      detectMultiplier: this.#multiplier,
      myDiscriminator: this.localDiscriminator,
      yourDiscriminator: this.#remoteDiscriminator,
      desiredMinTx: this.#desiredMinTx,
      requiredMinRx: this.#requiredMinRx,
      requiredMinEchoRx: 0,
    };
  }

  #transmit(): void {
    this.#lastSent = this.#dependencies.clock.now();
    this.#dependencies.send(this.#packet());
    this.#scheduleTransmission();
  }

  /** The next packet is due by the last one sent, so that a shorter interval counts from there (§6.8.3). */
  #scheduleTransmission(): void {
    this.#sendTimer?.cancel();
    this.#sendTimer = null;
    this.#sendInterval = this.transmitInterval;
    if (this.#sendInterval === 0) return;
    // §6.8.7: 75 to 100 %; with a multiplier of 1 never more than 90 %, or jitter alone would look like a loss.
    const spread = this.#multiplier === 1 ? 0.15 : 0.25;
    const jittered = (this.#sendInterval / 1000) * (0.75 + spread * this.#dependencies.random());
    const { clock } = this.#dependencies;
    this.#sendTimer = clock.after(Math.max(0, this.#lastSent + jittered - clock.now()), () => this.#transmit());
  }

  #deadline(): number {
    return this.#lastReceived + this.detectionTime / 1000;
  }

  /** One timer that looks again when it fires, and is set anew only when the deadline came nearer. */
  #watchDetection(): void {
    if (this.#remoteMultiplier === 0) return;
    const deadline = this.#deadline();
    if (this.#detectTimer && this.#detectDue <= deadline) return;
    this.#detectTimer?.cancel();
    this.#detectDue = deadline;
    const { clock } = this.#dependencies;
    this.#detectTimer = clock.after(Math.max(0, deadline - clock.now()), () => this.#detect());
  }

  #detect(): void {
    this.#detectTimer = null;
    const { clock } = this.#dependencies;
    if (clock.now() >= this.#deadline()) this.#dependencies.catchUp();
    if (this.#state === "AdminDown" || this.#detectTimer) return;
    if (clock.now() < this.#deadline()) this.#watchDetection();
    else this.#expire();
  }

  /** §6.8.4, and §6.8.1 for the remote discriminator. */
  #expire(): void {
    const silence = Math.round(this.#dependencies.clock.now() - this.#lastReceived);
    const reason = `nothing received for ${silence} ms (detection time ${this.detectionTime / 1000} ms)`;
    const state = this.#state;
    this.#remoteState = "Down";
    this.#remoteDiscriminator = 0;
    this.#remoteMinTx = 0;
    this.#remoteMinRx = 1;
    this.#remoteMultiplier = 0;
    this.#remoteDemand = false;
    if (state === "Init" || state === "Up")
      this.#enter("Down", Diagnostic.DETECTION_TIME_EXPIRED, reason, state === "Up");
    else if (this.transmitInterval !== this.#sendInterval) this.#scheduleTransmission();
  }
}
