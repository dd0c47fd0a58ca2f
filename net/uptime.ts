// A clock that goes on over restarts of the process, and that nobody sets.

/** Milliseconds since the machine booted (CLOCK_MONOTONIC). */
export function uptime(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
