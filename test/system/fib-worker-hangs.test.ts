// A worker thread that hangs, here because a debugger holds it, is noticed; one that only has much to do is not.
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { HUNG } from "../../routing/fib/client.ts";
import type { RouteBatch } from "../../routing/types.ts";
import { eventually, member, Namespace } from "./routing-namespace.ts";

let ns: Namespace;
let holder: ChildProcess | null = null;
beforeEach(() => {
  ns = new Namespace();
});
afterEach(async () => {
  holder?.kill("SIGKILL");
  await ns.remove();
});

/** PTRACE_ATTACH stops one thread; the end of the tracer lets it go. */
const HOLD = `
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(16, int(sys.argv[1]), None, None) != 0: sys.exit("ptrace: %d" % ctypes.get_errno())
libc.waitpid(int(sys.argv[1]), None, 0x40000000)
print("held", flush=True)
time.sleep(60)
`;

/** The worker is the thread that lives in the namespace. */
function workerThread(): string {
  const inode = readlinkSync("/proc/self/ns/net");
  const found = readdirSync("/proc/self/task").filter((id) => readlinkSync(`/proc/self/task/${id}/ns/net`) !== inode);
  expect(found).toHaveLength(1);
  return found[0];
}

it("is noticed after the deadline, and not before", async () => {
  const fib = ns.client({}, { heartbeat: { interval: 50, deadline: 500 } });
  const failures: Error[] = [];
  fib.onFailure((error) => failures.push(error));
  await fib.start();

  // Much to do: everything is answered between slices.
  const count = 100_000;
  const addresses = new Uint8Array(count * 4);
  const view = new DataView(addresses.buffer);
  for (let i = 0; i < count; i++) view.setUint32(i * 4, 0x14000000 + (i << 8));
  fib.setNextHopSet(1, [member(`192.0.0.2%${ns.ifindex("up0")}`)]);
  const batch: RouteBatch = {
    family: 4,
    table: 7100,
    count,
    addresses,
    lengths: new Uint8Array(count).fill(24),
    nextHopSets: new Uint32Array(count).fill(1),
  };
  fib.apply(batch);
  await fib.flush();
  expect((await fib.status()).installed).toBe(count);
  expect(failures).toEqual([]);

  holder = spawn("python3", ["-c", HOLD, workerThread()], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise<void>((resolve) => holder!.stdout!.once("data", () => resolve()));
  const refused = expect(fib.status()).rejects.toThrow("has not answered");
  await eventually(() => expect(failures).toMatchObject([{ code: HUNG, message: expect.stringContaining("0.5 s") }]));
  await refused;
  holder.kill("SIGKILL");
});
