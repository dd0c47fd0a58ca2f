// The body of rib.bench.mjs: a synthetic table like a public one (about 12 prefixes per UPDATE and attribute set, paths of
// 2 to 6 ASes, communities), fed in chunks as a socket would, and what comes out counted.
import { readFileSync, writeFileSync } from "node:fs";
import { Rib } from "../../bgp/rib.ts";
import { Framer } from "../../bgp/wire/framer.ts";
import { beginMessage, endMessage } from "../../bgp/wire/message.ts";
import { emptyAttributes } from "../../bgp/wire/path-attributes.ts";
import { MessageType } from "../../bgp/wire/registry.ts";
import { encodeAttributes, encodeEndOfRib } from "../../bgp/wire/update.ts";
import { Writer } from "../../bgp/wire/writer.ts";
import { systemClock } from "../../net/clock.ts";
import { silentLog } from "../../net/log.ts";
import { FakeSession, peer, resolveAll } from "../unit/bgp/support.ts";

const CHUNK = 65536;

/** Writes the octets that a feeder would send to a file. */
export function generate(count: number, file: string): void {
  writeFileSync(file, table(count));
}

export async function run(count: number, file: string): Promise<void> {
  const stream = readFileSync(file);
  const rib = new Rib(
    {
      asn: 65000,
      routerId: 0x0a000001,
      tables: [{ name: "main", id: 7100 }],
      maxPaths: 8,
      listenPort: null,
      listenAddresses: [],
    },
    { clock: systemClock, log: silentLog, resolver: resolveAll },
  );
  rib.addPeer(peer("in", "192.0.2.1", 65001, { import: "all", export: "none" }));
  rib.addPeer(peer("out", "192.0.2.5", 65002, { import: "none", export: "all" }));
  const source = new FakeSession(peer("in", "192.0.2.1", 65001, {}));
  let octets = 0;
  const sink = new FakeSession(peer("out", "192.0.2.5", 65002, {}), (messages) => {
    octets += messages.length;
    return true;
  });
  rib.established(source);
  rib.established(sink);
  globalThis.gc?.();
  const before = process.memoryUsage.rss();
  const cpu = process.cpuUsage();
  const started = performance.now();
  let longest = 0;

  const framer = new Framer();
  for (let at = 0; at < stream.length; at += CHUNK) {
    const turn = performance.now();
    framer.push(stream.subarray(at, at + CHUNK));
    while (framer.next()) rib.update(source, framer.buffer, framer.start, framer.end);
    longest = Math.max(longest, performance.now() - turn);
    await new Promise(setImmediate);
  }
  const received = performance.now();
  for (let sent = -1; sent !== advertised(rib); await new Promise(setImmediate)) sent = advertised(rib);
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const line = (name: string, value: string) => process.stdout.write(`${name.padEnd(34)}${value}\n`);
  line("prefixes received", `${rib.counts().total}`);
  line("prefixes advertised", `${advertised(rib)}`);
  line("octets in, out", `${stream.length} ${octets}`);
  line("seconds until received, sent", `${((received - started) / 1000).toFixed(3)} ${seconds.toFixed(3)}`);
  line("CPU seconds", ((user + system) / 1e6).toFixed(3));
  line("ns per prefix", ((seconds * 1e9) / count).toFixed(0));
  line("longest read of a chunk, ms", longest.toFixed(1));
  line("RSS before, after, MiB", `${mib(before)} ${mib(process.memoryUsage.rss())}`);
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  line("heap, external, buffers, MiB", `${mib(heapUsed)} ${mib(external)} ${mib(arrayBuffers)}`);

  const down = performance.now();
  rib.down(source, { reason: "bench", notification: null, local: false, graceful: false });
  const doomed = performance.now() - down;
  while (advertised(rib) > 0) await new Promise(setImmediate);
  line("session loss: first turn, all, ms", `${doomed.toFixed(1)} ${(performance.now() - down).toFixed(0)}`);
  rib.stop();
}

function advertised(rib: Rib): number {
  return rib.advertisedCount("out");
}

function mib(bytes: number): string {
  return (bytes / 1048576).toFixed(0);
}

/** Numbers from a seed (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** UPDATEs for `count` distinct prefixes, and End-of-RIB. */
function table(count: number): Uint8Array {
  const next = random(1);
  const seen = new Set<number>();
  const writer = new Writer(16 * 1024 * 1024);
  for (let left = count; left > 0; ) {
    const size = Math.min(left, next(100) < 45 ? 1 : 1 + next(40));
    const start = beginMessage(writer, MessageType.UPDATE);
    writer.u16(0);
    const lengthAt = writer.offset;
    writer.u16(0);
    const asPath = [
      { type: 2 as const, asns: [65001, ...Array.from({ length: 1 + next(5) }, () => 1 + next(400_000))] },
    ];
    const communities = next(10) < 6 ? Array.from({ length: 1 + next(4) }, () => next(0xfffffff0)) : [];
    const med = next(10) < 4 ? next(1000) : null;
    const nextHop = Uint8Array.of(192, 0, 2, 1);
    encodeAttributes(writer, { ...emptyAttributes, asPath, communities, med, nextHop }, { as4: true }, true);
    writer.patchU16(lengthAt, writer.offset - lengthAt - 2);
    const home = next(0xe0000000);
    for (let i = 0; i < size; i++) {
      const length = next(10) < 6 ? 24 : 16 + next(8);
      const near = next(10) < 7 ? ((home & 0xfffc0000) | next(0x40000)) >>> 0 : next(0xe0000000);
      const address = (near & (-1 << (32 - length))) >>> 0;
      if (address >>> 24 === 0 || seen.has(address * 64 + length)) {
        i--;
        continue;
      }
      seen.add(address * 64 + length);
      writer.u8(length);
      for (let bits = 0; bits < length; bits += 8) writer.u8((address >>> (24 - bits)) & 255);
    }
    endMessage(writer, start);
    left -= size;
  }
  writer.bytes(encodeEndOfRib(4));
  return writer.slice();
}
