// MRT: records octet by octet as RFC 6396 and RFC 8050 draw them, and files: rotation, names, what is kept, disks that fail.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { Monitoring } from "../../../../bgp/monitor/monitoring.ts";
import { FileWriter } from "../../../../bgp/monitor/mrt/file-writer.ts";
import {
  type MrtSession,
  RibRecord,
  writeMessage,
  writePeerIndexTable,
  writeStateChange,
} from "../../../../bgp/monitor/mrt/records.ts";
import type { MrtOptions } from "../../../../bgp/monitor/types.ts";
import { Writer } from "../../../../bgp/wire/writer.ts";
import { silentLog } from "../../../../net/log.ts";
import { type Prefix, parsePrefix } from "../../../../net/prefix.ts";
import { hex } from "../../../support/hex.ts";
import { waitFor } from "../session/support.ts";
import { type ManualClock, Simulation } from "../simulation.ts";
import { address, LOCAL_ASN } from "../support.ts";

const octets = (text: string) => Buffer.from(hex(text)).toString("hex");
const written = (write: (writer: Writer) => void): string => {
  const writer = new Writer(8);
  write(writer);
  return Buffer.from(writer.slice()).toString("hex");
};

describe("records", () => {
  const at = { time: 1_700_000_000_250, extended: false };
  const session: MrtSession = {
    remoteAsn: 4200000001,
    localAsn: 65000,
    ifindex: 3,
    remoteAddress: address("192.0.2.1"),
    localAddress: address("192.0.2.2"),
    as4: true,
  };
  const old = { ...session, as4: false, remoteAddress: address("2001:db8::1"), localAddress: address("2001:db8::2") };
  const keepalive = hex("ffffffffffffffffffffffffffffffff 0013 04");
  const body = "ffffffffffffffffffffffffffffffff 0013 04";
  const ends6 = "20010db8000000000000000000000001 20010db8000000000000000000000002";

  it("BGP4MP_MESSAGE_AS4, with microseconds too", () => {
    const rest = `fa56ea01 0000fde8 0003 0001 c0000201 c0000202 ${body}`;
    expect(written((writer) => writeMessage(writer, at, session, keepalive, false))).toBe(
      octets(`6553f100 0010 0004 00000027 ${rest}`),
    );
    expect(written((writer) => writeMessage(writer, { ...at, extended: true }, session, keepalive, false))).toBe(
      octets(`6553f100 0011 0004 0000002b 0003d090 ${rest}`),
    );
    expect(written((writer) => writeMessage(writer, at, session, keepalive, true))).toBe(
      octets(`6553f100 0010 0009 00000027 ${rest}`),
    );
  });

  it("BGP4MP_MESSAGE of a session with 2-octet AS numbers: AS_TRANS for what does not fit", () => {
    expect(written((writer) => writeMessage(writer, at, old, keepalive, false))).toBe(
      octets(`6553f100 0010 0001 0000003b 5ba0 fde8 0003 0002 ${ends6} ${body}`),
    );
    expect(written((writer) => writeMessage(writer, at, old, keepalive, true))).toBe(
      octets(`6553f100 0010 0008 0000003b 5ba0 fde8 0003 0002 ${ends6} ${body}`),
    );
  });

  it("BGP4MP_STATE_CHANGE and _AS4", () => {
    expect(written((writer) => writeStateChange(writer, at, session, "OpenConfirm", "Established"))).toBe(
      octets("6553f100 0010 0005 00000018 fa56ea01 0000fde8 0003 0001 c0000201 c0000202 0005 0006"),
    );
    expect(written((writer) => writeStateChange(writer, at, old, "Established", "Idle"))).toBe(
      octets(`6553f100 0010 0000 0000002c 5ba0 fde8 0003 0002 ${ends6} 0006 0001`),
    );
  });

  it("PEER_INDEX_TABLE", () => {
    const peers = [
      { routerId: 0x0a000001, address: address("0.0.0.0"), asn: 65000 },
      { routerId: 0x0a000002, address: address("2001:db8::1"), asn: 4200000001 },
    ];
    expect(written((writer) => writePeerIndexTable(writer, at.time, 0x0a000001, "all", peers))).toBe(
      octets(`6553f100 000d 0001 00000031 0a000001 0003 616c6c 0002
              02 0a000001 00000000 0000fde8  03 0a000002 20010db8000000000000000000000001 fa56ea01`),
    );
  });

  it("RIB entries, with and without path identifiers", () => {
    const write = (withIds: boolean) =>
      written((writer) => {
        const record = new RibRecord(writer);
        record.begin(at.time, 4, withIds, 7, address("10.128.0.0"), 9);
        record.add(1, at.time, 99, hex("400101 00"), null);
        record.add(2, 0, 100, hex("400101 02"), address("2001:db8::9"));
        record.end();
      });
    const reach = "80 0e 11 10 20010db8000000000000000000000009";
    expect(write(false)).toBe(
      octets(`6553f100 000d 0002 00000035 00000007 09 0a80 0002
              0001 6553f100 0004 40010100  0002 00000000 0018 ${reach} 40010102`),
    );
    expect(write(true)).toBe(
      octets(`6553f100 000d 0008 0000003d 00000007 09 0a80 0002
              0001 6553f100 00000063 0004 40010100  0002 00000000 00000064 0018 ${reach} 40010102`),
    );
  });
});

const root = mkdtempSync(join(tmpdir(), "ul-mrt-"));
afterAll(() => rmSync(root, { recursive: true }));

/** Records as `type subtype`, checked to be a whole chain. */
function records(path: string): string[] {
  const file = readFileSync(path);
  const found: string[] = [];
  for (let at = 0; at < file.length; at += 12 + file.readUInt32BE(at + 8)) {
    expect(at + 12 + file.readUInt32BE(at + 8)).toBeLessThanOrEqual(file.length);
    found.push(`${file.readUInt16BE(at + 4)} ${file.readUInt16BE(at + 6)}`);
  }
  return found;
}

describe("files", () => {
  let directory = "";
  let simulation: Simulation;
  let monitoring: Monitoring;
  let clock: ManualClock;
  /** 2026-08-01 00:07:00. */
  const start = Date.UTC(2026, 7, 1, 0, 7);
  let number = 0;

  const open = (options: Partial<MrtOptions> = {}) => {
    const { rib } = simulation;
    const mrt: MrtOptions = {
      directory,
      updates: { interval: 900, keep: 3 },
      tables: null,
      extendedTimestamps: false,
      ...options,
    };
    monitoring = new Monitoring(
      { sysName: "", sysDescr: "", bmp: [], mrt },
      {
        clock,
        log: silentLog,
        core: rib.core,
        asn: LOCAL_ASN,
        peers: () => rib.peers,
        wallTime: () => start + clock.now(),
        random: () => 0,
      },
    );
    rib.setMonitor(monitoring, monitoring.updateTap);
    monitoring.start();
  };
  const view = () => monitoring.view.mrt!;
  const advance = async (seconds: number) => {
    clock.advance(seconds * 1000);
    await simulation.settle();
  };

  beforeEach(() => {
    directory = join(root, `d${number++}`);
    simulation = new Simulation();
    clock = simulation.clock;
  });
  afterEach(async () => {
    await monitoring.stop();
    simulation.rib.stop();
  });

  it("updates: a file per interval, whole when it has its name; the newest are kept", async () => {
    mkdirSync(directory);
    // Of a run that was cut off.
    writeFileSync(join(directory, "updates.20260731.234500.mrt.part"), "");
    writeFileSync(join(directory, "rib.20260731.234500.mrt.part"), "half");
    writeFileSync(join(directory, "notes.txt"), "not ours");
    open();
    await waitFor(() => view().updatesFile !== null, "the file");
    const tor = simulation.peer("tor-a", "192.0.2.1", 65001);
    simulation.peer("private", "192.0.2.2", 65002, { monitored: false }).announce(["10.7.0.0/16"]);
    tor.announce(["10.1.0.0/16"]);
    simulation.rib.stateChanged(tor.options, "Established", "Idle", "test");
    await waitFor(() => view().updatesWritten === 2, "records");
    const first = join(directory, "updates.20260801.000700.mrt");
    expect(view().updatesFile).toBe(first);
    expect(existsSync(first)).toBe(false);

    await advance(8 * 60 + 0.001);
    await waitFor(() => existsSync(first), "the first file");
    expect(records(first)).toEqual(["16 4", "16 5"]);
    const path = readFileSync(first);
    expect(path.subarray(12, 32).toString("hex")).toBe(octets("0000fde9 0000fde8 0001 0001 c0000201 c00002fe"));

    await waitFor(() => view().updatesFile?.endsWith("updates.20260801.001500.mrt") ?? false, "the second file");
    for (let i = 0; i < 3; i++) {
      const before = view().updatesFile;
      await advance(900);
      await waitFor(() => view().updatesFile !== null && view().updatesFile !== before, "the next file");
    }
    await monitoring.stop();
    expect(readdirSync(directory).sort()).toEqual([
      "notes.txt",
      "updates.20260801.003000.mrt",
      "updates.20260801.004500.mrt",
      "updates.20260801.010000.mrt",
    ]);
  });

  it("updates of sessions with path identifiers and 2-octet AS numbers", async () => {
    open({ extendedTimestamps: true });
    await waitFor(() => view().updatesFile !== null, "the file");
    const options = { addPath: { receive: true, send: null, limit: 4 } };
    const addPath = { receive: [4 as const], send: [] };
    const server = simulation.peer("rs", "192.0.2.1", 65001, options, { addPath });
    server.announce(["10.1.0.0/16#3"]);
    server.announce(["2001:db8:1::/48"]);
    const old = simulation.peer("old", "192.0.2.2", 65002, {}, { as4: false });
    old.announce(["10.2.0.0/16"]);
    simulation.rib.stateChanged(old.options, "Established", "Idle", "test");
    await waitFor(() => view().updatesWritten === 4, "records");
    const file = view().updatesFile!;
    await monitoring.stop();
    expect(records(file)).toEqual(["17 9", "17 4", "17 1", "17 0"]);
  });

  it("a reload without MRT ends the file; another directory begins there", async () => {
    open();
    await waitFor(() => view().updatesFile !== null, "the file");
    const file = view().updatesFile!;
    const other = join(directory, "other");
    const mrt = { directory: other, updates: { interval: 900, keep: 3 }, tables: null, extendedTimestamps: false };
    monitoring.setOptions({ sysName: "", sysDescr: "", bmp: [], mrt });
    await waitFor(() => existsSync(file) && view().updatesFile !== null, "the new file");
    expect(view().updatesFile?.startsWith(other)).toBe(true);
    monitoring.setOptions({ sysName: "", sysDescr: "", bmp: [], mrt: null });
    expect(monitoring.updateTap).toBeNull();
    expect(monitoring.view.mrt).toBeNull();
    await waitFor(() => readdirSync(other).some((name) => name.endsWith(".mrt")), "the end of the new file");
  });

  it("a directory that cannot be made is a clear error, and tried again", async () => {
    writeFileSync(directory, "in the way");
    open();
    await waitFor(() => view().lastError !== null, "the error");
    expect(view().lastError).toMatch(/not a directory|EEXIST|file already exists/);
    const tor = simulation.peer("tor-a", "192.0.2.1", 65001);
    tor.announce(["10.1.0.0/16"]);
    expect(view().updatesLost).toBe(1);
    rmSync(directory);
    await advance(11);
    await waitFor(() => view().updatesFile !== null, "the file");
    tor.announce(["10.2.0.0/16"]);
    await waitFor(() => view().updatesWritten === 1, "the record");
    expect(view().lastError).toBeNull();
  });

  it("tables on interval and on demand: neighbours before policy, this node's own routes, paths with identifiers", async () => {
    open({ updates: null, tables: { interval: 3600, keep: 1 } });
    expect(monitoring.updateTap).toBeNull();
    const tor = simulation.peer("tor-a", "192.0.2.1", 65001, { import: "none" });
    tor.announce(["10.1.0.0/16", "10.2.0.0/16"]);
    tor.announce(["2001:db8:1::/48"]);
    simulation.peer("private", "192.0.2.2", 65002, { monitored: false }).announce(["10.7.0.0/16"]);
    const addPath = { receive: [4 as const], send: [] };
    const options = { addPath: { receive: true, send: null, limit: 4 } };
    const server = simulation.peer("rs", "192.0.2.3", 65003, options, { addPath });
    server.announce(["10.1.0.0/16#3"]);
    server.announce(["10.1.0.0/16#4"], { med: 9 });
    simulation.rib.announceLocal(7100, parsePrefix("10.244.1.0/26") as Prefix);
    simulation.rib.announceLocal(7200, parsePrefix("10.244.1.0/26") as Prefix);

    mkdirSync(directory);
    const file = join(directory, "now.mrt");
    const result = await monitoring.dump(file);
    expect(result).toMatchObject({ file, prefixes: 4, routes: 6 });
    expect(result.bytes).toBe(lstatSync(file).size);
    expect(records(file)).toEqual(["13 1", "13 2", "13 8", "13 2", "13 2", "13 4"]);

    for (const [seconds, name] of [
      [53 * 60 + 0.001, "rib.20260801.010000.mrt"],
      [3600, "rib.20260801.020000.mrt"],
    ] as const) {
      await advance(seconds);
      await waitFor(() => view().lastDump?.endsWith(name) ?? false, name);
    }
    expect(readdirSync(directory).sort()).toEqual(["now.mrt", "rib.20260801.020000.mrt"]);
  });

  it("a full disk: the dump fails in words, and nothing of it stays", async () => {
    open({ updates: null });
    mkdirSync(directory);
    const file = join(directory, "now.mrt");
    symlinkSync("/dev/full", `${file}.part`);
    await expect(monitoring.dump(file)).rejects.toThrow(`cannot write ${file}: no space left on the device (ENOSPC)`);
    expect(readdirSync(directory)).toEqual([]);
    await expect(monitoring.dump(join(directory, "no", "such.mrt"))).rejects.toThrow("there is no such directory");
    expect(await monitoring.dump(file)).toMatchObject({ prefixes: 0, routes: 0 });
  });
});

it("a file that fails in the middle holds whole chunks only, and goes on when there is room again", async () => {
  const path = join(root, "chunks.mrt");
  const file = await FileWriter.create(path);
  let progress = 0;
  file.onProgress = () => progress++;
  file.write(Uint8Array.of(1, 2, 3));
  await waitFor(() => progress === 1, "the first chunk");
  expect([file.written, file.pending]).toEqual([3, 0]);
  // A chunk that the kernel does not take: it is no bytes.
  file.write({ length: 5 } as unknown as Uint8Array);
  await waitFor(() => file.error !== null, "the error");
  file.write(Uint8Array.of(9));
  expect(file.pending).toBe(0);
  file.retry();
  file.write(Uint8Array.of(4));
  await waitFor(() => file.written === 4, "the next chunk");
  await file.finish();
  expect([...readFileSync(path)]).toEqual([1, 2, 3, 4]);
});
