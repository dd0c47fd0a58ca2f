// When the lab is told to end: by a signal, or by the end of the process that started it.

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Calls back for each of them, more than once when somebody is impatient; none of them ends the process by itself. */
export function onEnd(listener: (signal: NodeJS.Signals) => void): void {
  for (const signal of signals) process.on(signal, () => listener(signal));
  // The channel closes when the process at its other end does, even by SIGKILL.
  if (process.connected) process.on("disconnect", () => listener("SIGTERM"));
}
