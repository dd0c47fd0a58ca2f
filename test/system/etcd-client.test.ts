// The etcd client against real etcd: transactions, pages, leases, watches over interruptions and compactions, TLS,
// users and roles, tokens that are no good any more, members that are gone, and what it says when something is wrong.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EtcdClient } from "../../cni/blocks/etcd/client.ts";
import { absent, startingWith, type Txn, unchanged, type WatchEvent } from "../../cni/blocks/etcd/kv.ts";
import { type Certificates, EtcdServer, freePorts, makeCertificates, material, until } from "./support/etcd.ts";
import { FaultyProxy } from "./support/faulty-proxy.ts";

const put = (key: string, value = "x", lease?: string): Txn => ({
  compare: [],
  success: [{ put: { key, value, lease } }],
  failure: [],
});

describe("one member", () => {
  let server: EtcdServer;
  let client: EtcdClient;
  beforeAll(async () => {
    server = await EtcdServer.start();
    client = server.client();
  });
  afterAll(async () => {
    client.close();
    await server.stop();
  });

  it("executes transactions, and reads what they were about", async () => {
    const create: Txn = {
      compare: [absent({ key: "t/ä" })],
      success: [{ put: { key: "t/ä", value: "ü" } }],
      failure: [{ get: { key: "t/ä" } }, { get: startingWith("none/") }],
    };
    const first = await client.txn(create);
    expect(first).toMatchObject({ succeeded: true, read: [[]] });
    const second = await client.txn(create);
    expect(second).toMatchObject({ succeeded: false, revision: first.revision });
    const { revision } = first;
    expect(second.read).toEqual([[{ key: "t/ä", value: "ü", createRevision: revision, modRevision: revision }], []]);
    expect((await client.txn({ ...put("t/b"), compare: [unchanged("t/ä", revision)] })).succeeded).toBe(true);
    const all = { ...startingWith("t/"), target: "mod", result: "less", revision: revision + 1 } as const;
    expect((await client.txn({ ...put("t/c"), compare: [all] })).succeeded).toBe(false);
    expect((await client.txn({ ...put("t/c"), compare: [absent(startingWith("u/"))] })).succeeded).toBe(true);
  });

  it("reads pages of one revision, and says when it is compacted", async () => {
    for (const key of ["p/1", "p/2", "p/3"]) await client.txn(put(key));
    const page = await client.range(startingWith("p/"), 2, 0);
    expect(page.kvs.map(({ key }) => key)).toEqual(["p/1", "p/2"]);
    expect(page.more).toBe(true);
    await client.txn(put("p/4"));
    const rest = await client.range({ ...startingWith("p/"), key: "p/2\0" }, 2, page.revision);
    expect(rest.kvs.map(({ key }) => key)).toEqual(["p/3"]);
    server.ctl("compaction", String(page.revision + 1));
    await expect(client.range({ key: "p/1" }, 1, page.revision)).rejects.toMatchObject({ kind: "compacted" });
  });

  it("keeps leases, and knows when one is no more", async () => {
    const lease = await client.grantLease(60);
    await client.txn(put("l/1", "x", lease));
    expect(await client.keepLease(lease)).toBe(true);
    server.ctl("lease", "revoke", BigInt(lease).toString(16));
    expect(await client.keepLease(lease)).toBe(false);
    expect((await client.range({ key: "l/1" }, 1, 0)).kvs).toEqual([]);
    await expect(client.txn(put("l/1", "x", lease))).rejects.toMatchObject({ kind: "noLease" });
  });

  it("tells every event once over a cut, and what is lost when it is compacted", async () => {
    const proxy = await FaultyProxy.start(server.members[0].client);
    const watching = server.client({ endpoints: [proxy.endpoint] });
    const seen: WatchEvent[] = [];
    let established = 0;
    let interrupted = "";
    let lost = "";
    const watch = watching.watch(
      [startingWith("w/"), { key: "v" }],
      (await client.range({ key: "w" }, 1, 0)).revision + 1,
      {
        onEstablished: () => established++,
        onEvents: (events) => seen.push(...events),
        onInterrupted: (reason) => {
          interrupted = reason;
        },
        onLost: (reason) => {
          lost = reason;
        },
      },
    );
    await until(() => established === 1, "the watch is established");
    await client.txn(put("w/1"));
    await client.txn(put("other"));
    await client.txn(put("v"));
    await until(() => seen.length === 2, "two events");
    proxy.cut();
    await client.txn({
      compare: [],
      success: [{ remove: { key: "w/1" } }, { put: { key: "v", value: "y" } }],
      failure: [],
    });
    proxy.heal();
    await until(() => seen.length === 4, "those from the time of the cut");
    expect(interrupted).toMatch(/cut the connection|ended the watch/);
    expect(seen.map(({ kind, key, value }) => `${kind} ${key} ${value}`).sort()).toEqual(
      ["delete w/1 ", "put v x", "put v y", "put w/1 x"].sort(),
    );
    proxy.cut();
    await client.txn(put("w/2"));
    const { revision } = await client.txn(put("w/3"));
    server.ctl("compaction", String(revision));
    proxy.heal();
    await until(() => lost !== "", "what is lost is told");
    expect(lost).toBe(`etcd has compacted its history up to revision ${revision}`);
    watch.resumeFrom(revision + 1);
    await client.txn(put("w/4"));
    await until(() => seen.at(-1)?.key === "w/4", "it goes on");
    expect(seen.some(({ key }) => key === "w/2")).toBe(false);
    watching.close();
    proxy.stop();
  });

  it("says in words what is wrong", async () => {
    const [nobody] = await freePorts(1);
    const { client: port } = server.members[0];
    const ask = async (over: Parameters<EtcdServer["client"]>[0]) => {
      const asking = server.client({ requestTimeout: 400, attemptTimeout: 200, ...over });
      try {
        await asking.txn(put("x"));
        return "";
      } catch (error) {
        return `${(error as { kind: string }).kind}: ${(error as Error).message}`;
      } finally {
        asking.close();
      }
    };
    expect(await ask({ endpoints: [`http://127.0.0.1:${nobody}`] })).toBe(
      `unavailable: etcd at 127.0.0.1:${nobody} refuses the connection`,
    );
    expect(await ask({ endpoints: [`https://127.0.0.1:${port}`] })).toMatch(
      /unavailable: .*(does not speak TLS|TLS|cut)/,
    );
    expect(await ask({ user: () => ({ name: "a", password: "b" }) })).toMatch(
      /authentication: .*has no authentication enabled, but a user is configured/,
    );
    const proxy = await FaultyProxy.start(port);
    proxy.faults.halfOpen = true;
    expect(await ask({ endpoints: [proxy.endpoint] })).toMatch(/unavailable: .*has not answered for 0\.\d+ s/);
    proxy.stop();
    const peer = await FaultyProxy.start(server.members[0].peer);
    expect(await ask({ endpoints: [peer.endpoint] })).toMatch(/HTTP 404 and no JSON: is this etcd's client port/);
    peer.stop();
  });
});

describe("TLS and users", () => {
  let directory: string;
  let certificates: Certificates;
  let server: EtcdServer;
  const user = () => ({ name: "underlay", password: "secret" });
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "underlay-etcd-tls-"));
    certificates = makeCertificates(directory);
    server = await EtcdServer.start({ tls: certificates });
    server.enableUsers();
  });
  afterAll(async () => {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it("works with a client certificate and a user, within the user's role, and gets new tokens", async () => {
    const client = server.client({ user });
    await client.txn(put("/underlay/v1/x"));
    let events = 0;
    let established = 0;
    const watch = client.watch([startingWith("/underlay/v1/")], 1, {
      onEstablished: () => established++,
      onEvents: (some) => {
        events += some.length;
      },
      onInterrupted: () => {},
      // One that was killed may answer before it has read all of its log.
      onLost: () => watch.resumeFrom(1),
    });
    await until(() => established === 1, "a watch");
    await expect(client.txn(put("/elsewhere"))).rejects.toMatchObject({ kind: "permission" });
    // etcd forgets its tokens with its process.
    await server.kill(0);
    server.restart(0);
    await server.ready({ user });
    await client.txn(put("/underlay/v1/y"));
    await until(() => events >= 2, "events with a new token");
    watch.stop();
    client.close();
  });

  it("says what is wrong with certificates, user and password", async () => {
    const ask = async (over: Parameters<EtcdServer["client"]>[0]) => {
      const client = server.client({ requestTimeout: 500, user, ...over });
      return client
        .txn(put("/underlay/v1/x"))
        .then(() => "")
        .catch((error) => `${error.kind}: ${error.message}`)
        .finally(() => client.close());
    };
    const sound = material(certificates);
    expect(await ask({ tls: () => ({ ...sound, ca: null }) })).toMatch(/certificate.*authority.*not in `ca`/);
    expect(await ask({ tls: () => ({ ...sound, cert: null, key: null }) })).toMatch(/client certificate|TLS|cut/);
    expect(await ask({ user: () => ({ name: "underlay", password: "wrong" }) })).toMatch(
      /^authentication: .*refuses the user name or password/,
    );
    expect(await ask({ user: () => null })).toMatch(/^authentication: .*none is configured here/);
    const named = material({ ...certificates, client: certificates.named, clientKey: certificates.namedKey });
    expect(await ask({ tls: () => named })).toMatch(/^authentication: .*common name \(CN\): use one without/);
    expect(await ask({ tls: () => ({ ...sound, key: Buffer.from("none") }) })).toMatch(
      /^unavailable: .*(PEM|key|routines)/,
    );
    const missing = () => {
      throw new Error("ENOENT: no such file or directory, open 'ca.pem'");
    };
    expect(await ask({ tls: missing })).toMatch(/^unavailable: .*cannot be asked: ENOENT.*ca\.pem/);
    const watching = server.client({ user, tls: missing });
    let interrupted = "";
    watching.watch([{ key: "/underlay/v1/x" }], 1, {
      onEstablished: () => {},
      onEvents: () => {},
      onLost: () => {},
      onInterrupted: (reason) => {
        interrupted = reason;
      },
    });
    await until(() => interrupted !== "", "the watch says so, too");
    watching.close();
    const port = server.members[0].client;
    expect(await ask({ endpoints: [`http://127.0.0.1:${port}`] })).toMatch(/^unavailable: /);
  });
});

describe("out of space", () => {
  it("says so, and works again when there is room", async () => {
    const server = await EtcdServer.start({ args: ["--quota-backend-bytes", String(512 * 1024)] });
    const client = server.client();
    try {
      const big = "x".repeat(100 * 1024);
      let error: { kind?: string; message?: string } = {};
      for (let i = 0; i < 40 && !error.kind; i++)
        await client.txn(put("big", big)).catch((caught) => {
          error = caught;
        });
      expect(error).toMatchObject({ kind: "noSpace" });
      expect(error.message).toMatch(/NOSPACE alarm.*etcdctl alarm disarm/);
      const { revision } = await client.range({ key: "big" }, 1, 0);
      server.ctl("compaction", String(revision));
      server.ctl("defrag");
      server.ctl("alarm", "disarm");
      expect((await client.txn(put("small"))).succeeded).toBe(true);
    } finally {
      client.close();
      await server.stop();
    }
  });
});
