// underlayctl pods|blocks inspect, verify and repair: the books of a daemon that does not run, beside the kernel.
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { distFile } from "../../net/dist.ts";
import { CniHost, sh } from "./support/cni-host.ts";

let host: CniHost;
const journal = () => join(host.state, "allocations.journal");
beforeAll(async () => {
  host = new CniHost();
  for (const name of ["a", "b", "gone"]) host.addPod(name);
  await host.start();
  for (const name of ["a", "b", "gone"]) expect((await host.call("ADD", { pod: name })).code).toBe(0);
  await host.stop();
});
afterAll(() => host.close());

function ctl(...args: string[]) {
  const command = [`--net=/var/run/netns/${host.name}`, process.execPath, distFile("underlayctl.cjs"), ...args];
  const { status, stdout, stderr } = spawnSync("nsenter", [...command, "--state", host.state], { encoding: "utf8" });
  return { code: status, stdout, stderr };
}
const verified = () => JSON.parse(ctl("pods", "verify", "--json").stdout);

it("tells what the journal holds, and that the kernel agrees", () => {
  const { code, stdout } = ctl("pods", "inspect");
  expect([code, stdout]).toEqual([0, expect.stringContaining("3 pods, 0 addresses given back earlier")]);
  expect(stdout).toMatch(/net1 +c-a +eth0 +10\.244\.1\.1 2001:db8:244:1:: +default/);
  expect(JSON.parse(ctl("pods", "inspect", "--json").stdout)).toMatchObject({
    damage: null,
    booted: false,
    pods: [{ containerId: "c-a" }, { containerId: "c-b" }, { containerId: "c-gone" }],
  });
  expect(ctl("blocks", "inspect").stdout).toMatch(/\(no block\) +default +6 +0/);
  expect(ctl("blocks", "verify")).toMatchObject({ code: 0, stdout: "journal and kernel agree\n" });
  expect(ctl("pods", "repair")).toMatchObject({ code: 0, stdout: "journal and kernel agree\n" });
});

it("finds what does not agree, tells what it would do, and does it when it is told to", async () => {
  host.removePod("gone");
  const damaged = readFileSync(journal());
  damaged[damaged.indexOf("c-b") + 1] ^= 1;
  writeFileSync(journal(), damaged);
  sh(`ip -n ${host.name} link add ul0123456789abc address ee:ee:ee:ee:ee:ee type veth peer name x`);

  const would = ctl("blocks", "repair");
  expect(would.code).toBe(1);
  for (const text of [
    /is damaged: .*: would be what is good is kept/,
    /net1\/c-gone\/eth0: its interface ul\w+ is gone: would be forgotten; 10\.244\.1\.3, 2001:db8:244:1::2 are free/,
    /^ul\w+: belongs to no pod of the journal; it says c-b: would be adopted, with 10\.244\.1\.2/m,
    /ul0123456789abc: was left by an ADD that was cut short: would be removed/,
    /nothing was done; --yes does it/,
  ])
    expect(would.stdout).toMatch(text);
  expect(readFileSync(journal()).equals(damaged)).toBe(true);
  expect(host.links()).toContain("ul0123456789abc");
  expect(verified()).toMatchObject({ repaired: false, discrepancies: { length: 4 } });

  expect(ctl("blocks", "repair", "--yes")).toMatchObject({ code: 0, stdout: expect.stringContaining("2 pods are in") });
  expect(readFileSync(`${journal()}.before-repair`).equals(damaged)).toBe(true);
  expect(verified()).toMatchObject({ discrepancies: [], pods: [{ containerId: "c-a" }, { containerId: "c-b" }] });
  expect(host.links()).toHaveLength(2);
  expect(JSON.parse(ctl("blocks", "inspect", "--json").stdout).released).toMatchObject([
    { address: "10.244.1.3" },
    { address: "2001:db8:244:1::2" },
  ]);
  await host.start();
  expect((await host.pods()).map(({ containerId }) => containerId)).toEqual(["c-a", "c-b"]);
  expect((await host.call("DEL", { pod: "b" })).code).toBe(0);
  await host.stop();
});

it("says that a daemon runs, and repairs nothing then", async () => {
  const lock = spawn("flock", [join(host.state, "lock"), "-c", "echo locked; exec sleep 60"]);
  await new Promise((resolve) => lock.stdout.once("data", resolve));
  expect(ctl("pods", "repair", "--yes")).toMatchObject({ code: 2, stderr: expect.stringContaining("stop it first") });
  const asked = ctl("pods", "verify", "--socket", join(host.directory, "none.sock"));
  expect(asked).toMatchObject({ code: 2, stderr: expect.stringMatching(/is running .* and is asked\n.*no daemon/) });
  sh(`kill $(cat /proc/${lock.pid}/task/${lock.pid}/children)`);
});

it("says what it cannot read, and what it is not to be called with", () => {
  writeFileSync(journal(), "underlay-allocations 7\n");
  expect(ctl("pods", "verify")).toMatchObject({ code: 1, stderr: expect.stringContaining("later version") });
  rmSync(journal());
  expect(ctl("pods", "inspect")).toMatchObject({ code: 1, stdout: expect.stringContaining("there is none") });
  expect(ctl("pods", "repair").stdout).toContain("there is no journal: would be written anew");
  expect(ctl("pods", "inspect", "--yes")).toMatchObject({ code: 2 });
  expect(ctl("pods", "x")).toMatchObject({ code: 2, stderr: expect.stringContaining("none of inspect") });
  expect(ctl("pods")).toMatchObject({ code: 2, stderr: expect.stringContaining("--state") });
});
