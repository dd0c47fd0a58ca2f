// The loads of rib.bench.mjs, each in one process without sockets: octets -> framer -> Adj-RIB-In -> Loc-RIB ->
// Adj-RIB-Out -> octets, fed in chunks as sockets would. A load runs several times: the first run is what a daemon that has
// just started does (code not compiled yet), the last one what it does from then on.

import { readFileSync, writeFileSync } from "node:fs";
import { usualBestPath } from "../../bgp/loc-rib/best-path-options.ts";
import { Rib } from "../../bgp/rib.ts";
import { WarmUp } from "../../bgp/warm-up/warm-up.ts";
import { Framer } from "../../bgp/wire/framer.ts";
import { systemClock } from "../../net/clock.ts";
import { silentLog } from "../../net/log.ts";
import { FakeSession, peer, resolveAll } from "../unit/bgp/support.ts";
import { firstPrefixes, makeChange, makeTable } from "./rib-table.ts";

const CHUNK = 65536;
const CHANGES = 5000;
const BURST = 10;
const LOST = { reason: "bench", notification: null, local: false, graceful: false };

const speaker = {
  asn: 65000,
  routerId: 0x0a000001,
  clusterId: 1,
  tables: [{ name: "main", id: 7100 }],
  bestPath: { ...usualBestPath, maxPaths: 1 },
  listenPort: null,
  listenAddresses: [],
};

export interface Load {
  readonly name: string;
  /** Neighbours that announce. */
  readonly sources: number;
  /** All of them announce the same prefixes, or each a part. */
  readonly same: boolean;
}

export const loads: Readonly<Record<string, Load>> = {
  transit: { name: "transit", sources: 1, same: false },
  failover: { name: "failover", sources: 2, same: true },
  peers: { name: "peers", sources: 100, same: false },
  churn: { name: "churn", sources: 1, same: false },
};

/** Writes the octets that the feeders would send to files: made apart, so that neither memory nor garbage counts. */
export function generate(load: Load, count: number, directory: string): void {
  for (let i = 0; i < load.sources; i++) {
    const { asn, nextHop } = sourceFacts(i);
    const table = load.same
      ? makeTable({ count, asn, nextHop, variant: i })
      : makeTable({ count: Math.floor(count / load.sources), asn, nextHop, seed: i + 1 });
    writeFileSync(`${directory}/${i}`, table);
  }
}

export async function warmUp(): Promise<void> {
  await measure("warm-up", async () => {
    await new WarmUp(systemClock, speaker, peer("template", "192.0.2.1", 65001, {})).run();
  });
}

// Plain arrays and no Buffers, as from a connection: the code compiled for one does not serve the other.
export async function run(load: Load, directory: string): Promise<void> {
  const tables = Array.from({ length: load.sources }, (_, i) => new Uint8Array(readFileSync(`${directory}/${i}`)));
  const bench = new Bench(load, tables);
  const { heap, rss } = await measure("received and sent", () => bench.transit());
  const { received, advertised } = bench;
  print("prefixes received, advertised", `${received} ${advertised}`);
  print("octets in, out", `${tables.reduce((sum, { length }) => sum + length, 0)} ${bench.octets}`);
  print("longest read of a chunk, ms", bench.longest.toFixed(1));
  print("MiB of RSS, of heap and buffers more", `${rss} ${heap}`);
  if (load.name === "failover") await measure("sent through the other", () => bench.failover());
  if (load.name === "churn") await measure("changes sent", () => bench.churn());
  await measure("withdrawn", () => bench.withdraw());
  bench.stop();
}

class Bench {
  readonly #tables: readonly Uint8Array[];
  readonly #rib: Rib;
  readonly #sources: FakeSession[] = [];
  readonly #framers: Framer[] = [];
  octets = 0;
  longest = 0;

  constructor(load: Load, tables: readonly Uint8Array[]) {
    this.#tables = tables;
    this.#rib = new Rib(speaker, { clock: systemClock, log: silentLog, resolver: resolveAll });
    for (let i = 0; i < load.sources; i++) {
      const { name, address, asn } = sourceFacts(i);
      const options = peer(name, address, asn, { import: "all", export: "none" });
      this.#rib.addPeer(options);
      this.#sources.push(new FakeSession(options));
      this.#framers.push(new Framer());
    }
    const out = peer("out", "192.0.3.5", 64999, { import: "none", export: "all" });
    this.#rib.addPeer(out);
    const sink = new FakeSession(out, (messages) => {
      this.octets += messages.length;
      return true;
    });
    for (const source of this.#sources) this.#rib.established(source);
    this.#rib.established(sink);
  }

  get received(): number {
    return this.#rib.counts().total;
  }

  get advertised(): number {
    return this.#rib.advertisedCount("out");
  }

  /** All tables, chunks of each in turn. */
  async transit(): Promise<void> {
    const longest = Math.max(...this.#tables.map(({ length }) => length));
    for (let at = 0; at < longest; at += CHUNK) {
      for (let i = 0; i < this.#tables.length; i++) {
        const from = performance.now();
        this.#read(i, this.#tables[i].subarray(at, at + CHUNK));
        this.longest = Math.max(this.longest, performance.now() - from);
      }
      await turn();
    }
    await this.#sent();
  }

  /** The first neighbour is lost, the others have its prefixes. */
  async failover(): Promise<void> {
    this.#rib.down(this.#sources[0], LOST);
    await this.#sent();
  }

  /** Single changes in bursts, one burst per turn. */
  async churn(): Promise<void> {
    const { asn, nextHop } = sourceFacts(0);
    const prefixes = firstPrefixes(this.#tables[0]);
    for (let change = 0; change < CHANGES; change += BURST) {
      for (let i = change; i < change + BURST; i++)
        this.#read(0, makeChange(asn, nextHop, i, prefixes[(i * 7919) % prefixes.length]));
      await turn();
      await turn();
    }
    await this.#sent();
  }

  async withdraw(): Promise<void> {
    for (const source of this.#sources) this.#rib.down(source, LOST);
    while (this.advertised > 0) await turn();
  }

  stop(): void {
    this.#rib.stop();
  }

  #read(source: number, chunk: Uint8Array): void {
    const framer = this.#framers[source];
    framer.push(chunk);
    while (framer.next()) this.#rib.update(this.#sources[source], framer.buffer, framer.start, framer.end);
  }

  /** Nothing more goes out. */
  async #sent(): Promise<void> {
    for (let octets = -1, quiet = 0; quiet < 3; quiet = octets === this.octets ? quiet + 1 : 0) {
      octets = this.octets;
      await turn();
    }
  }
}

async function measure(name: string, work: () => Promise<void>): Promise<{ rss: string; heap: string }> {
  const before = process.memoryUsage();
  const cpu = process.cpuUsage();
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  print(`${name}: seconds, CPU seconds`, `${seconds.toFixed(3)} ${((user + system) / 1e6).toFixed(3)}`);
  const after = process.memoryUsage();
  const heap = `${mib(after.heapUsed - before.heapUsed)} ${mib(after.arrayBuffers - before.arrayBuffers)}`;
  return { rss: mib(after.rss), heap };
}

function sourceFacts(index: number): { name: string; address: string; asn: number; nextHop: Uint8Array } {
  const host = index + 1;
  return {
    name: `in${index}`,
    address: `192.0.2.${host}`,
    asn: 65001 + index,
    nextHop: Uint8Array.of(192, 0, 2, host),
  };
}

function turn(): Promise<void> {
  return new Promise(setImmediate);
}

function print(name: string, value: string): void {
  process.stdout.write(`${name.padEnd(44)}${value}\n`);
}

function mib(bytes: number): string {
  return (bytes / 1048576).toFixed(0);
}
