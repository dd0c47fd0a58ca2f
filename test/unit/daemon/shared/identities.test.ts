// Until when addresses are kept for a pod that is gone: over a restart of the daemon, by the time of day. Against the
// simulated store.
import { afterEach, beforeEach, expect, it } from "vitest";
import { EMPTY_COPY, type LocalCopy } from "../../../../cni/blocks/local-copy.ts";
import { EtcdBlockSource } from "../../../../cni/blocks/source.ts";
import { Identities } from "../../../../daemon/shared/identities.ts";
import { silentLog } from "../../../../net/log.ts";
import { SimulatedConnection, SimulatedEtcd } from "../../../property/cni/blocks/simulated-etcd.ts";
import { ProcessClock, World } from "../../../property/cni/blocks/time.ts";

const MINUTE = 60_000;
const web = { pool: "default", namespace: "shop", name: "web-0" };
const pool = {
  name: "default",
  cidrs: ["10.0.0.0/24"],
  blockSize: { 4: 28 },
  exclude: [],
  rackSize: {},
  racks: {},
  lend: 0,
  maxBlocks: 4,
};

let world: World;
let etcd: SimulatedEtcd;
let disk: LocalCopy;
let daemon: Daemon;

/** One life of it. */
interface Daemon {
  readonly source: EtcdBlockSource;
  readonly identities: Identities;
  readonly clock: ProcessClock;
  readonly faults: { cut: boolean };
}

async function start({ longest = 60 * MINUTE, wrong = 0 } = {}): Promise<Daemon> {
  const clock = new ProcessClock(world);
  const faults = { loseRequest: 0, loseAnswer: 0, twice: 0, delay: 0, cut: false };
  let ids = world.now;
  const source = new EtcdBlockSource(
    {
      node: "a",
      identity: "machine-a",
      rack: null,
      pools: [pool],
      startWait: 1000,
      syncInterval: MINUTE,
      leaseTime: 60,
    },
    {
      etcd: new SimulatedConnection(world, etcd, clock, faults, () => 0.5),
      store: {
        load: async () => disk,
        save: async (copy) => {
          disk = copy;
        },
      },
      clock,
      random: () => 0.5,
      newId: () => `id${world.now}-${ids++}`,
    },
  );
  await done(source.start());
  const deps = { source, clock, timeOfDay: () => world.now + wrong, longest: () => longest, log: silentLog };
  return { source, identities: new Identities(deps), clock, faults };
}

async function done<T>(what: Promise<T>): Promise<T> {
  let settled = false;
  const end = () => {
    settled = true;
  };
  what.then(end, end);
  for (let i = 0; i < 1000 && !settled; i++) await world.step(world.now + 10);
  return what;
}

async function pass(milliseconds: number): Promise<void> {
  for (const end = world.now + milliseconds; await world.step(end); );
}

const end = ({ clock, identities }: Daemon) => {
  identities.stop();
  clock.dead = true;
};
const isKept = () => [...etcd.keys.keys()].some((key) => key.includes("/identities/") && key.includes("web-0"));

beforeEach(async () => {
  world = new World();
  etcd = new SimulatedEtcd(world);
  disk = EMPTY_COPY;
  daemon = await start();
  const block = await done(daemon.source.want("default", 4));
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
  expect(disk.departed).toEqual([]);
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
  expect(await done(daemon.identities.fetch(web))).toHaveLength(1);
  expect(disk.departed).toEqual([]);
  await pass(120 * MINUTE);
  expect(isKept()).toBe(true);
});

it("keeps them no longer than the pool keeps any, whatever the clock said when the pod went", async () => {
  end(daemon);
  daemon = await start({ wrong: 200 * 365 * 24 * 60 * MINUTE });
  await done(daemon.identities.fetch(web));
  daemon.identities.detached(web, 60 * MINUTE);
  await pass(1000);
  expect(disk.departed).toMatchObject([{ keptUntil: expect.stringMatching(/^21/) }]);
  end(daemon);
  daemon = await start({ longest: 5 * MINUTE });
  await pass(6 * MINUTE);
  expect(isKept()).toBe(false);
  expect(disk.departed).toEqual([]);
});
