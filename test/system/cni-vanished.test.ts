// Pods that went without a DEL, as `ctr run -d` leaves them: found and released, and never one that anybody is in or
// can enter.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { findHolders } from "../../cni/holders.ts";
import { CniHost, sh } from "./support/cni-host.ts";

let host: CniHost;
const held: ChildProcess[] = [];
beforeAll(() => {
  host = new CniHost();
});
afterAll(async () => {
  // Their output would keep the test waiting.
  for (const child of held) child.kill("SIGKILL");
  sh(`umount -l ${join(host.directory, "mounted")} 2>/dev/null || true`);
  await host.close();
});

/** A process that says a word when it is as far, and stays. */
async function hold(command: string, ...args: string[]): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  held.push(child);
  await new Promise((resolve) => child.stdout!.once("data", resolve));
  return child;
}

/** Goes into a namespace, makes a socket, and comes back. */
const SOCKET = `
import ctypes, os, socket, sys, time
libc = ctypes.CDLL(None)
own, pod = os.open("/proc/self/ns/net", 0), os.open(sys.argv[1], 0)
libc.setns(pod, 0)
taken = socket.socket()
libc.setns(own, 0)
os.close(own), os.close(pod)
print("ready", flush=True)
time.sleep(60)`;

const ids = async () => (await host.pods()).map(({ containerId }) => containerId).sort();
/** Nothing is left of others, neither. */
const settled = async () => ({ pods: await ids(), used: await host.used(), links: host.links().length });

it("releases a pod that nobody is in, has mounted or open, and no other", { timeout: 60_000 }, async () => {
  await host.start({ vanishedAfter: 400 });
  for (const name of ["inside", "open", "mounted", "socket", "well"]) {
    host.addPod(name);
    expect((await host.call("ADD", { pod: name })).code).toBe(0);
  }
  const mount = join(host.directory, "mounted");
  writeFileSync(mount, "");
  sh(`mount --bind ${host.podPath("mounted")} ${mount}`);
  const inside = await hold("nsenter", `--net=${host.podPath("inside")}`, "sh", "-c", "echo ready; exec sleep 60");
  const open = await hold("sh", "-c", `exec 9<${host.podPath("open")}; echo ready; exec sleep 60`);
  await hold("python3", "-c", SOCKET, host.podPath("socket"));
  for (const name of ["inside", "open", "mounted", "socket"]) host.removePod(name);

  const living = { pods: ["c-inside", "c-mounted", "c-open", "c-well"], used: [4, 4], links: 4 };
  await expect.poll(settled, { timeout: 20_000, interval: 50 }).toEqual(living);
  for (const why of ["is in it", "has it open", "it is mounted at", "a pod is gone and no DEL came for it"])
    expect(host.errors).toContain(why);

  // With its last holder a namespace goes, and is released at once.
  inside.kill("SIGKILL");
  sh(`umount ${mount}`);
  open.kill("SIGKILL");
  await expect.poll(settled, { timeout: 20_000, interval: 50 }).toEqual({ pods: ["c-well"], used: [1, 1], links: 1 });
});

it("releases a pod whose interface somebody had deleted, when its namespace goes too", {
  timeout: 60_000,
}, async () => {
  host.addPod("cut");
  await host.call("ADD", { pod: "cut" });
  const pod = (await host.pods()).find(({ containerId }) => containerId === "c-cut")!;
  sh(`ip -n ${host.name} link del ${pod.hostInterface}`);
  await expect.poll(() => host.errors).toContain("somebody deleted the interface of a pod");
  expect(await ids()).toContain("c-cut");
  host.removePod("cut");
  await expect.poll(ids, { timeout: 20_000, interval: 20 }).toEqual(["c-well"]);
});

it("proves nothing where it cannot see every process", async () => {
  const proc = join(host.directory, "proc");
  for (const directory of ["self/ns", "7/ns"]) mkdirSync(join(proc, directory), { recursive: true });
  sh(`cd ${proc}; rm -r self; mkdir -p 8/ns 8/task 8/fd; ln -s 8 self; ln -s pid:[4026532000] 8/ns/pid`);
  expect(await findHolders(new Set(["4:123"]), proc)).toEqual({ of: new Map(), complete: false });
  sh(`ln -sfn pid:[4026531836] ${proc}/8/ns/pid; mkdir -p ${proc}/7/task/7/ns ${proc}/7/fd
    ln -s net:[123] ${proc}/7/task/7/ns/net; echo sandbox > ${proc}/7/comm`);
  const { of, complete } = await findHolders(new Set(["4:123"]), proc);
  expect([of.get("4:123"), complete]).toEqual(["process 7 (sandbox) is in it", true]);
});
