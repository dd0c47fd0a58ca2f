// What is asked for one pod, from which source, in which order; and what is refused.
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../cni/protocol/config.ts";
import { parsePodRequest } from "../../../cni/protocol/pod-request.ts";
import { formatAddress } from "../../../net/address.ts";

const annotations = "io.kubernetes.cri.pod-annotations";
const parse = (extra: object, args = "") => {
  const stdin = Buffer.from(JSON.stringify({ cniVersion: "1.0.0", name: "net", type: "underlay", ...extra }));
  const { addresses, mac, pools, sticky, pod } = parsePodRequest(parseConfig(stdin), args);
  return { ips: addresses.map(formatAddress), mac: mac && Buffer.from(mac).toString("hex"), pools, sticky, pod };
};

/** The same wish in every place, most important first. */
const everywhere = [
  { runtimeConfig: { ips: ["10.0.0.1"], mac: "02:00:00:00:00:01" } },
  { args: { cni: { ips: ["10.0.0.2"], mac: "02:00:00:00:00:02", pool: ["p2", "q2"], sticky: "true" } } },
  {
    runtimeConfig: {
      [annotations]: {
        "underlay.dev/addresses": "10.0.0.3",
        "underlay.dev/mac": "02:00:00:00:00:03",
        "underlay.dev/pool": "p3",
        "underlay.dev/Sticky": "FALSE",
      },
    },
  },
  {
    args: {
      cni: {
        annotations: {
          "underlay.dev/addresses": "10.0.0.4",
          "underlay.dev/mac": "02:00:00:00:00:04",
          "underlay.dev/pool": '["p4", "q4"]',
          "underlay.dev/sticky": "db-1",
        },
      },
    },
  },
];
const cniArgs = "IgnoreUnknown=1;IP=10.0.0.5;MAC=02:00:00:00:00:05;POOL=p5,q5;STICKY=true";

function merge(sources: readonly (typeof everywhere)[number][]): object {
  const runtimeConfig = Object.assign({}, ...sources.map((source) => source.runtimeConfig ?? {})) as object;
  const cni = Object.assign({}, ...sources.map((source) => source.args?.cni ?? {})) as object;
  return { runtimeConfig, args: { cni } };
}

describe("what a pod may ask for", () => {
  it.each([
    [0, "10.0.0.1", "020000000001", ["p2", "q2"], true],
    [1, "10.0.0.2", "020000000002", ["p2", "q2"], true],
    [2, "10.0.0.3", "020000000003", ["p3"], false],
    [3, "10.0.0.4", "020000000004", ["p4", "q4"], "db-1"],
    [4, "10.0.0.5", "020000000005", ["p5", "q5"], true],
  ])("from source %i on, the first counts", (from, ip, mac, pools, sticky) => {
    expect(parse(merge(everywhere.slice(from)), cniArgs)).toEqual({ ips: [ip], mac, pools, sticky, pod: null });
  });

  it.each<[string, object, string[]]>([
    [
      "capability with a length",
      { runtimeConfig: { ips: ["10.0.0.1/24", "2001:db8::1/64"] } },
      ["10.0.0.1", "2001:db8::1"],
    ],
    [
      "each twice",
      { runtimeConfig: { ips: ["10.0.0.1", "2001:db8::1", "10.0.0.1/24", "2001:db8::1"] } },
      ["10.0.0.1", "2001:db8::1"],
    ],
    ["keys of Go", { RuntimeConfig: { IPs: ["10.0.0.1"] } }, ["10.0.0.1"]],
    ["null lists", { runtimeConfig: { ips: null }, args: { cni: { ips: null } } }, []],
    ["null objects", { runtimeConfig: null, args: null }, []],
    ["an IPv4-mapped address", { runtimeConfig: { ips: ["::ffff:10.0.0.1"] } }, ["10.0.0.1"]],
    ["args that are not ours", { args: { labels: [{ key: "a" }] } }, []],
    ...["10.0.0.3,2001:db8::3", " 10.0.0.3 , 2001:db8::3 ", '["10.0.0.3","2001:db8::3"]'].map(
      (value): [string, object, string[]] => [
        `annotation ${value}`,
        { runtimeConfig: { [annotations]: { "Underlay.Dev/Addresses": value } } },
        ["10.0.0.3", "2001:db8::3"],
      ],
    ),
    [
      "annotations under another case",
      { runtimeConfig: { "IO.Kubernetes.CRI.Pod-Annotations": { "underlay.dev/addresses": "::1" } } },
      ["::1"],
    ],
    [
      "empty annotations",
      { runtimeConfig: { [annotations]: { "underlay.dev/addresses": "", "underlay.dev/mac": null } } },
      [],
    ],
    ["no annotations", { runtimeConfig: { [annotations]: null } }, []],
  ])("%s", (_what, extra, ips) => expect(parse(extra).ips).toEqual(ips));

  it.each([
    ["K8S_POD_NAME=p;K8S_POD_NAMESPACE=n", "n/p"],
    ["K8S_POD_NAME=p", "p"],
    ["IgnoreUnknown=TRUE;FOO=", null],
    ["", null],
  ])("pod name from %s", (args, expected) => expect(parse({}, args).pod).toBe(expected));

  it.each<[object, string, number, string]>([
    [{}, "A", 4, 'invalid pair "A"'],
    [{}, "A=1=2;IgnoreUnknown=1", 4, 'invalid pair "A=1=2"'],
    [{}, "IP=10.0.0.1;;MAC=02:00:00:00:00:01", 4, 'invalid pair ""'],
    [{}, "FOO=1", 4, "unknown args [FOO]"],
    [{}, "IgnoreUnknown=0;FOO=1", 4, "unknown args [FOO]"],
    [{}, "IgnoreUnknown=perhaps", 4, "not a boolean"],
    [{}, "IP=10.0.0.256", 7, "10.0.0.256"],
    [{}, "MAC=03:00:00:00:00:01", 7, "CNI_ARGS MAC"],
    [{}, "MAC=zz", 7, "zz"],
    [{ runtimeConfig: { ips: ["10.0.0.1", "10.0.0.2"] } }, "", 7, "one address per family"],
    [{ runtimeConfig: { ips: ["10.0.0.1", "::ffff:10.0.0.2"] } }, "", 7, "one address per family"],
    [{ runtimeConfig: { ips: "10.0.0.1" } }, "", 6, "must be a list"],
    [{ runtimeConfig: [] }, "", 6, "must be an object"],
    [{ runtimeConfig: { ips: ["10.0.0.1/33"] } }, "", 7, "10.0.0.1/33"],
    [{ runtimeConfig: { [annotations]: ["a"] } }, "", 6, "must be an object"],
    [{ runtimeConfig: { [annotations]: { "underlay.dev/pool": 7 } } }, "", 6, "annotation underlay.dev/pool"],
    [{ runtimeConfig: { [annotations]: { "underlay.dev/addresses": "[1]" } } }, "", 7, "underlay.dev/addresses"],
    [{ runtimeConfig: { [annotations]: { "underlay.dev/addresses": "[" } } }, "", 7, "underlay.dev/addresses"],
    [
      { runtimeConfig: { [annotations]: { "underlay.dev/addresses": "x" } } },
      "",
      7,
      "annotation underlay.dev/addresses",
    ],
    [{ args: { cni: { pool: {} } } }, "", 6, '"args.cni.pool" must be a string, or a list'],
    [{ args: { cni: { sticky: "as it was" } } }, "", 7, "args.cni.sticky"],
  ])("refuses %j with CNI_ARGS %s", (extra, args, code, message) => {
    const refused = { name: "CniError", code, message: expect.stringContaining(message) };
    expect(() => parse(extra, args)).toThrow(expect.objectContaining(refused) as Error);
  });
});
