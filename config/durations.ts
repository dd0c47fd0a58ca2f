// Durations as people write them (`90s`, `2m`, `1m30s`, or a plain number of seconds) -> seconds.
import { parseDuration } from "../net/duration.ts";
import { quote, Refusal, type Scalar } from "./scalar.ts";

/** Whole seconds within bounds. */
export function seconds(minimum: number, maximum: number): Scalar<number> {
  return {
    json: {
      title: "duration",
      anyOf: [
        { type: "integer", minimum, maximum },
        { type: "string", pattern: "^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$" },
      ],
    },
    parse(value) {
      const parsed = parseDuration(value);
      if (parsed === null)
        return new Refusal(`${quote(value)} is not a duration`, "write 90s, 2m, 1h, or a number of seconds");
      if (!Number.isInteger(parsed)) return new Refusal(`${quote(value)} is not a whole number of seconds`);
      if (parsed < minimum || parsed > maximum)
        return new Refusal(`${quote(value)} is outside of ${minimum} to ${maximum} seconds`);
      return parsed;
    },
  };
}

/** Whole seconds within bounds, or `false`: null. */
export function durationOrFalse(minimum: number, maximum: number): Scalar<number | null> {
  const { json, parse } = seconds(minimum, maximum);
  return {
    json: { title: "duration or `false`", anyOf: [{ const: false }, json] },
    parse: (value) => (value === false ? null : parse(value)),
  };
}

/** Whole milliseconds within bounds; a plain number is one of seconds, as everywhere. */
export function milliseconds(minimum: number, maximum: number): Scalar<number> {
  return {
    json: {
      title: "duration",
      anyOf: [
        { type: "number", minimum: minimum / 1000, maximum: maximum / 1000 },
        { type: "string", pattern: "^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$" },
      ],
    },
    parse(value) {
      const parsed = parseDuration(value);
      if (parsed === null) return new Refusal(`${quote(value)} is not a duration`, "write 300ms or 1s");
      const ms = Math.round(parsed * 1000);
      if (ms < minimum || ms > maximum)
        return new Refusal(
          `${quote(value)} is outside of ${minimum} ms to ${maximum} ms`,
          typeof value === "number" ? `a plain number is seconds; write ${value}ms` : null,
        );
      return ms;
    },
  };
}

/** RFC 4271 §4.2: zero (no keepalives) or at least three seconds. */
export const holdTime: Scalar<number> = {
  json: seconds(0, 65535).json,
  parse(value) {
    const parsed = seconds(0, 65535).parse(value);
    if (parsed === 1 || parsed === 2)
      return new Refusal(`a hold time of ${parsed} s is not allowed (RFC 4271)`, "0 (never expires), or 3s and more");
    return parsed;
  },
};
