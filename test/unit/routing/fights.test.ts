import { expect, it } from "vitest";
import { Fights, fightText } from "../../../routing/fib/fights.ts";
import { ManualClock } from "../bgp/session/support.ts";

function setUp() {
  const clock = new ManualClock();
  const seen: string[] = [];
  const fights = new Fights(clock, () => 1_700_000_000_000 + clock.now(), {
    began: ({ subject, repairs }) => seen.push(`began ${subject} ${repairs}`),
    ended: ({ subject, repairs }) => seen.push(`ended ${subject} ${repairs}`),
  });
  const repaired = (subject: string, times: number, pause: number, by: { pid: number; name: string | null } | null) => {
    for (let i = 0; i < times; i++) {
      fights.repaired(subject, by);
      clock.advance(pause);
    }
  };
  return { clock, seen, fights, repaired };
}

const ip = { pid: 612, name: "ip" };

it("five repairs within a minute are a fight, told once, until a minute has passed without one", () => {
  const { clock, seen, fights, repaired } = setUp();
  repaired("rule a", 4, 1000, ip);
  expect(fights.list()).toEqual([]);
  repaired("rule a", 20, 1000, ip);
  expect(seen).toEqual(["began rule a 5"]);
  expect(fights.list()).toEqual([{ subject: "rule a", by: ip, since: 1_700_000_001, repairs: 24 }]);
  // However rare they become: it goes on.
  repaired("rule a", 3, 50_000, null);
  fights.expire();
  expect(seen).toHaveLength(1);
  expect(fights.list()[0]).toMatchObject({ by: ip, repairs: 27 });
  clock.advance(61_000);
  fights.expire();
  expect(seen).toEqual(["began rule a 5", "ended rule a 27"]);
  expect(fights.list()).toEqual([]);
});

it("a few times in an hour is no fight, and what has a name is named rather than what has none", () => {
  const { fights, seen, repaired } = setUp();
  repaired("rule a", 20, 20_000, ip);
  expect(seen).toEqual([]);
  repaired("rule b", 1, 1, ip);
  repaired("rule b", 9, 1, { pid: 700, name: null });
  expect(fightText(fights.list()[0])).toMatch(
    /^rule b has been .* since 2023-.*Z, by ip \(pid 612\), and put back 10 /,
  );
});

it("a thousand subjects are bounded", () => {
  const { fights, repaired } = setUp();
  for (let i = 0; i < 1000; i++) repaired(`rule ${i}`, 6, 1, ip);
  expect(fights.list().length).toBeLessThanOrEqual(256);
  expect(fights.list().at(-1)?.subject).toBe("rule 999");
});
