// Whatever stands on stdin and in CNI_ARGS: a value or a CNI error, never another exception; and results survive their text.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { delegateOf } from "../../../cni/ipam/delegate.ts";
import { parseConfig, refuseUnsupported } from "../../../cni/protocol/config.ts";
import { CniError } from "../../../cni/protocol/error.ts";
import { annotationNames, parsePodRequest } from "../../../cni/protocol/pod-request.ts";
import { formatResult, parsePrevResult } from "../../../cni/protocol/result.ts";
import { supportedVersions } from "../../../cni/protocol/version.ts";

const keys = [
  ...[
    "cniVersion",
    "name",
    "type",
    "pool",
    "mtu",
    "dns",
    "nameservers",
    "search",
    "runtimeConfig",
    "args",
    "cni",
    "ips",
  ],
  ...[
    "mac",
    "prevResult",
    "interfaces",
    "sandbox",
    "address",
    "interface",
    "routes",
    "dst",
    "gw",
    "ip4",
    "ip",
    "version",
  ],
  ...[
    "cni.dev/valid-attachments",
    "containerID",
    "ifname",
    "ipam",
    "portMappings",
    "bandwidth",
    "ingressRate",
    "annotations",
  ],
  ...["io.kubernetes.cri.pod-annotations", ...Object.values(annotationNames), "__proto__", "constructor", "toString"],
];
const texts = [
  "1.0.0",
  "0.2.0",
  "net",
  "10.0.0.1",
  "10.0.0.1/24",
  "::1/64",
  "02:00:00:00:00:01",
  "[]",
  '["10.0.0.1"]',
  "",
  "host-local",
];
const leaf = fc.oneof(
  fc.constantFrom(...texts),
  fc.constantFrom<unknown>(null, true, false, 0, 1, -1, 1500, 1e308, Number.MAX_SAFE_INTEGER),
  fc.string({ maxLength: 12 }),
);
const key = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...keys).chain((name) => fc.constantFrom(name, name.toUpperCase())) },
  { weight: 1, arbitrary: fc.string({ maxLength: 8 }) },
);
const { value: json } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthIdentifier: "json" },
    leaf,
    fc.array(tie("value"), { maxLength: 3, depthIdentifier: "json" }),
    fc.array(fc.tuple(key, tie("value")), { maxLength: 6, depthIdentifier: "json" }).map((pairs) => pairs),
  ),
}));

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.oneof({ weight: 20, arbitrary }, { weight: 1, arbitrary: leaf });
const cidr = maybe(fc.constantFrom("10.0.0.1/24", "0.0.0.0/0", "::/0", "2001:db8::1/64", "::ffff:10.0.0.1/128"));
const address = maybe(fc.constantFrom("10.0.0.1", "fe80::1"));
const number = maybe(fc.integer({ min: 0, max: 2 }));
const word = maybe(fc.string({ maxLength: 5 }));
const links = fc.array(fc.record({ name: word, mac: word, mtu: number, sandbox: word }, { requiredKeys: ["name"] }), {
  maxLength: 3,
});
const ips = fc.array(fc.record({ address: cidr, gateway: address, interface: number }, { requiredKeys: ["address"] }), {
  maxLength: 3,
});
const routes = fc.array(fc.record({ dst: cidr, gw: address, table: number, mtu: number }, { requiredKeys: ["dst"] }), {
  maxLength: 3,
});
const old = fc.record({ ip: cidr, gateway: address, routes: maybe(routes) }, { requiredKeys: ["ip"] });
const dns = fc.record({ nameservers: maybe(fc.array(word, { maxLength: 2 })), domain: word }, { requiredKeys: [] });
const result = fc.record(
  {
    interfaces: maybe(links),
    ips: maybe(ips),
    routes: maybe(routes),
    ip4: maybe(old),
    ip6: maybe(old),
    dns: maybe(dns),
  },
  { requiredKeys: [] },
);

/** Pairs become objects, so that names such as __proto__ are keys like any other. */
function textOf(value: unknown): string {
  if (!Array.isArray(value)) return JSON.stringify(value) ?? "null";
  const pairs =
    value.length > 0 &&
    value.every((entry) => Array.isArray(entry) && entry.length === 2 && typeof entry[0] === "string");
  return pairs
    ? `{${value.map(([name, inner]) => `${JSON.stringify(name)}:${textOf(inner)}`).join(",")}}`
    : `[${value.map(textOf).join(",")}]`;
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    expect(error).toBeInstanceOf(CniError);
    return undefined;
  }
}

describe("whatever comes in", () => {
  it("is a configuration, or a CNI error", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(key, json), { maxLength: 8 }), fc.string({ maxLength: 20 }), (pairs, args) => {
        const stdin = textOf([["cniVersion", "1.0.0"], ["name", "net"], ...pairs]);
        const config = attempt(() => parseConfig(Buffer.from(stdin)));
        if (!config) return;
        for (const name of ["pools", "mtu", "dns", "prevResult", "validAttachments"] as const)
          attempt(() => config[name]);
        attempt(() => refuseUnsupported(config));
        attempt(() => delegateOf(config, {}));
        for (const text of [args, "", `IgnoreUnknown=1;IP=${args}`]) attempt(() => parsePodRequest(config, text));
      }),
      { numRuns: 2000 },
    );
  });

  it("is a result that survives its text, or a CNI error", () => {
    let read = 0;
    fc.assert(
      fc.property(result, fc.constantFrom(...supportedVersions), (written, version) => {
        const previous = attempt(() => parsePrevResult(JSON.parse(JSON.stringify(written)), version));
        if (!previous) return;
        read++;
        const text: unknown = JSON.parse(formatResult(previous, version));
        expect(JSON.parse(formatResult(parsePrevResult(text, version), version))).toEqual(text);
      }),
      { numRuns: 2000 },
    );
    expect(read).toBeGreaterThan(100);
  });

  it("is bytes, or a CNI error", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void attempt(() => parseConfig(bytes))));
  });
});
