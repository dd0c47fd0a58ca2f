// `ready`, `readyTimeout` and `readyFallback` of a network configuration, which stand before those of the daemon's.
import { parseDuration } from "../../net/duration.ts";
import type { ReadyFallback, ReadyLevel, ReadyOptions } from "../readiness.ts";
import { CniError, CniErrorCode } from "./error.ts";
import type { JsonObject } from "./json.ts";

const readyLevels: readonly ReadyLevel[] = ["advertised", "established", "none"];
const readyFallbacks: readonly ReadyFallback[] = ["attach", "fail"];
/** Milliseconds; the client executable waits for 120 s in all. */
const LONGEST_READY_TIMEOUT = 100_000;

/** Throws 7 for what makes no sense, naming key and value. */
export function readyOf(raw: JsonObject, defaults: ReadyOptions): ReadyOptions {
  return {
    level: word(raw, "ready", readyLevels) ?? defaults.level,
    timeout: timeout(raw) ?? defaults.timeout,
    fallback: word(raw, "readyFallback", readyFallbacks) ?? defaults.fallback,
  };
}

function word<Word extends string>(raw: JsonObject, key: string, words: readonly Word[]): Word | null {
  const value = raw[key] ?? null;
  if (value === null || words.includes(value as Word)) return value as Word | null;
  throw new CniError(
    CniErrorCode.invalidConfig,
    `"${key}": ${JSON.stringify(value)} must be one of ${words.map((each) => `"${each}"`).join(", ")}`,
  );
}

function timeout(raw: JsonObject): number | null {
  const value = raw.readyTimeout ?? null;
  if (value === null) return null;
  const seconds = parseDuration(value);
  const milliseconds = seconds === null ? Number.NaN : Math.round(seconds * 1000);
  if (milliseconds >= 0 && milliseconds <= LONGEST_READY_TIMEOUT) return milliseconds;
  throw new CniError(
    CniErrorCode.invalidConfig,
    `"readyTimeout": ${JSON.stringify(value)} must be a duration up to ${LONGEST_READY_TIMEOUT / 1000}s, such as "500ms" or "10s"`,
  );
}
