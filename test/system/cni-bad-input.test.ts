// What callers get wrong or do at the worst moment: nothing leaks, the code tells, and the right call succeeds after it.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type CallOptions, CniHost, sh } from "./support/cni-host.ts";

describe("CNI and bad input", () => {
  const host = new CniHost();
  const at = (name: string) => join(host.directory, name);

  beforeAll(async () => {
    host.pools = [
      ...host.pools,
      // 100 addresses, IPv4 only.
      { name: "small", blocks: ["10.244.9.0/25"], exclude: ["10.244.9.100-10.244.9.127"], table: 7100 },
    ];
    mkdirSync(at("directory"));
    writeFileSync(at("plain"), "");
    symlinkSync(at("loop"), at("loop"));
    sh(`mkfifo ${at("fifo")}; ip netns add ${host.name}-dead; umount /var/run/netns/${host.name}-dead`);
    expect(await host.start({ mtu: null })).toBe("ready");
    host.addPod("a");
  });
  const settled = async () => {
    await expect.poll(() => host.used(), { interval: 10 }).toEqual([0, 0, 0]);
    expect([host.links(), await host.pods()]).toEqual([[], []]);
    expect(host.inHost("ip route show table 7000 || true")).toBe("");
  };
  afterEach(settled);
  afterAll(async () => {
    sh(`rm -f /var/run/netns/${host.name}-dead`);
    await host.close();
  });

  it.each([
    ["is absent", () => "/var/run/netns/ul-cni-no-such"],
    ["is a plain file", () => at("plain")],
    ["is a directory", () => at("directory")],
    ["is below a plain file", () => `${at("plain")}/x`],
    ["is a FIFO", () => at("fifo")],
    ["is a symlink to itself", () => at("loop")],
    ["is a device", () => "/dev/zero"],
    ["is what a lost mount leaves", () => `/var/run/netns/${host.name}-dead`],
    ["is another kind of namespace", () => "/proc/self/ns/mnt"],
    ["is the host's own namespace", () => `/var/run/netns/${host.name}`],
    ["is too long", () => `/${"n".repeat(5000)}`],
  ])("refuses a namespace path that %s, in ADD and CHECK, and DEL takes it", async (_what, path) => {
    const netns = path();
    const added = await host.call("ADD", { id: "x", netns });
    expect(added.json).toMatchObject({ code: 8, cniVersion: "1.0.0" });
    expect(await host.call("DEL", { id: "x", netns })).toMatchObject({ code: 0, stdout: "" });
    const good = await host.call("ADD", { pod: "a", id: "x" });
    expect(good.code, good.stdout).toBe(0);
    const checked = await host.call("CHECK", { id: "x", netns, config: { prevResult: good.json } });
    expect([105, 8]).toContain(checked.json.code);
    expect((await host.call("DEL", { id: "x", netns })).code).toBe(0);
  });

  it("attaches the host's own namespace where the caller insists, without a route for the host", async () => {
    const before = host.inHost("ip route");
    const call = (verb: string, config: object = {}) =>
      host.call(verb, {
        id: "x",
        ifname: "own0",
        netns: `/var/run/netns/${host.name}`,
        env: { CNI_NETNS_OVERRIDE: "True" },
        config,
      });
    const added = await call("ADD");
    expect(added.json.routes).toEqual([]);
    expect(host.inHost("ip route")).toBe(before);
    expect(await call("CHECK", { prevResult: added.json })).toMatchObject({ code: 0, stdout: "" });
    expect((await call("DEL")).code).toBe(0);
  });

  const small = (extra: object = {}): CallOptions => ({ pod: "a", config: { pool: "small", ...extra } });
  const annotated = (values: object): object => ({
    runtimeConfig: { "io.kubernetes.cri.pod-annotations": values },
  });
  it.each<[string, CallOptions, number, string]>([
    ["a pool that does not exist", small({ pool: "nowhere" }), 7, "default, small"],
    ["such a pool in an annotation", small(annotated({ "underlay.dev/pool": "nowhere" })), 7, "default, small"],
    ["an address outside of the pool", small({ runtimeConfig: { ips: ["10.244.1.7"] } }), 102, '"small"'],
    [
      "an address of a family that the pool lacks",
      small({ runtimeConfig: { ips: ["2001:db8::1"] } }),
      102,
      "2001:db8::1",
    ],
    ["an excluded address", small({ runtimeConfig: { ips: ["10.244.9.100"] } }), 102, "10.244.9.100"],
    [
      "a bad address in an annotation",
      small(annotated({ "underlay.dev/addresses": "x" })),
      7,
      "underlay.dev/addresses",
    ],
    [
      "prevResult of another shape",
      small({ prevResult: { cniVersion: "0.2.0", ip4: { ip: "10.0.0.1/24" } } }),
      6,
      "0.2.0",
    ],
    ["prevResult without a CIDR", small({ prevResult: { ips: [{ address: "10.0.0.1" }] } }), 6, "CIDR"],
    ["an MTU that IPv6 cannot have", { pod: "a", config: { mtu: 1000 } }, 7, "1280"],
    ["an MTU that the kernel cannot have", small({ mtu: 65536 }), 7, "65536"],
    ["ipMasq", small({ ipMasq: true }), 2, '"ipMasq": true'],
    ["port mappings", small({ runtimeConfig: { portMappings: [{ HostPort: 80 }] } }), 2, "80"],
    ["10 MB", { pod: "a", stdin: `{"x":"${"x".repeat(10 << 20)}"}` }, 5, "1 MiB"],
    ["half a configuration", { pod: "a", stdin: '{"cniVersion":"1.0.0","name":' }, 6, "not JSON"],
    [
      "a configuration with rubbish behind it",
      { pod: "a", stdin: '{"cniVersion":"1.0.0","name":"n"}}' },
      6,
      "not JSON",
    ],
  ])("refuses %s", async (_what, options, code, message) => {
    const named = options.stdin?.length === undefined ? {} : { env: { UNDERLAY_SOCKET: host.socket } };
    const { code: exit, json } = await host.call("ADD", { ...options, ...named });
    expect([exit, json]).toMatchObject([1, { code, msg: expect.stringContaining(message) }]);
  });

  it("refuses an address that is taken, and names it", async () => {
    const config = { pool: "small", runtimeConfig: { ips: ["10.244.9.7"] } };
    expect((await host.call("ADD", { pod: "a", config })).code).toBe(0);
    const second = await host.call("ADD", { pod: "a", id: "other", ifname: "net1", config });
    expect(second.json).toMatchObject({ code: 101, msg: expect.stringContaining("10.244.9.7") });
    await host.call("DEL", { pod: "a" });
  });

  it("loses nothing when clients are killed at any moment of ADD, with their DEL or without", async () => {
    const names = Array.from({ length: 10 }, (_, i) => `eth${i}`);
    for (let round = 0; round < 4; round++) {
      const kill = (ifname: string) => host.call("ADD", { pod: "a", ifname, killAfter: Math.random() * 12 });
      await Promise.all(names.map(kill));
      if (round % 2 === 0) {
        const deleted = await Promise.all(names.map((ifname) => host.call("DEL", { pod: "a", ifname })));
        expect(deleted.filter(({ code }) => code !== 0)).toEqual([]);
        await settled();
        continue;
      }
      // Without it the pod stays as if ADD had been answered, whole, until a GC or the end of its namespace.
      const pods = await whenIdle();
      expect(await host.used()).toEqual([pods, pods, 0]);
      expect(host.links()).toHaveLength(pods);
      await host.call("GC", { version: "1.1.0", config: { "cni.dev/valid-attachments": [] }, id: "" });
      await settled();
    }
  });

  /** Number of pods once no ADD is under way: CHECK of each name waits for its ADD. */
  async function whenIdle(): Promise<number> {
    const names = Array.from({ length: 10 }, (_, i) => `eth${i}`);
    const prevResult = { cniVersion: "1.0.0" };
    await Promise.all(names.map((ifname) => host.call("CHECK", { pod: "a", ifname, config: { prevResult } })));
    return (await host.pods()).length;
  }

  it("serves 100 of 500 parallel calls out of 100 addresses, and all of them again", { timeout: 60_000 }, async () => {
    const names = Array.from({ length: 20 }, (_, i) => `p${i}`);
    for (const name of names) host.addPod(name);
    const calls = names.flatMap((pod) => Array.from({ length: 25 }, (_, i) => ({ pod, ifname: `net${i}` })));
    const run = (verb: string, list: typeof calls) =>
      Promise.all(list.map((call) => host.call(verb, { ...call, config: { pool: "small" } })));
    const added = await run("ADD", calls);
    const served = calls.filter((_, i) => added[i].code === 0);
    const refused = added.filter(({ code }) => code !== 0).map(({ json }) => json);
    const addresses = new Set(added.flatMap(({ json }) => json.ips ?? []).map(({ address }) => address));
    expect([served.length, addresses.size, refused.length]).toEqual([100, 100, 400]);
    expect(refused.filter(({ code, msg }) => code !== 100 || !msg.includes('pool "small"'))).toEqual([]);
    const status = () => host.call("STATUS", { version: "1.1.0", config: { pool: "small" } });
    expect((await status()).json).toMatchObject({ code: 50, msg: expect.stringContaining('"small"') });
    expect((await run("DEL", served)).filter(({ code }) => code !== 0)).toEqual([]);
    expect((await status()).code).toBe(0);
    const again = await run("ADD", calls.slice(-100));
    expect(new Set(again.flatMap(({ json }) => json.ips).map(({ address }) => address))).toEqual(addresses);
    for (const name of names) host.removePod(name);
  });

  it("spares an ADD under way from a GC that cannot know of it", async () => {
    const gc = () => host.call("GC", { version: "1.1.0", config: { "cni.dev/valid-attachments": null }, id: "" });
    await host.setOutside({ routeDelay: 200 });
    const adding = host.call("ADD", { pod: "a" });
    await expect.poll(() => host.inHost("ip route show table 7000 || true"), { interval: 5 }).toContain("dev ul");
    expect((await gc()).code).toBe(0);
    await host.setOutside({ routeDelay: 0 });
    const added = await adding;
    expect(added.code, added.stdout).toBe(0);
    const checked = await host.call("CHECK", { pod: "a", config: { prevResult: added.json } });
    expect(checked.code, checked.stdout).toBe(0);
    expect((await gc()).code).toBe(0);
  });

  it("takes the MTU of the uplinks unless the configuration has one, and refuses what IPv6 cannot have", async () => {
    for (const [uplinkMtu, mtu, expected] of [
      [1420, undefined, 1420],
      [1420, 1300, 1300],
      [null, undefined, 1500],
    ] as const) {
      await host.setOutside({ uplinkMtu });
      const added = await host.call("ADD", { pod: "a", version: "1.1.0", config: { mtu } });
      expect(added.json.interfaces.map((link: { mtu: number }) => link.mtu)).toEqual([expected, expected]);
      await host.call("DEL", { pod: "a" });
    }
    await host.setOutside({ uplinkMtu: 1200 });
    expect((await host.call("ADD", { pod: "a" })).json).toMatchObject({
      code: 7,
      msg: expect.stringContaining("1280"),
    });
    await host.setOutside({ uplinkMtu: null });
  });

  it("tells with STATUS and CHECK when others cannot reach pods", async () => {
    const config = { pool: "small" };
    const added = await host.call("ADD", { pod: "a", config });
    const status = () => host.call("STATUS", { version: "1.1.0", config });
    const check = () => host.call("CHECK", { pod: "a", config: { ...config, prevResult: added.json } });
    for (const [extra, statusCode, checkCode] of [
      [{ connected: false }, 51, 0],
      [{ connected: true, blockState: "withdrawn" }, 51, 105],
      [{ blockState: "failed" }, 51, 105],
      [{ blockState: "announced" }, 0, 0],
    ] as const) {
      await host.setOutside(extra);
      expect([extra, (await status()).json?.code ?? 0]).toEqual([extra, statusCode]);
      const { json } = await check();
      expect([extra, json?.code ?? 0]).toEqual([extra, checkCode]);
      if (checkCode !== 0) expect(json.msg).toContain("10.244.9.0/25");
    }
    await host.call("DEL", { pod: "a" });
  });
});
