// What must survive: the daemon killed at any moment, a daemon that is away, a state directory that cannot be written.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeJournal, encodeLine, JOURNAL_HEADER } from "../../cni/ipam/journal.ts";
import { CniHost, sh } from "./support/cni-host.ts";

/** As the kernel's list of mounts has it. */
const realpath = (path: string) => realpathSync(dirname(path)) + path.slice(dirname(path).length);

describe("CNI and crashes", () => {
  let host: CniHost;
  const mounts: string[] = [];
  beforeEach(() => {
    host = new CniHost();
  });
  afterEach(async () => {
    await host.stop("SIGKILL");
    for (const mount of mounts.splice(0)) sh(`umount -l ${mount}`);
    await host.close();
  });

  it("killed in the middle of many ADDs: nothing leaks, nothing has two owners", { timeout: 60_000 }, async () => {
    const names = Array.from({ length: 12 }, (_, i) => `p${i}`);
    for (const name of names) host.addPod(name);
    expect(await host.start()).toBe("ready");
    for (let round = 0; round < 8; round++) {
      const calls = names.map((name) => host.call("ADD", { pod: name }));
      await new Promise((resolve) => setTimeout(resolve, round * 5));
      await host.stop("SIGKILL");
      const results = await Promise.all(calls);
      for (const called of results) expect([0, 11]).toContain(called.json.code ?? 0);
      expect(await host.start()).toBe("ready");
      const pods = await host.pods();
      const acknowledged = results.filter((called) => called.code === 0).flatMap((called) => called.json.ips);
      const held = pods.flatMap((pod) => pod.addresses);
      for (const ip of acknowledged) expect(held).toContain(ip.address.split("/")[0]);
      expect(new Set(held).size).toBe(held.length);
      expect(host.links().sort()).toEqual(pods.map((pod) => pod.hostInterface).sort());
      expect(await host.used()).toEqual([pods.length, pods.length]);
      await Promise.all(names.map((name) => host.call("DEL", { pod: name })));
      expect(await host.used()).toEqual([0, 0]);
      expect(host.links()).toEqual([]);
    }
  });

  it("killed at any moment under load, with DELs that find nobody: everything comes to its end", {
    timeout: 60_000,
  }, async () => {
    const names = Array.from({ length: 10 }, (_, i) => `p${i}`);
    for (const name of names) host.addPod(name);
    expect(await host.start()).toBe("ready");
    /** What was acknowledged last; null: nobody knows. */
    const promised = new Map<string, "ADD" | "DEL" | null>();
    for (let round = 0; round < 6; round++) {
      const calls = names.map(async (name, i) => {
        for (const verb of (i + round) % 3 === 0 ? ["DEL", "ADD"] : (i + round) % 3 === 1 ? ["ADD"] : ["DEL"]) {
          promised.set(name, null);
          const { code, json } = await host.call(verb, { pod: name });
          if (code === 0) promised.set(name, verb as "ADD" | "DEL");
          else expect([11, 104]).toContain(json.code);
        }
      });
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
      await host.stop("SIGKILL");
      await Promise.all(calls);
      expect(await host.start()).toBe("ready");
      const pods = await host.pods();
      const held = pods.flatMap((pod) => pod.addresses);
      expect(new Set(held).size).toBe(held.length);
      expect(host.links().sort()).toEqual(pods.map((pod) => pod.hostInterface).sort());
      expect(await host.used()).toEqual([pods.length, pods.length]);
      // The first DEL that finds nobody makes the directory.
      expect(existsSync(host.spool) ? readdirSync(host.spool) : []).toEqual([]);
      for (const [name, verb] of promised)
        if (verb !== null)
          expect([name, pods.some(({ containerId }) => containerId === `c-${name}`)]).toEqual([name, verb === "ADD"]);
    }
    await Promise.all(names.map((name) => host.call("DEL", { pod: name })));
    expect([await host.used(), host.links()]).toEqual([[0, 0], []]);
  });

  it("knows a journal of a former boot: its pods are gone, whatever has their namespaces' numbers now", async () => {
    host.addPod("a");
    await host.start();
    await host.call("ADD", { pod: "a" });
    const [pod] = await host.pods();
    await host.stop();
    sh(`ip -n ${host.name} link del ${pod.hostInterface}`);
    const path = join(host.state, "allocations.journal");
    const { operations } = decodeJournal(readFileSync(path));
    const former = operations.map((one) => (one.op === "boot" ? { ...one, id: "another" } : one));
    writeFileSync(path, Buffer.concat([Buffer.from(JOURNAL_HEADER), encodeLine(former)]));
    expect(await host.start({ verbose: true })).toBe("ready");
    expect(host.errors).toContain("the host was booted: its pods are gone with it");
    expect([await host.used(), await host.pods()]).toEqual([[0, 0], []]);
    const again = await host.call("ADD", { pod: "a" });
    // To the back of the queue.
    expect(again.json.ips[0].address).not.toBe(`${pod.addresses[0]}/32`);
  });

  it("frees the addresses of a pod whose namespace vanishes just before its ADD is done", async () => {
    host.addPod("a");
    await host.start({ routeDelay: 400 });
    const adding = host.call("ADD", { pod: "a" });
    await expect.poll(() => host.inHost("ip route show table 7000 || true"), { interval: 10 }).toContain("dev ul");
    host.removePod("a");
    expect((await adding).code).toBe(0);
    await expect.poll(() => host.used()).toEqual([0, 0]);
    expect(await host.pods()).toEqual([]);
  });

  it("keeps pods over a restart, and their traffic", async () => {
    host.addPod("a");
    await host.start();
    const added = await host.call("ADD", { pod: "a" });
    await host.stop("SIGKILL");
    host.inHost("ip route flush table 7000");
    await host.start();
    host.inPod("a", "ping -c1 -W1 10.255.0.1");
    expect((await host.call("CHECK", { pod: "a", config: { prevResult: added.json } })).code).toBe(0);
    expect((await host.pods())[0].addresses).toEqual(
      added.json.ips.map((ip: { address: string }) => ip.address.split("/")[0]),
    );
  });

  it("spools a DEL while the daemon is away and replays it before the next ADD", async () => {
    host.addPod("a");
    await host.start();
    await host.call("ADD", { pod: "a" });
    await host.stop("SIGKILL");
    for (let i = 0; i < 3; i++) expect(await host.call("DEL", { pod: "a" })).toMatchObject({ code: 0, stdout: "" });
    expect(readdirSync(host.spool)).toHaveLength(3);
    for (const verb of ["ADD", "CHECK"]) {
      const away = await host.call(verb, { pod: "a", version: "0.4.0" });
      expect(away).toMatchObject({ code: 1, json: { code: 11, cniVersion: "0.4.0" } });
      expect(away.stdout.toLowerCase()).not.toMatch(/no such file|not found/);
    }
    expect((await host.call("STATUS", { version: "1.1.0" })).json.code).toBe(50);
    writeFileSync(join(host.spool, "0.del"), "rubbish");
    await host.start();
    expect(await host.used()).toEqual([0, 0]);
    expect(readdirSync(host.spool)).toEqual(["0.del.bad"]);
    rmSync(join(host.spool, "0.del.bad"));

    // One that arrives when the daemon has already looked: it must strike the old attachment, never the new one.
    expect((await host.call("ADD", { pod: "a" })).code).toBe(0);
    const away = join(host.directory, "elsewhere.sock");
    await host.call("DEL", { pod: "a", env: { UNDERLAY_SOCKET: away } });
    renameSync(join(host.directory, "spool", readdirSync(join(host.directory, "spool"))[0]), join(host.spool, "1.del"));
    expect((await host.call("ADD", { pod: "a" })).code).toBe(0);
    expect(await host.used()).toEqual([1, 1]);
  });

  it("answers 5 when the disk is full, keeps what it has, lets pods go, and goes on when there is room", async () => {
    mkdirSync(host.state);
    sh(`mount -t tmpfs -o size=64k tmpfs ${host.state}`);
    mounts.push(host.state);
    for (const name of ["a", "b"]) host.addPod(name);
    expect(await host.start()).toBe("ready");
    expect((await host.call("ADD", { pod: "a" })).code).toBe(0);
    sh(`dd if=/dev/zero of=${host.state}/filler bs=1k 2>/dev/null || true`);
    const pod = () => host.call("ADD", { pod: "b", args: `IgnoreUnknown=1;K8S_POD_NAME=${"n".repeat(14_000)}` });
    const full = await pod();
    expect(full.json).toMatchObject({ code: 5, msg: expect.stringContaining("the disk is full") });
    expect([await host.used(), host.links().length]).toEqual([[1, 1], 1]);
    expect((await host.call("DEL", { pod: "a" })).code).toBe(0);
    await host.stop("SIGKILL");
    expect(await host.start()).toBe("ready");
    expect([await host.used(), host.links()]).toEqual([[0, 0], []]);
    expect((await pod()).json.code).toBe(5);
    rmSync(join(host.state, "filler"));
    expect((await pod()).code).toBe(0);
    await host.stop("SIGKILL");
    expect(await host.start()).toBe("ready");
    expect(await host.used()).toEqual([1, 1]);
  });

  it("answers 5 when the state directory is read-only, from the start or later", async () => {
    mkdirSync(host.state);
    sh(`mount -t tmpfs -o size=64k tmpfs ${host.state}`);
    mounts.push(host.state);
    host.addPod("a");
    sh(`mount -o remount,ro ${host.state}`);
    expect(await host.start()).toBe("ready");
    expect((await host.call("ADD", { pod: "a" })).json).toMatchObject({
      code: 5,
      msg: expect.stringContaining("read-only"),
    });
    expect([await host.used(), host.links()]).toEqual([[0, 0], []]);
    sh(`mount -o remount,rw ${host.state}`);
    expect((await host.call("ADD", { pod: "a" })).code).toBe(0);
  });

  it("goes on with what is good of a damaged journal, and with none: interfaces say whose they are", async () => {
    for (const name of ["a", "b", "c"]) host.addPod(name);
    await host.start();
    const added = await host.call("ADD", { pod: "a" });
    await host.call("ADD", { pod: "b" });
    // No room for its owner in the alias: its name is in that of its interface.
    const long = { pod: "c", id: `c${"0".repeat(300)}` };
    expect((await host.call("ADD", long)).code).toBe(0);
    const before = await host.pods();
    await host.stop();
    const path = join(host.state, "allocations.journal");
    const damaged = readFileSync(path);
    damaged[damaged.indexOf("c-a") + 1] ^= 1;
    writeFileSync(path, damaged);
    expect(await host.start()).toBe("ready");
    expect(host.errors).toContain("is damaged");
    expect(readFileSync(`${path}.damaged`).equals(damaged)).toBe(true);
    expect(await host.used()).toEqual([3, 3]);
    await host.stop("SIGKILL");

    rmSync(path);
    // The host's routes say its addresses where somebody has changed the alias.
    const b = before.find((pod) => pod.containerId === "c-b")!;
    sh(`ip -n ${host.name} link set ${b.hostInterface} alias "of mine"`);
    expect(await host.start()).toBe("ready");
    const after = await host.pods();
    const of = (pods: typeof after, name: string) => pods.find(({ hostInterface }) => hostInterface === name);
    for (const pod of before) {
      const known = pod.containerId === "c-a" ? { containerId: "c-a", network: "net1", pool: "default" } : {};
      const { addresses, netns, ifname } = pod;
      expect(of(after, pod.hostInterface)).toMatchObject({ addresses, netns: realpath(netns), ifname, ...known });
    }
    expect((await host.call("CHECK", { pod: "a", config: { prevResult: added.json } })).code).toBe(0);
    for (const which of [{ pod: "a" }, { pod: "b" }, long]) expect((await host.call("DEL", which)).code).toBe(0);
    expect([await host.used(), host.links()]).toEqual([[0, 0], []]);
  });

  it("keeps a pod whose alias somebody has changed, and removes what an ADD cut short has left", async () => {
    host.addPod("a");
    await host.start();
    await host.call("ADD", { pod: "a" });
    const [pod] = await host.pods();
    await host.stop("SIGKILL");
    sh(`ip -n ${host.name} link set ${pod.hostInterface} alias ""
      ip -n ${host.name} link add ul0123456789abc address ee:ee:ee:ee:ee:ee type veth peer name x
      ip -n ${host.name} link add ulother type veth peer name y`);
    await host.start();
    expect(await host.pods()).toEqual([pod]);
    expect(host.links().sort()).toEqual([pod.hostInterface, "ulother", "y"].sort());
    expect(sh(`ip -n ${host.name} link show ${pod.hostInterface}`)).toContain('alias underlay ["net1","c-a"');
    expect((await host.call("DEL", { pod: "a" })).code).toBe(0);
    expect(await host.used()).toEqual([0, 0]);
  });

  it("cuts a torn tail and says so", async () => {
    host.addPod("a");
    await host.start();
    await host.call("ADD", { pod: "a" });
    await host.stop();
    const path = join(host.state, "allocations.journal");
    writeFileSync(path, `${readFileSync(path, "latin1").replaceAll("\0", "")}01234567 [{"op":"add","po`);
    expect(await host.start()).toBe("ready");
    expect(host.errors).toContain("cut off by a crash");
    expect(await host.used()).toEqual([1, 1]);
  });
});
