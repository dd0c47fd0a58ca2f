// underlayd and an etcd with TLS, client certificates and users, as the configuration has them: that it works, and what
// a person is told when something about it is wrong, while pods go on.
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StatusView } from "../../daemon/api/types.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { waitFor } from "../interop/support/wait.ts";
import { ask } from "./support/api.ts";
import { type Certificates, EtcdServer, makeCertificates } from "./support/etcd.ts";
import { Pods } from "./support/pods.ts";

const lab = new Lab("etcdtls");
let node: Node;
let etcd: EtcdServer;
let sound: Certificates;
let foreign: Certificates;
let underlay: Underlay;
let pods: Pods;

const file = (name: string) => join(lab.directory, "files", name);

/** What underlayd is configured with, in files that are replaced as an operator replaces them. */
function provide({ ca = sound.ca, cert = sound.client, key = sound.clientKey, password = "secret" } = {}): void {
  copyFileSync(ca, file("ca.pem"));
  copyFileSync(cert, file("cert.pem"));
  copyFileSync(key, file("key.pem"));
  writeFileSync(file("password"), `${password}\n`, { mode: 0o600 });
}

beforeAll(async () => {
  node = lab.addNode("node1");
  node.addAddress("lo", "10.0.0.11/32");
  for (const name of ["files", "sound", "foreign"]) mkdirSync(join(lab.directory, name));
  sound = makeCertificates(join(lab.directory, "sound"));
  foreign = makeCertificates(join(lab.directory, "foreign"));
  etcd = await EtcdServer.start({
    tls: sound,
    wrapper: ["nsenter", `--net=${node.path}`, "--"],
    args: ["--bcrypt-cost", "4"],
  });
  etcd.enableUsers();
  provide();
  underlay = await Underlay.start(
    node,
    `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
etcd:
  endpoints: ${etcd.endpoints[0]}
  timeout: 300ms
  username: underlay
  password: { file: ${file("password")} }
  tls: { ca: ${file("ca.pem")}, cert: ${file("cert.pem")}, key: ${file("key.pem")} }
pools: { default: { source: etcd, ranges: 10.244.0.0/24, blockSize: { ipv4: 29 } } }
`,
  );
  pods = new Pods(node, underlay.socket);
}, 30_000);
afterAll(async () => {
  pods?.close();
  await etcd?.stop();
  await lab.close();
});

const add = async (name: string) => {
  pods.create(name);
  return pods.call("ADD", name);
};
const status = () => ask<StatusView>(underlay.socket, "/v1/status");
const aboutEtcd = async () => (await status()).problems.filter((text) => text.includes("etcd"));
const blocks = async () => (await underlay.blocks()).map(({ prefix, source }) => `${prefix} ${source}`);

it("claims a block with a certificate, a user and a password from files", async () => {
  await waitFor(async () => (await aboutEtcd()).length === 0, "etcd", { interval: 20 });
  const first = await add("a");
  expect(first.code, first.stdout).toBe(0);
  expect(await blocks()).toEqual([expect.stringMatching(/^10\.244\.0\.\d+\/29 etcd$/)]);
  expect(etcd.ctl("--user", "root:root", "get", "--prefix", "--keys-only", "/underlay/v1/blocks/")).toContain("/29");
});

describe("when it is renewed by mistake with", () => {
  const wrong: readonly [string, () => Parameters<typeof provide>[0], RegExp][] = [
    ["a wrong password", () => ({ password: "wrong" }), /refuses the user name or password.*etcd\.username.*reload/],
    [
      "another authority",
      () => ({ ca: foreign.ca }),
      /certificate of an authority that is not in `ca`.*etcd\.tls\.ca.*reload/,
    ],
    [
      "an expired certificate of its own",
      () => ({ cert: sound.expired, key: sound.expiredKey }),
      /client certificate.*expired.*etcd\.tls\.cert.*reload/,
    ],
  ];
  afterAll(async () => {
    provide();
    await underlay.ctl("reload");
    await waitFor(async () => (await aboutEtcd()).length === 0, "etcd to be back", { interval: 20 });
  });

  it.each(wrong)("%s: says where, what and what to do; pods go on", async (_, files, words) => {
    const before = await blocks();
    provide(files());
    await underlay.ctl("reload");
    let problem = "";
    await waitFor(
      async () => {
        [problem = ""] = await aboutEtcd();
        return words.test(problem);
      },
      "the status to say so",
      { timeout: 10_000, interval: 20 },
    ).catch(async (error) => {
      throw new Error(`${error.message}: ${problem}\n${underlay.log.slice(-2000)}`);
    });
    const endpoint = `etcd at 127.0.0.1:${etcd.members[0].client}`;
    expect(problem).toContain(endpoint);
    expect(underlay.log).toContain(`"reason":"${endpoint} `);
    expect(await blocks()).toEqual(before);
    const [{ addresses }] = await underlay.pods();
    expect(await node.exec("ping", "-c", "1", "-W", "2", addresses[0])).toContain("1 received");
  });

  it("and has doctor say it as well; pods come and go in the block that is there", async () => {
    const said = async () =>
      (await ask<{ check: string; text: string }[]>(underlay.socket, "/v1/doctor")).some(
        ({ check, text }) => check === "etcd-unreachable" && /client certificate.*reload/.test(text),
      );
    await waitFor(said, "doctor to say so", { interval: 50 });
    expect((await add("b")).code).toBe(0);
    expect((await pods.call("DEL", "b")).code).toBe(0);
  });
});

it("claims again when all is right again", async () => {
  for (const name of ["c", "d", "e", "f", "g", "h"]) expect((await add(name)).code).toBe(0);
  await waitFor(async () => (await blocks()).length === 2, "a second block", { interval: 20 });
});
