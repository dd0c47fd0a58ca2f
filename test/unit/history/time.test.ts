// Times as people write them.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatLocal, parseTime } from "../../../history/time.ts";

const zone = process.env.TZ;
beforeAll(() => {
  process.env.TZ = "Europe/Berlin";
});
afterAll(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

/** 13:00:00 in Berlin. */
const now = Date.parse("2026-11-26T12:00:00Z");
const utc = (text: string, after?: number) => {
  const time = parseTime(text, now, after ?? null);
  return time === null ? null : new Date(time).toISOString();
};

describe("a time", () => {
  it.each([
    ["now", "2026-11-26T12:00:00.000Z"],
    ["10m", "2026-11-26T11:50:00.000Z"],
    ["1h30m", "2026-11-26T10:30:00.000Z"],
    ["1.5h", "2026-11-26T10:30:00.000Z"],
    ["2d", "2026-11-24T12:00:00.000Z"],
    ["250ms", "2026-11-26T11:59:59.750Z"],
    ["03:12", "2026-11-26T02:12:00.000Z"],
    ["3:12:04.5", "2026-11-26T02:12:04.500Z"],
    ["13:00", "2026-11-26T12:00:00.000Z"],
    ["13:01", "2026-11-25T12:01:00.000Z"],
    ["2026-11-26", "2026-11-25T23:00:00.000Z"],
    ["2026-11-26T03:12", "2026-11-26T02:12:00.000Z"],
    ["2026-11-26 03:12:04.123456", "2026-11-26T02:12:04.123Z"],
    ["2026-07-26T03:12", "2026-07-26T01:12:00.000Z"],
    ["2026-11-26T03:12:04Z", "2026-11-26T03:12:04.000Z"],
    ["2026-11-26t03:12:04z", "2026-11-26T03:12:04.000Z"],
    ["2026-11-26T03:12+05:30", "2026-11-25T21:42:00.000Z"],
    ["2026-11-26T03:12-0100", "2026-11-26T04:12:00.000Z"],
    ["2024-02-29", "2024-02-28T23:00:00.000Z"],
  ])("%s is %s", (text, expected) => expect(utc(text)).toBe(expected));

  it.each(
    "|24:00|12:60|3:1|03:12:60|yesterday|10|10 m|-5m|m|2026-02-29|2026-13-01|2026-00-10|2026-11-31|2026-11-26T25:00|2026-11-26T03|2026-11-26T03:12:04+25:00|26.11.2026|NaN|1e3s".split(
      "|",
    ),
  )("%j is none", (text) => expect(utc(text)).toBeNull());

  it("of day after another one is the first after it, also over midnight", () => {
    const since = parseTime("23:50", now) as number;
    expect(utc("00:10", since)).toBe("2026-11-25T23:10:00.000Z");
    expect(utc("23:50", since)).toBe("2026-11-25T22:50:00.000Z");
    expect(utc("2h", since)).toBe("2026-11-26T10:00:00.000Z");
  });

  it("is written as it is read", () => {
    expect(formatLocal(now)).toBe("2026-11-26 13:00:00.000");
    expect(parseTime(formatLocal(now + 4), now)).toBe(now + 4);
  });
});
