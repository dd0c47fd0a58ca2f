// Every error that needs no kernel: what a caller gets wrong -> code, words, and the version of the error object.
import { describe, expect, it } from "vitest";
import { type NetworkConfig, parseConfig, refuseUnsupported } from "../../../cni/protocol/config.ts";
import type { CniError } from "../../../cni/protocol/error.ts";
import { parsePodRequest } from "../../../cni/protocol/pod-request.ts";
import { CniServer } from "../../../cni/server.ts";
import { systemClock } from "../../../net/clock.ts";
import { silentLog } from "../../../net/log.ts";

const routes = { addPodRoutes: async () => {}, removePodRoutes: async () => {} };
const server = new CniServer(
  { pools: [], stateDir: "/nonexistent", mtu: null },
  { clock: systemClock, log: silentLog, routes, uplinkMtu: () => null },
);
const environment = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/x",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
};
const config = { cniVersion: "1.0.0", name: "net", type: "underlay" };

async function call(env: Record<string, string>, stdin: unknown) {
  const text = typeof stdin === "string" ? stdin : JSON.stringify(stdin);
  const answer = await server.handle({ env: { ...environment, ...env }, stdin: Buffer.from(text), pid: null });
  return { exitCode: answer.exitCode, ...(JSON.parse(answer.stdout) as Record<string, unknown>) };
}

// what is wrong | environment | stdin | code | in the message | cniVersion of the answer
const refused: readonly [string, Record<string, string>, unknown, number, string, string][] = [
  ["no verb", { CNI_COMMAND: "" }, config, 4, "[CNI_COMMAND] missing", "1.0.0"],
  ["verb in lower case", { CNI_COMMAND: "add" }, config, 4, "unknown CNI_COMMAND: add", "1.0.0"],
  ["two variables", { CNI_NETNS: "", CNI_IFNAME: "" }, config, 4, "[CNI_NETNS,CNI_IFNAME] missing", "1.0.0"],
  ["no CNI_PATH on DEL", { CNI_COMMAND: "DEL", CNI_PATH: "" }, config, 4, "[CNI_PATH] missing", "1.0.0"],
  ["no CNI_PATH on GC", { CNI_COMMAND: "GC", CNI_PATH: "" }, config, 4, "[CNI_PATH] missing", "1.0.0"],
  ["container id", { CNI_CONTAINERID: "-c" }, config, 4, "invalid characters in containerID", "1.0.0"],
  ["container id with a slash", { CNI_CONTAINERID: "a/b" }, config, 4, "invalid characters", "1.0.0"],
  ["ifname of 16 bytes", { CNI_IFNAME: "a".repeat(16) }, config, 4, "15 bytes", "1.0.0"],
  ["ifname of 16 bytes in 8 letters", { CNI_IFNAME: "\u00e4".repeat(8) }, config, 4, "15 bytes", "1.0.0"],
  ...[".", ".."].map(
    (name) => ["ifname", { CNI_IFNAME: name }, config, 4, "is . or ..", "1.0.0"] as (typeof refused)[0],
  ),
  ...["a/b", "a:b", "eth%d", "a b", "a\u2003b"].map(
    (name) => [`ifname ${name}`, { CNI_IFNAME: name }, config, 4, "contains", "1.0.0"] as (typeof refused)[0],
  ),
  ["no stdin", {}, "", 6, "no network configuration", "1.1.0"],
  ["no JSON", {}, "{", 6, "not JSON", "1.1.0"],
  ["a list", {}, [], 6, "must be a JSON object", "1.1.0"],
  ["a version that is a number", {}, { ...config, cniVersion: 1 }, 6, "cniVersion must be a string", "1.1.0"],
  ["no name", {}, { cniVersion: "0.4.0" }, 7, "missing network name", "0.4.0"],
  ["name", {}, { ...config, name: "a b" }, 7, "invalid characters found in network name", "1.0.0"],
  ["name that is a number", {}, { ...config, name: 5 }, 6, "name must be a string", "1.0.0"],
  ["a version from the future", {}, { ...config, cniVersion: "9.9.9" }, 1, "incompatible CNI versions", "9.9.9"],
  [
    "CHECK before 0.4.0",
    { CNI_COMMAND: "CHECK" },
    { ...config, cniVersion: "0.3.1" },
    1,
    "does not allow CHECK",
    "0.3.1",
  ],
  ["STATUS before 1.1.0", { CNI_COMMAND: "STATUS" }, config, 1, "does not allow STATUS", "1.0.0"],
  [
    "STATUS of a daemon that is not up",
    { CNI_COMMAND: "STATUS" },
    { ...config, cniVersion: "1.1.0" },
    50,
    "starting",
    "1.1.0",
  ],
  ["GC before 1.1.0", { CNI_COMMAND: "GC" }, config, 1, "does not allow GC", "1.0.0"],
  [
    "DEL only for what it needs",
    { CNI_COMMAND: "DEL", CNI_ARGS: "garbage" },
    { ...config, mtu: 20, pool: 5, dns: 7, prevResult: "x", runtimeConfig: 1, ipMasq: true },
    11,
    "starting or stopping",
    "1.0.0",
  ],
  ["ifname that is not UTF-8", { CNI_IFNAME: "a\ufffd" }, config, 4, "not UTF-8", "1.0.0"],
  ["a version under another case", { CNI_COMMAND: "CHECK" }, { CNIVersion: "0.3.1", Name: "n" }, 1, "CHECK", "0.3.1"],
  ["runtimeConfig on a daemon that is not up", {}, config, 11, "starting or stopping", "1.0.0"],
];

describe("CNI errors", () => {
  it.each(refused)("%s", async (_what, env, stdin, code, message, cniVersion) => {
    expect(await call(env, stdin)).toMatchObject({
      exitCode: 1,
      code,
      msg: expect.stringContaining(message),
      cniVersion,
    });
  });

  it("answers VERSION without anything else, in the caller's version", async () => {
    const env = { CNI_COMMAND: "VERSION", CNI_NETNS: "dummy", CNI_IFNAME: "a/b/c/d/e/f/g/h/i/j" };
    expect(await call(env, { cniVersion: "0.4.0" })).toMatchObject({ exitCode: 0, cniVersion: "0.4.0" });
    expect(await call(env, "")).toMatchObject({
      cniVersion: "1.1.0",
      supportedVersions: ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    });
  });
});

describe("settings", () => {
  const parsed = (extra: object | string) =>
    parseConfig(Buffer.from(typeof extra === "string" ? extra : JSON.stringify({ ...config, ...extra })));
  const nested = `{"cniVersion":"1.0.0","name":"n","mtu":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;

  it.each<[keyof NetworkConfig, object | string, unknown]>([
    ["mtu", { mtu: 0 }, null],
    ["mtu", { MTU: 1400 }, 1400],
    ["pools", { pool: null }, []],
    ["pools", { Pool: "p" }, ["p"]],
    ["pools", { pool: ["p", "q"] }, ["p", "q"]],
    ["dns", { dns: null }, {}],
    [
      "dns",
      { dns: { nameservers: ["10.0.0.53"], search: null, Options: ["a"], domain: "" } },
      { nameservers: ["10.0.0.53"], options: ["a"] },
    ],
    [
      "dns",
      { dns: { nameservers: ["10.0.0.53"] }, runtimeConfig: { dns: { Servers: null, Searches: ["x"], Options: [] } } },
      { search: ["x"] },
    ],
    ["prevResult", { prevResult: null }, undefined],
    ["validAttachments", {}, null],
    ["validAttachments", { "cni.dev/valid-attachments": null }, []],
    ["validAttachments", { "cni.dev/attachments": [] }, []],
    [
      "validAttachments",
      { "cni.dev/valid-attachments": [{ ContainerID: "c", IfName: "e" }] },
      [{ containerId: "c", ifname: "e" }],
    ],
  ])("%s of %j", (key, extra, expected) => expect(parsed(extra)[key]).toEqual(expected));

  it.each<[keyof NetworkConfig, object | string, number, string]>([
    ["mtu", { mtu: 20 }, 7, '"mtu": 20'],
    ["mtu", { mtu: "1500" }, 7, '"mtu": "1500"'],
    ["mtu", nested, 7, "nested too deeply"],
    ["pools", { pool: 5 }, 6, '"pool" must be a string'],
    ["dns", { dns: [] }, 6, '"dns" must be an object'],
    ["dns", { dns: { nameservers: "10.0.0.53" } }, 6, "nameservers must be a list"],
    ["validAttachments", { "cni.dev/valid-attachments": {} }, 6, "must be a list"],
    ["validAttachments", { "cni.dev/valid-attachments": [{ containerID: "c" }] }, 6, "needs containerID and ifname"],
  ])("%s refused: %j", (key, extra, code, message) => {
    const refusal = expect.objectContaining({ code, message: expect.stringContaining(message) }) as Error;
    expect(() => parsed(extra)[key]).toThrow(refusal);
  });
});

describe("settings that are not ours", () => {
  it.each([
    [{ ipMasq: true }, /ipMasq.*true/],
    [{ runtimeConfig: { PortMappings: [{ HostPort: 80 }] } }, /portMappings.*80.*portmap/],
    [{ runtimeConfig: { bandwidth: { IngressRate: 5 } } }, /bandwidth.*5/],
    [{ RuntimeConfig: { ipRanges: [[{ subnet: "10.0.0.0/24" }]] } }, /ipRanges.*10\.0\.0\.0/],
    [{ runtimeConfig: { deviceID: "0000:03:00.0" } }, /deviceID.*0000:03/],
  ])("refuses %j with code 2, naming key and value", (extra, message) => {
    const parsed = parseConfig(Buffer.from(JSON.stringify({ ...config, ...extra })));
    expect(() => refuseUnsupported(parsed)).toThrow(message);
    expect(() => refuseUnsupported(parsed)).toThrow(expect.objectContaining({ code: 2 }) as CniError);
  });

  it("accepts what runtimes put in by habit", () => {
    const extra = {
      capabilities: { portMappings: true },
      disableCheck: true,
      ipMasq: false,
      ipam: { type: "host-local" },
      runtimeConfig: {
        portMappings: null,
        bandwidth: { IngressRate: 0, IngressBurst: 4294967295 },
        dns: { Servers: [] },
        ipRanges: [],
        cgroupPath: "/a",
      },
      args: { labels: [] },
      "cni.dev/whatever": 1,
    };
    const parsed = parseConfig(Buffer.from(JSON.stringify({ ...config, ...extra })));
    expect(() => refuseUnsupported(parsed)).not.toThrow();
    expect(parsePodRequest(parsed, "")).toEqual({ addresses: [], mac: null, pools: [], sticky: null, pod: null });
  });
});
