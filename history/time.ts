// Times as people write them on a command line -> milliseconds since 1970. Without a zone they are local time.
//
//   10m  2h  1h30m      so long ago
//   03:12  03:12:04     the last time it was that late
//   2026-11-26  2026-11-26T03:12  "2026-11-26 03:12:04.5"  2026-11-26T03:12:04Z  2026-11-26T03:12+01:00  now
const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;
const CLOCK = /^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?$/;
const DATE = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2})?)?$/i;

/**
 * Null: this is no time. `after`: of a time of day the first one after this is meant, rather than the last one before
 * `now`.
 */
export function parseTime(text: string, now: number, after: number | null = null): number | null {
  if (text === "now") return now;
  if (DURATION.test(text)) {
    let ago = 0;
    for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) ago += Number(number) * units[unit];
    return now - ago;
  }
  const clock = CLOCK.exec(text);
  if (clock) return timeOfDay(clock, now, after);
  const date = DATE.exec(text);
  return date ? dateTime(date) : null;
}

function timeOfDay(match: RegExpExecArray, now: number, after: number | null): number | null {
  const [hour, minute, second] = [match[1], match[2], match[3] ?? "0"].map(Number);
  if (hour > 23 || minute > 59 || second > 59) return null;
  const on = (from: number, day: number) => {
    const date = new Date(from);
    date.setDate(date.getDate() + day);
    date.setHours(hour, minute, second, milliseconds(match[4]));
    return date.getTime();
  };
  if (after !== null) return [on(after, 0), on(after, 1)].find((time) => time >= after) ?? null;
  return on(now, 0) <= now ? on(now, 0) : on(now, -1);
}

function dateTime(match: RegExpExecArray): number | null {
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0));
  if (month < 1 || month > 12 || day < 1 || day > new Date(year, month, 0).getDate()) return null;
  if (hour > 23 || minute > 59 || second > 59) return null;
  const ms = milliseconds(match[7]);
  const zone = match[8];
  if (zone === undefined) return new Date(year, month - 1, day, hour, minute, second, ms).getTime();
  const utc = Date.UTC(year, month - 1, day, hour, minute, second, ms);
  if (zone.toUpperCase() === "Z") return utc;
  const [hours, minutes] = [zone.slice(1, 3), zone.slice(-2)].map(Number);
  if (hours > 23 || minutes > 59) return null;
  return utc - (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

function milliseconds(fraction: string | undefined): number {
  return fraction === undefined ? 0 : Math.floor(Number(`0.${fraction}`) * 1000);
}

/** `2026-11-26 03:12:04.123`, local time. */
export function formatLocal(time: number): string {
  const date = new Date(time);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
