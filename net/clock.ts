// Time as a parameter: the daemon passes systemClock, tests pass their own.

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Calls back once after `delay` milliseconds. */
  after(delay: number, callback: () => void): Timer;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(delay, callback) {
    const handle = setTimeout(callback, delay);
    return { cancel: () => clearTimeout(handle) };
  },
};
