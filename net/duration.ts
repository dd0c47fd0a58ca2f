// Durations as people write them: `90s`, `2m`, `1m30s`, or a plain number of seconds.

const units: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };

/** Seconds, or null when it is no duration. */
export function parseDuration(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) && value >= 0 ? value : null;
  if (typeof value !== "string" || !/^(\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(value)) return null;
  let seconds = 0;
  for (const [, number, unit] of value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
    seconds += Number(number) * units[unit];
  return Math.round(seconds * 1000) / 1000;
}
