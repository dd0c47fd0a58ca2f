// `underlayctl doctor` on a node that is well, and on the same node with one fault at a time, each made with the means that
// really make it: every one is found and named, and gone when it is taken back.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { registry } from "../../doctor/registry.ts";
import type { Finding } from "../../doctor/types.ts";
import { distFile } from "../../net/dist.ts";
import { configFaults } from "./support/faults/config.ts";
import { filesFaults } from "./support/faults/files.ts";
import { kernelFaults } from "./support/faults/kernel.ts";
import { neighboursFaults } from "./support/faults/neighbours.ts";
import { podsFaults } from "./support/faults/pods.ts";
import { SickNode } from "./support/sick-node.ts";

let sick: SickNode;
beforeAll(async () => {
  sick = await SickNode.start("doctor");
});
afterAll(() => sick?.close());

/** underlayctl in the node's namespace. */
function ctl(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const command = [process.execPath, distFile("underlayctl.cjs"), "--socket", sick.underlay.socket, ...args];
  const { status, stdout, stderr } = spawnSync("nsenter", [`--net=${sick.node.path}`, "--", ...command], {
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

const faults = [...configFaults, ...kernelFaults, ...podsFaults, ...filesFaults, ...neighboursFaults];

describe("a node that is well", () => {
  it("is told so, with exit code 0", async () => {
    await sick.waitWell();
    const { status, stdout } = ctl("doctor");
    expect(stdout).toMatch(/all well/);
    expect(stdout).toContain("[single-neighbour]");
    expect(status).toBe(0);
  });
});

describe("a fault", () => {
  it.each(faults.map((one) => [one.check, one.what, one] as const))("%s: %s", async (check, _, one) => {
    const undo = await one.inject(sick);
    try {
      const { cure } = await sick.waitFound(check, one.said);
      expect(cure).not.toBe("");
    } finally {
      await undo();
    }
    await sick.waitWell();
  });

  it("is of more than thirty kinds here, each a check that there is", () => {
    const ids = new Set(faults.map(({ check }) => check));
    expect(ids.size).toBeGreaterThan(50);
    expect([...ids].filter((id) => !registry.some((check) => check.id === id))).toEqual([]);
  });

  it("is told by underlayctl with its cure, exit code 1, and in JSON as in the API", async () => {
    sick.writeNetwork({ socket: "/run/other.sock" });
    const people = ctl("doctor");
    const programs = ctl("doctor", "--json");
    sick.writeNetwork();
    expect(people.status).toBe(1);
    expect(people.stdout).toMatch(
      /^Container runtime\n {2}fault {4}.*names the socket \/run\/other\.sock.* {2}\[cni-socket\]\n {11}-> /m,
    );
    expect(people.stdout.trimEnd()).toMatch(/\n1 fault/);
    expect(programs.status).toBe(1);
    const [first] = JSON.parse(programs.stdout) as Finding[];
    expect(first).toMatchObject({ check: "cni-socket", severity: "fault" });
    expect(Object.keys(first).sort()).toEqual(["check", "cure", "severity", "subject", "text"]);
  });
});

describe("a neighbour that an operator has drained", () => {
  it("is no fault, and is told of", async () => {
    await sick.get("/v1/drain?peer=tor&wait=0", "POST");
    await sick.waitWell();
    const all = await sick.get<Finding[]>("/v1/doctor");
    expect(all).toContainEqual(expect.objectContaining({ check: "out-of-service", severity: "info", subject: "tor" }));
    await sick.get("/v1/undrain?peer=tor", "POST");
    await sick.underlay.waitEstablished("tor");
    await sick.waitWell();
  });
});

describe("a fight", () => {
  it("with programs that change again and again what is ours is told, and what is not as it should be", async () => {
    // One process: a new one for each would leave the daemon time to put things back.
    const file = join(sick.lab.directory, "fight");
    const round = [
      "rule del pref 1000 protocol 201",
      "rule add pref 1500 lookup 7100 protocol 201",
      "route del 10.9.0.0/16 table 7100",
    ];
    writeFileSync(file, `${Array(1000).fill(round.join("\n")).join("\n")}\n`);
    const end = sick.again(`ip -force -batch ${file}`);
    try {
      await sick.waitFound("rule-missing", /1000: from all lookup 7000 \(IPv4\): the rule is not in the kernel/);
      await sick.waitFound("rule-surplus", /1500: from all lookup 7100 \(IPv4\)/);
      await sick.waitFound("route-missing", /10\.9\.0\.0\/16: is wanted, and not in the kernel, table 7100 \(fabric\)/);
      await sick.waitFound("fight", /IPv4 rule 1000: from all lookup 7000/);
    } finally {
      end();
    }
  });
});

describe("without a daemon", () => {
  it("names that first, and what it left in the kernel", async () => {
    await sick.underlay.stop();
    const { status, stdout } = ctl("doctor", "--config", sick.configFile);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^Daemon\n {2}fault {4}underlayd: the daemon is not running: /);
    expect(stdout).toMatch(/\d+ rules, \d+ routes and \d+ nexthop objects are in the kernel.* {2}\[kernel-leftovers\]/);
    expect(stdout).not.toContain("peer-");
  });

  it("reads the file all the same", () => {
    writeFileSync(sick.configFile, "node: { asn: 65101 }\n");
    const { stdout, status } = ctl("doctor", "--config", sick.configFile, "--json");
    expect(status).toBe(1);
    const found = (JSON.parse(stdout) as Finding[]).map(({ check }) => check);
    expect(found).toContain("daemon-not-running");
    expect(found).toContain("config-invalid");
  });
});
