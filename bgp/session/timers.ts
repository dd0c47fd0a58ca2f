// The named timers of one session over an injected clock. Restarting one is two assignments: the hold timer is
// restarted for every message received, so the clock's timer is left alone and re-armed when it fires too early.
import type { Clock, Timer } from "../../net/clock.ts";
import type { TimerName } from "./fsm-types.ts";

interface Slot {
  /** Clock time at which the timer expires; null: stopped. */
  deadline: number | null;
  armed: Timer | null;
  armedFor: number;
}

export class Timers {
  readonly #clock: Clock;
  readonly #expired: (timer: TimerName) => void;
  readonly #slots = new Map<TimerName, Slot>();

  constructor(clock: Clock, expired: (timer: TimerName) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  /** Starts or restarts; `ms` milliseconds from now. */
  start(timer: TimerName, ms: number): void {
    let slot = this.#slots.get(timer);
    if (!slot) {
      slot = { deadline: null, armed: null, armedFor: 0 };
      this.#slots.set(timer, slot);
    }
    slot.deadline = this.#clock.now() + ms;
    if (slot.armed && slot.armedFor <= slot.deadline) return;
    slot.armed?.cancel();
    this.#arm(timer, slot, slot.deadline);
  }

  stop(timer: TimerName): void {
    const slot = this.#slots.get(timer);
    if (!slot) return;
    slot.deadline = null;
    slot.armed?.cancel();
    slot.armed = null;
  }

  stopAll(): void {
    for (const timer of this.#slots.keys()) this.stop(timer);
  }

  running(timer: TimerName): boolean {
    return (this.#slots.get(timer)?.deadline ?? null) !== null;
  }

  #arm(timer: TimerName, slot: Slot, deadline: number): void {
    slot.armedFor = deadline;
    slot.armed = this.#clock.after(Math.max(0, deadline - this.#clock.now()), () => {
      slot.armed = null;
      if (slot.deadline === null) return;
      // setTimeout may fire up to a millisecond early.
      if (slot.deadline > this.#clock.now() + 1) {
        this.#arm(timer, slot, slot.deadline);
        return;
      }
      slot.deadline = null;
      this.#expired(timer);
    });
  }
}
