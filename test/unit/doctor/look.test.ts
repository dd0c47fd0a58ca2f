// What the doctor reads of the host, from files as hosts have them.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { endianness, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { droppingChains } from "../../../doctor/look/firewall.ts";
import { lookAtSystem } from "../../../doctor/look/system-files.ts";
import { parseTcpTable } from "../../../doctor/look/tcp-sockets.ts";
import { registry } from "../../../doctor/registry.ts";
import { examine } from "../../../doctor/run.ts";
import type { Facts } from "../../../doctor/types.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ul-doctor-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text = ""): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const unit = (service: string) => `[Unit]\nDescription=underlay\n[Service]\n${service}\n[Install]\nWantedBy=x\n`;
const good = unit("Type=notify\nRuntimeDirectoryPreserve=yes");

describe("systemd", () => {
  const findings = async () => {
    const found = await examine({ facts: { system: await lookAtSystem(201, root) }, missing: {} });
    return found.map(({ check, text }) => `${check}: ${text}`);
  };

  it("is nobody's business where it does not run", async () => {
    expect(await findings()).toEqual([]);
  });

  it("has no unit, one that is not enabled, one that is", async () => {
    mkdirSync(join(root, "run/systemd/system"), { recursive: true });
    expect(await findings()).toEqual(["unit-missing: there is no such unit"]);
    put("etc/systemd/system/underlayd.service", good);
    expect(await findings()).toEqual([
      expect.stringMatching(/^unit-disabled/),
      expect.stringMatching(/^shutdown-unit: is not enabled/),
    ]);
    mkdirSync(join(root, "etc/systemd/system/multi-user.target.wants"), { recursive: true });
    for (const name of ["underlayd.service", "underlay-shutdown.service"])
      symlinkSync(`../${name}`, join(root, "etc/systemd/system/multi-user.target.wants", name));
    expect(await findings()).toEqual([]);
  });

  it("has a unit without what the shipped one has, and a drop-in that puts it right", async () => {
    put("run/systemd/system/.keep");
    put("usr/lib/systemd/system/underlayd.service", unit("Type=simple"));
    put("etc/systemd/system/multi-user.target.wants/underlayd.service");
    put("etc/systemd/system/multi-user.target.wants/underlay-shutdown.service");
    expect(await findings()).toEqual([
      expect.stringMatching(/^unit-settings: Type=simple instead of notify/),
      expect.stringMatching(/^unit-settings: RuntimeDirectoryPreserve=\(default\) instead of yes/),
    ]);
    put("etc/systemd/system/underlayd.service.d/10-more.conf", unit("Type=notify\nRuntimeDirectoryPreserve=yes"));
    expect(await findings()).toEqual([]);
  });
});

it("finds iproute2's name of our protocol number, in either place and notation", async () => {
  expect((await lookAtSystem(201, root)).protocolName).toBeNull();
  put("etc/iproute2/rt_protos", "# ours\n4\tstatic\n0xc9  underlay # 201\n");
  expect((await lookAtSystem(201, root)).protocolName).toBe("underlay");
  expect((await lookAtSystem(202, root)).protocolName).toBeNull();
  put("etc/iproute2/rt_protos.d/other.conf", "202 other\n");
  expect((await lookAtSystem(202, root)).protocolName).toBe("other");
});

it.runIf(endianness() === "LE")("reads sockets with a BGP port out of /proc/net/tcp and tcp6", () => {
  const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0200000A:00B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0000 100 0 0 10 0
   1: 0200000A:9C40 0100000A:00B3 01 00000000:00000000 02:000005D3 00000000     0        0 102 2 0000 20 4 30 10 -1
   2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 103 1 0000 100 0 0 10 0
   3: 0200000A:00B3 0100000A:9C41 06 00000000:00000000 03:00000F0F 00000000     0        0 0 3 0000
`;
  expect(parseTcpTable(tcp, new Set([179]))).toEqual([
    { state: "listening", local: "10.0.0.2:179", remote: "0.0.0.0:0", inode: "101" },
    { state: "connected", local: "10.0.0.2:40000", remote: "10.0.0.1:179", inode: "102" },
  ]);
  const tcp6 =
    "   0: B80D0120000000000000000002000000:00B3 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 104 1\n";
  expect(parseTcpTable(tcp6, new Set([179]))).toEqual([
    { state: "listening", local: "[2001:db8::2]:179", remote: "[::]:0", inode: "104" },
  ]);
  expect(parseTcpTable(tcp, new Set())).toEqual([]);
});

describe("the firewall", () => {
  const chain = (fields: object) => ({ chain: { family: "ip", table: "filter", name: "FORWARD", ...fields } });

  it("is in the way with a chain at the forward hook that drops", () => {
    const json = JSON.stringify({
      nftables: [
        { metainfo: {} },
        chain({ hook: "input", policy: "drop" }),
        chain({ hook: "forward", policy: "accept" }),
        chain({ name: "DOCKER" }),
        chain({ hook: "forward", policy: "drop", family: "inet" }),
      ],
    });
    expect(droppingChains(json)).toEqual([chain({ hook: "forward", policy: "drop", family: "inet" }).chain]);
  });

  it.each([
    ["without a rule for the block", "[]", true],
    ["with one", '{"prefix":{"addr":"10.244.1.0","len":26}}', false],
    ["with one for all nodes' blocks", '{"prefix": {"addr": "10.244.0.0", "len": 16}}', false],
    ["with one for another network", '{"prefix":{"addr":"10.250.0.0","len":16}}', true],
    ["with one for the pods' interfaces", '{"right":"ul*"}', false],
  ])("%s", async (_, rules, drops) => {
    const facts = {
      firewall: { legacy: false, dropping: [{ name: "ip filter FORWARD", family: "ip", rules }] },
      config: { pools: [{ blocks: ["10.244.1.0/26"] }], peers: [{}], routing: {}, tables: [] },
      kernel: { state: { links: [], nextHops: [], elsewhere: { first: [] } }, hazards: [], settings: {} },
    } as unknown as Facts;
    const check = await examine({ facts: { firewall: facts.firewall }, missing: {} });
    expect(check).toEqual([]);
    const { firewall, config, kernel } = facts;
    const found = await examine({ facts: { firewall, config, kernel }, missing: {} }, onlyFirewall());
    expect(found.map(({ subject }) => subject)).toEqual(drops ? ["ip filter FORWARD"] : []);
  });
});

function onlyFirewall() {
  return registry.filter(({ id }) => id === "firewall-drops-pods");
}
