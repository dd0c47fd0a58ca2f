// Until when addresses are kept for a pod that is gone: over a restart of the daemon, by the time of day. Against the
// simulated store.
import { afterEach, beforeEach, expect, it } from "vitest";
import { EMPTY_COPY, type LocalCopy } from "../../../../cni/blocks/local-copy.ts";
import { Identities } from "../../../../daemon/shared/identities.ts";
import { silentLog } from "../../../../net/log.ts";
import { SimulatedStore } from "./simulated-node.ts";

const MINUTE = 60_000;
const web = { pool: "default", namespace: "shop", name: "web-0" };
let store: SimulatedStore;
let disk: { copy: LocalCopy };
let daemon: Awaited<ReturnType<typeof start>>;

/** One life of it. */
async function start({ longest = 60 * MINUTE, wrong = 0 } = {}) {
  const { source, clock, faults } = await store.start("a", disk);
  const timeOfDay = () => store.world.now + wrong;
  const identities = new Identities({ source, clock, timeOfDay, longest: () => longest, log: silentLog });
  return { source, identities, clock, faults };
}

const pass = (milliseconds: number) => store.pass(milliseconds);
const end = ({ clock, identities }: Pick<typeof daemon, "clock" | "identities">) => {
  identities.stop();
  clock.dead = true;
};
const isKept = () => [...store.etcd.keys.keys()].some((key) => key.includes("/identities/") && key.includes("web-0"));

beforeEach(async () => {
  store = new SimulatedStore();
  disk = { copy: EMPTY_COPY };
  daemon = await start();
  const block = await store.done(daemon.source.want("default", 4));
  daemon.identities.attached(web, [block.prefix.split("/")[0]]);
  await pass(1000);
  expect(isKept()).toBe(true);
  daemon.identities.detached(web, 60 * MINUTE);
  await pass(1000);
});
afterEach(() => end(daemon));

it("forgets them when their time is over, also when the daemon has been restarted meanwhile", async () => {
  await pass(20 * MINUTE);
  end(daemon);
  await pass(10 * MINUTE);
  daemon = await start();
  await pass(29 * MINUTE);
  expect(isKept()).toBe(true);
  await pass(2 * MINUTE);
  expect(isKept()).toBe(false);
  expect(disk.copy.departed).toEqual([]);
});

it("forgets them at once when their time is over at the start; with etcd away, as soon as it answers", async () => {
  end(daemon);
  await pass(61 * MINUTE);
  daemon = await start();
  daemon.faults.cut = true;
  await pass(MINUTE);
  expect(isKept()).toBe(true);
  daemon.faults.cut = false;
  await pass(MINUTE);
  expect(isKept()).toBe(false);
});

it("forgets nothing when the pod has come back after the restart", async () => {
  end(daemon);
  daemon = await start();
  expect(await store.done(daemon.identities.fetch(web))).toHaveLength(1);
  expect(disk.copy.departed).toEqual([]);
  await pass(120 * MINUTE);
  expect(isKept()).toBe(true);
});

it("keeps them no longer than the pool keeps any, whatever the clock said when the pod went", async () => {
  end(daemon);
  daemon = await start({ wrong: 200 * 365 * 24 * 60 * MINUTE });
  await store.done(daemon.identities.fetch(web));
  daemon.identities.detached(web, 60 * MINUTE);
  await pass(1000);
  expect(disk.copy.departed).toMatchObject([{ keptUntil: expect.stringMatching(/^21/) }]);
  end(daemon);
  daemon = await start({ longest: 5 * MINUTE });
  await pass(6 * MINUTE);
  expect(isKept()).toBe(false);
  expect(disk.copy.departed).toEqual([]);
});
