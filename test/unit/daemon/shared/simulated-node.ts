// A node's real source of blocks on the simulated store, with a disk that outlives it.
import { EMPTY_COPY, type LocalCopy } from "../../../../cni/blocks/local-copy.ts";
import { EtcdBlockSource } from "../../../../cni/blocks/source.ts";
import { SimulatedConnection, SimulatedEtcd } from "../../../property/cni/blocks/simulated-etcd.ts";
import { ProcessClock, World } from "../../../property/cni/blocks/time.ts";

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

export class SimulatedStore {
  readonly world = new World();
  readonly etcd = new SimulatedEtcd(this.world);
  #ids = 0;

  /** One life of a node. */
  async start(name: string, disk: { copy: LocalCopy } = { copy: EMPTY_COPY }) {
    const clock = new ProcessClock(this.world);
    const faults = { loseRequest: 0, loseAnswer: 0, twice: 0, delay: 0, cut: false };
    const source = new EtcdBlockSource(
      {
        node: name,
        identity: `machine-${name}`,
        rack: null,
        pools: [pool],
        startWait: 1000,
        syncInterval: 60_000,
        leaseTime: 60,
      },
      {
        etcd: new SimulatedConnection(this.world, this.etcd, clock, faults, () => 0.5),
        store: {
          load: async () => disk.copy,
          save: async (copy) => {
            disk.copy = copy;
          },
        },
        clock,
        random: () => 0.5,
        newId: () => `id${this.#ids++}`,
      },
    );
    await this.done(source.start());
    return { source, clock, faults };
  }

  /** Time passes until it is settled. */
  async done<T>(what: Promise<T>): Promise<T> {
    let settled = false;
    const end = () => {
      settled = true;
    };
    what.then(end, end);
    for (let i = 0; i < 1000 && !settled; i++) await this.world.step(this.world.now + 10);
    return what;
  }

  async pass(milliseconds: number): Promise<void> {
    for (const end = this.world.now + milliseconds; await this.world.step(end); );
  }
}
