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

/** setTimeout calls at once what is due later than 2^31 ms, 25 days. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  after(delay, callback) {
    let left = delay;
    const wait = () => {
      const ms = Math.min(left, LONGEST_TIMEOUT);
      left -= ms;
      return setTimeout(left > 0 ? () => (handle = wait()) : callback, ms);
    };
    let handle = wait();
    return { cancel: () => clearTimeout(handle) };
  },
};
