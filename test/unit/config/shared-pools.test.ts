// Pools whose blocks are claimed in etcd: what they become, what is refused and where, what a change of them does.
import { describe, expect, it } from "vitest";
import { diffConfig } from "../../../config/diff.ts";
import { type ConfigError, parseConfig } from "../../../config/load.ts";
import { NODE } from "./bad/case.ts";

const files: Readonly<Record<string, string>> = {
  "/etc/underlay/ca.pem": "CA",
  "/etc/underlay/cert.pem": "CERT",
  "/etc/underlay/key.pem": "KEY",
  "/etc/underlay/password": "secret\n",
  "/etc/underlay/empty": "",
};
const load = (text: string) =>
  parseConfig(text, "/etc/underlay/underlayd.yaml", (file) => {
    if (files[file] === undefined) throw Object.assign(new Error("no"), { code: "ENOENT" });
    return { bytes: Buffer.from(files[file]), worldReadable: file.includes("key") };
  });
const refusals = (text: string): string[] => {
  try {
    load(text);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(
      ({ line, column, path, message, hint }) => `${line}:${column} ${path}: ${message} (${hint})`,
    );
  }
};
const pool = (rest: string) => `pools:\n  default:\n    source: etcd\n${rest}`;
const etcd = "etcd: { endpoints: https://10.0.0.5:2379 }\n";
const ranges = '    ranges: [10.244.0.0/16, "2001:db8:244::/48"]\n';

describe("a shared pool", () => {
  it("has usual values", () => {
    const { config, warnings } = load(`${NODE}${etcd}${pool(ranges)}`);
    expect(warnings).toEqual([]);
    expect(config.etcd).toEqual({
      endpoints: ["https://10.0.0.5:2379"],
      prefix: "/underlay",
      tls: { ca: null, cert: null, key: null, fingerprint: "" },
      username: null,
      password: null,
      timeout: 5000,
    });
    expect(config.pools[0]).toMatchObject({
      source: "etcd",
      blocks: [],
      ranges: ["10.244.0.0/16", "2001:db8:244::/48"],
      blockSize: { ipv4: 26, ipv6: 122 },
      maxBlocks: 16,
      affinity: "strict",
      releaseAfter: 600,
      exceptions: { budget: 32, ranges: [] },
    });
  });

  it("reads its etcd's files, and marks what everybody can read", () => {
    const tls = "tls: { ca: ca.pem, cert: cert.pem, key: key.pem }, username: u, password: { file: password }";
    const { config, warnings } = load(
      `${NODE}etcd: { endpoints: "https://[2001:db8::5]:2379/", prefix: /dc1/, ${tls} }\n${pool(ranges)}`,
    );
    const { tls: files, password } = config.etcd!;
    expect({ ...files, fingerprint: files.fingerprint.length, password }).toEqual({
      ca: "/etc/underlay/ca.pem",
      cert: "/etc/underlay/cert.pem",
      key: "/etc/underlay/key.pem",
      fingerprint: 64,
      password: "secret",
    });
    expect(config.etcd).toMatchObject({ endpoints: ["https://[2001:db8::5]:2379"], prefix: "/dc1", username: "u" });
    expect(warnings.map(({ path }) => path)).toEqual(["etcd.tls.key"]);
  });

  it("gives exceptions the pool's communities unless they have their own", () => {
    const own = `    communities: ["65101:1"]\n    exceptions: { communities: ["65101:2"] }\n`;
    const of = (rest: string) => load(`${NODE}${etcd}${pool(ranges)}${rest}`).config.pools[0].exceptions.announced;
    expect(of(own).communities).toEqual([65101 * 65536 + 2]);
    expect(of(`    communities: ["65101:1"]\n`).communities).toEqual([65101 * 65536 + 1]);
  });

  it.each([
    [
      "no etcd",
      pool(ranges),
      ["4:13 pools.default.source: is etcd, and there is no section etcd (add etcd: { endpoints"],
    ],
    [
      "blocks as well",
      `${etcd}${pool(`${ranges}    blocks: 10.245.0.0/26\n`)}`,
      ["7:5 pools.default.blocks: is for source: static: with etcd, blocks are claimed (write the prefix"],
    ],
    ["no ranges", `${etcd}${pool("")}`, ["4:3 pools.default.ranges: is missing (write ranges"]],
    [
      "ranges without the source",
      `pools:\n  default:\n${ranges}`,
      [
        "3:3 pools.default.blocks: is missing (did you mean source: etcd?)",
        "4:5 pools.default.ranges: is for source: etcd (remove it, or add source: etcd)",
      ],
    ],
    [
      "a size outside of the range",
      `${etcd}${pool(`    ranges: 10.244.0.0/24\n    blockSize: { ipv4: 23 }\n`)}`,
      ["7:24 pools.default.blockSize.ipv4: a /23 does not fit into 10.244.0.0/24 (write ipv4: 30"],
    ],
    [
      "a range smaller than the usual size",
      `${etcd}${pool(`    ranges: 10.244.0.0/27\n`)}`,
      ["6:13 pools.default.ranges: a /26 does not fit into 10.244.0.0/27 (write ipv4: 32"],
    ],
    [
      "ranges that overlap",
      `${etcd}${pool(ranges)}  other: { source: etcd, ranges: 10.244.128.0/17 }\n`,
      ["7:34 pools.other.ranges: 10.244.128.0/17 overlaps with 10.244.0.0/16 (pool default, line 6)"],
    ],
    [
      "a block in another pool's range",
      `${etcd}${pool(ranges)}  other: { blocks: 10.244.128.0/26 }\n`,
      ["7:20 pools.other.blocks: 10.244.128.0/26 overlaps with 10.244.0.0/16 (pool default, line 6)"],
    ],
    [
      "an exclusion elsewhere",
      `${etcd}${pool(`${ranges}    exclude: 10.9.0.1\n`)}`,
      ["7:14 pools.default.exclude: 10.9.0.1 is not inside of any range of this pool"],
    ],
    [
      "exceptions by promise",
      `${etcd}${pool(`${ranges}    exceptions: { ranges: 10.9.0.0/24 }\n`)}`,
      ["7:19 pools.default.exceptions.ranges: is for source: static"],
    ],
    [
      "a missing file",
      `etcd: { endpoints: "https://e:1", tls: { ca: nowhere.pem } }\n${pool(ranges)}`,
      ["2:46 etcd.tls.ca: cannot read /etc/underlay/nowhere.pem: there is no such file"],
    ],
    [
      "an empty password",
      `etcd: { endpoints: "https://e:1", username: u, password: { file: empty } }\n${pool(ranges)}`,
      ["2:66 etcd.password.file: /etc/underlay/empty is empty"],
    ],
    [
      "a user without password",
      `etcd: { endpoints: "https://e:1", username: u }\n${pool(ranges)}`,
      ["2:45 etcd.username: has no password beside it"],
    ],
    [
      "a certificate without key",
      `etcd: { endpoints: "https://e:1", tls: { cert: cert.pem } }\n${pool(ranges)}`,
      ["2:48 etcd.tls.cert: has no key beside it"],
    ],
    [
      "certificates for nothing",
      `etcd: { endpoints: "http://e:1", tls: { ca: ca.pem } }\n${pool(ranges)}`,
      ["2:20 etcd.endpoints: is http://, and tls has certificates that would never be used"],
    ],
    [
      "an endpoint without scheme",
      `etcd: { endpoints: "10.0.0.5:2379" }\n${pool(ranges)}`,
      ['2:20 etcd.endpoints: "10.0.0.5:2379" is not the URL of an etcd member (write https://10.0.0.5:2379 '],
    ],
    [
      "an endpoint with a password",
      `etcd: { endpoints: "https://a:b@e:1" }\n${pool(ranges)}`,
      ["2:20 etcd.endpoints: a URL with a password would be shown in logs"],
    ],
  ])("is refused: %s", (_, text, expected) => {
    const found = refusals(`${NODE}${text}`);
    expect(found.map((line, i) => line.slice(0, expected[i]?.length ?? 0))).toEqual(expected);
  });

  it("changes live, and shows no secret in a plan", () => {
    const before = load(`${NODE}${etcd}${pool(ranges)}`).config;
    const after = load(
      `${NODE}etcd: { endpoints: https://10.0.0.5:2379, tls: { ca: ca.pem }, username: u, password: { file: password } }\n${pool(`${ranges}    maxBlocks: 4\n`)}`,
    ).config;
    const { changes, impact } = diffConfig(before, after);
    expect(impact).toBe("live");
    expect(changes.map(({ path, to }) => `${path} ${to}`.slice(0, 40)).sort()).toEqual([
      "etcd.password a secret",
      "etcd.tls ca: /etc/underlay/ca.pem, cert:",
      "etcd.username u",
      "pools.default.maxBlocks 4",
    ]);
    expect(
      diffConfig(load(NODE).config, before)
        .changes.map(({ kind, path }) => `${kind} ${path}`)
        .sort(),
    ).toEqual(["added etcd", "added pools.default"]);
  });
});
