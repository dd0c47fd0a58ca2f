import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { readRoutes } from "../../../daemon/api/routes.ts";
import { ApiServer } from "../../../daemon/api/server.ts";
import { silentLog } from "../../../net/log.ts";
import { peer, route } from "./backend.ts";
import { Harness, sleep, until, untilClosed } from "./harness.ts";

let harness: Harness;
async function start(...args: ConstructorParameters<typeof Harness>): Promise<Harness> {
  harness = new Harness(...args);
  await harness.server.start();
  return harness;
}
afterEach(() => harness.stop());

describe("reads", () => {
  it("answers each path with the backend's shapes", async () => {
    const { backend } = await start();
    const expected: Record<string, unknown> = {
      "/v1/status": backend.statusView,
      "/v1/peers": backend.peerViews,
      "/v1/peers/tor-a": backend.peerViews[0],
      "/v1/peers/tor%2Fb": backend.peerViews[1],
      "/v1/routes": [route(1), route(2)],
      "/v1/received/tor-a": [route(1), route(2)],
      "/v1/advertised/tor-a": [route(1), route(2)],
      "/v1/pods": backend.pods(),
      "/v1/blocks": backend.blocks(),
      "/v1/rules": await backend.rules(),
      "/v1/kernel-routes/fabric": await backend.kernelRoutes("fabric"),
    };
    for (const [path, value] of Object.entries(expected)) {
      const answer = await harness.fetch(path);
      expect([path, answer.status, answer.headers["content-type"]]).toEqual([path, 200, "application/json"]);
      expect(JSON.parse(answer.body)).toEqual(value);
    }
  });

  it("passes filters on", async () => {
    await start();
    await harness.fetch("/v1/routes?prefix=10.0.0.0/8&table=fabric&family=ipv4&best=true");
    await harness.fetch("/v1/received/tor-a?prefix=2001:db8::1&family=6&best=0");
    expect(harness.backend.filters).toEqual([
      { prefix: "10.0.0.0/8", table: "fabric", family: 4, best: true },
      { prefix: "2001:db8::1", family: 6, best: false },
    ]);
  });

  it("gives lines when asked", async () => {
    await start();
    const answer = await harness.fetch("/v1/routes", { headers: { Accept: "application/x-ndjson" } });
    expect(answer.headers["content-type"]).toBe("application/x-ndjson");
    expect(
      answer.body
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([route(1), route(2)]);
  });

  it("gives an empty array", async () => {
    await start();
    harness.backend.routeViews = () => [];
    expect((await harness.fetch("/v1/routes")).body).toBe("[]\n");
    expect((await harness.fetch("/v1/routes", { headers: { Accept: "application/x-ndjson" } })).body).toBe("");
  });

  it.each([
    ["GET", "/", 404, "nothing at /"],
    ["GET", "/v1/peers/x", 404, "no peer x; there are tor-a, tor/b"],
    ["GET", "/v1/received/x", 404, "no peer x"],
    ["GET", "/v1/received/", 404, "nothing at"],
    ["GET", "/v1/kernel-routes/main", 404, "no table main"],
    ["GET", "/v1/routes?prefix=10.0.0.1/8", 400, "did you mean 10.0.0.0/8?"],
    ["GET", "/v1/routes?prefix=x", 400, "neither an address nor a prefix"],
    ["GET", "/v1/routes?family=5", 400, "ipv4 or ipv6"],
    ["GET", "/v1/routes?best=maybe", 400, "true or false"],
    ["GET", "/v1/routes?prefx=10.0.0.0/8", 400, "unknown parameter prefx"],
    ["GET", "/v1/pods?x=1", 400, "unknown parameter x"],
    ["GET", "/v1/peers/%", 400, "wrongly encoded"],
    ["GET", "/v1/__proto__", 404, "nothing at"],
    ["GET", "/v1/watch", 426, "WebSocket"],
    ["POST", "/v1/peers", 405, "only GET"],
    ["DELETE", "/v1/cni", 405, "only POST"],
    ["OPTIONS", "*", 400, "must be a path"],
  ])("%s %s: %i", async (method, path, status, message) => {
    await start();
    const answer = await harness.fetch(path, { method });
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body).error).toContain(message);
    expect(harness.errors).toEqual([]);
  });

  it("tells a fault of its own from one of the client's", async () => {
    await start();
    harness.backend.routeViews = () => {
      throw new Error("internal secret");
    };
    const answer = await harness.fetch("/v1/routes");
    expect(answer.status).toBe(500);
    expect(answer.body).not.toContain("secret");
    expect(harness.errors).toHaveLength(1);
    expect((await harness.fetch("/v1/peers")).status).toBe(200);
  });

  it("serves metrics that a Prometheus can read", async () => {
    await start();
    harness.backend.peerViews = [peer("tor-a", "Established"), peer("tor-b", "Active")];
    const { body, headers } = await harness.fetch("/metrics");
    expect(headers["content-type"]).toContain("text/plain; version=0.0.4");
    for (const line of [
      'underlay_info{version="0.1.0",node="node1",asn="65101"} 1',
      "underlay_healthy 1",
      'underlay_peer_established{peer="tor-a"} 1',
      'underlay_peer_established{peer="tor-b"} 0',
      'underlay_peer_prefixes{peer="tor-a",kind="received",family="ipv4"} 3',
      'underlay_peer_paths{peer="tor-a",kind="received",family="ipv4"} 4',
      'underlay_peer_paths_ignored_total{peer="tor-a"} 0',
      'underlay_peer_paths_stale{peer="tor-a"} 0',
      'underlay_routes{family="ipv6"} 1',
      "underlay_kernel_routes_failed 0",
      "underlay_pods 1",
      'underlay_block_capacity{block="10.244.1.0/26",pool="default"} 63',
      'underlay_event_loop_delay_seconds{quantile="0.99"} 0.0005',
      "# TYPE underlay_peer_updates_received_total counter",
    ])
      expect(body.split("\n")).toContain(line);
    harness.backend.peerViews = [];
    expect((await harness.fetch("/metrics")).status).toBe(200);
  });
});

describe("long lists", () => {
  it("are read only as fast as the client reads, and not after it has gone", async () => {
    await start();
    let made = 0;
    let ended = false;
    harness.backend.routeViews = function* () {
      try {
        for (;;) yield route(made++);
      } finally {
        ended = true;
      }
    };
    const socket = harness.raw();
    socket.write("GET /v1/routes HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((resolve) => socket.once("readable", resolve));
    await sleep(300);
    const first = made;
    await sleep(300);
    // A few socket buffers' worth: bounded, and it has stopped.
    expect(first).toBeLessThan(20_000);
    expect(made).toBe(first);
    socket.resume();
    await until(() => made > first + 5_000, "the rest when the client reads");
    socket.destroy();
    await until(() => ended, "the iterator's end");
  });

  it("leave room for others", async () => {
    await start();
    harness.backend.routeViews = function* () {
      for (let i = 0; i < 100_000; i++) yield route(i);
    };
    const long = harness.fetch("/v1/routes");
    let ended = false;
    long.finally(() => {
      ended = true;
    });
    let answered = 0;
    for (; !ended; answered++) await harness.fetch("/v1/peers");
    expect(answered).toBeGreaterThan(2);
    expect(JSON.parse((await long).body)).toHaveLength(100_000);
  });

  it("are cut off, not completed, when reading fails in the middle", async () => {
    await start();
    harness.backend.routeViews = function* () {
      for (let i = 0; i < 2_000; i++) yield route(i);
      throw new Error("gone");
    };
    await expect(harness.fetch("/v1/routes")).rejects.toThrow();
    expect(harness.errors).toHaveLength(1);
  });
});

describe("clients that misbehave", () => {
  it.each([
    ["no HTTP", "hello\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /^HTTP\/1\.1 400 /],
    ["a header too large", `GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
    ["a header flood", `GET / HTTP/1.1\r\n${"Aaaaaa: b\r\n".repeat(5_000)}\r\n`, /^HTTP\/1\.1 431 /],
    [
      "an upgrade to nowhere",
      "GET /v1/peers HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      /^HTTP\/1\.1 404 /,
    ],
    [
      "an upgrade without a key",
      "GET /v1/watch HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      /^HTTP\/1\.1 400 /,
    ],
    [
      "an upgrade to something else",
      "GET /v1/watch HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
      /^HTTP\/1\.1 400 /,
    ],
    [
      "wrong event types",
      "GET /v1/watch?types=all HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      /unknown event type all/,
    ],
    ["requests sent ahead", "GET /v1/peers HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000), /^/],
  ])("%s", async (_, bytes, answer) => {
    await start();
    const socket = harness.raw();
    socket.write(bytes, "latin1");
    expect(await untilClosed(socket)).toMatch(answer);
    expect((await harness.fetch("/v1/peers")).status).toBe(200);
  });

  it("are disconnected when they say nothing, or half a request", async () => {
    await start({ headersTimeout: 100 });
    const sockets = [harness.raw(), harness.raw()];
    sockets[1].write("GET /v1/peers HTTP/1.1\r\n");
    const drip = setInterval(() => sockets[1].write("X: y\r\n"), 20);
    await Promise.all(sockets.map(untilClosed));
    clearInterval(drip);
  });

  it("are turned away above a number of connections", async () => {
    await start({ connections: 3 });
    const sockets = [harness.raw(), harness.raw(), harness.raw(), harness.raw()];
    expect(await untilClosed(sockets[3])).toBe("");
    await expect(harness.fetch("/v1/peers")).rejects.toThrow();
    for (const socket of sockets) socket.destroy();
    await sleep(50);
    expect((await harness.fetch("/v1/peers")).status).toBe(200);
  });

  it("on TCP cannot take the places of those on the unix socket", async () => {
    await start({ connections: 4, tcpConnections: 2 }, true);
    const sockets = [1, 2, 3].map(() => connect(harness.server.port!, "127.0.0.1"));
    expect(await untilClosed(sockets[2])).toBe("");
    expect((await harness.fetch("/v1/peers")).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });

  it("get their answer with their own half closed", async () => {
    await start();
    const socket = harness.raw();
    socket.end("GET /v1/blocks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(await untilClosed(socket)).toContain("10.244.1.0/26");
  });
});

describe("CNI calls", () => {
  const type = "application/vnd.underlay.cni";
  const encode = (text: string) => new TextEncoder().encode(text);
  const post = (body: Uint8Array, headers: Record<string, string> = { "Content-Type": type }) =>
    harness.fetch("/v1/cni", { method: "POST", body, headers });

  it("carry variables, stdin and the caller's process id there, and exit code and stdout back", async () => {
    await start();
    let seen: unknown;
    harness.backend.cniHandler = async (request) => {
      expect(request.caller?.gone).toBe(false);
      seen = { ...request, stdin: new TextDecoder().decode(request.stdin), caller: undefined };
      return { exitCode: 3, stdout: '{"code":11}\n' };
    };
    const answer = await post(encode('CNI_COMMAND=ADD\0CNI_ARGS=A=1;B=\0__proto__=x\0\0{"a":"\0b"}'));
    expect(answer.status).toBe(200);
    expect(answer.headers["underlay-exit"]).toBe("3");
    expect(answer.body).toBe('{"code":11}\n');
    const env = JSON.parse('{"CNI_COMMAND":"ADD","CNI_ARGS":"A=1;B=","__proto__":"x"}');
    expect(seen).toEqual({ env, stdin: '{"a":"\0b"}', pid: process.pid });
  });

  it("tell of a caller that closes its connection before the answer", async () => {
    await start();
    const gone = new Promise<boolean | undefined>((resolve) => {
      harness.backend.cniHandler = ({ caller }) => {
        caller?.onGone(() => resolve(caller.gone));
        socket.destroy();
        return new Promise(() => {});
      };
    });
    const socket = harness.raw();
    socket.write(`POST /v1/cni HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 6\r\n\r\nA=b\0\0{`);
    expect(await gone).toBe(true);
  });

  it("carry 2 MiB, and not more", async () => {
    await start();
    const body = new Uint8Array(2 << 20).fill(0x78);
    body.set(encode("A=1\0\0"));
    expect((await post(body)).body).toHaveLength((2 << 20) - 5);
    const answer = await post(new Uint8Array((2 << 20) + 1));
    expect([answer.status, JSON.parse(answer.body).error]).toEqual([413, "the request is larger than 2 MiB"]);
  });

  it.each([
    ["", 400],
    ["A=1", 400],
    ["A=1\0", 400],
    ["A\0\0", 400],
    ["=1\0\0", 400],
    [`${"A=1\0".repeat(65)}\0`, 400],
    ["\0", 200],
    ["A=1\0\0", 200],
  ])("with body %j: %i", async (body, status) => {
    await start();
    expect((await post(encode(body))).status).toBe(status);
  });

  it("need their media type", async () => {
    await start();
    expect((await post(encode("\0"), { "Content-Type": "application/json" })).status).toBe(415);
  });

  it("go on when the caller vanishes, and answer nobody", async () => {
    await start();
    let finish = () => {};
    let called = false;
    harness.backend.cniHandler = () => {
      called = true;
      return new Promise((resolve) => {
        finish = () => resolve({ exitCode: 0, stdout: "" });
      });
    };
    const socket = harness.raw();
    socket.write(`POST /v1/cni HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 1\r\n\r\n\0`);
    await until(() => called, "the call");
    socket.destroy();
    await sleep(20);
    finish();
    await sleep(20);
    expect(harness.errors).toEqual([]);
    harness.backend.cniHandler = async () => ({ exitCode: 0, stdout: "ok" });
    expect((await post(encode("\0"))).body).toBe("ok");
  });

  it("end when the body does not come, or comes in part", async () => {
    await start({ bodyTimeout: 100 });
    const head = `POST /v1/cni HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 10\r\n\r\n`;
    const [slow, gone] = [harness.raw(), harness.raw()];
    slow.write(`${head}A=`);
    gone.write(`${head}A=`);
    await sleep(20);
    gone.destroy();
    await untilClosed(slow);
    expect(harness.errors).toEqual([]);
  });

  it("run side by side", async () => {
    await start();
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => post(encode(`\0${i}`))));
    expect(answers.map(({ body }) => body)).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
  });
});

describe("the TCP listener", () => {
  it("reads, and does nothing else", async () => {
    await start({}, true);
    expect((await harness.fetch("/v1/status", { tcp: true })).status).toBe(200);
    expect((await harness.fetch("/metrics", { tcp: true })).status).toBe(200);
    const headers = { "Content-Type": "application/vnd.underlay.cni" };
    const cni = await harness.fetch("/v1/cni", { tcp: true, method: "POST", headers, body: Uint8Array.of(0) });
    expect(cni.status).toBe(403);
    expect((await harness.fetch("/v1/peers", { tcp: true, method: "POST" })).status).toBe(405);
  });

  it("is not for web pages with a name of their own", async () => {
    await start({}, true);
    expect((await harness.fetch("/v1/status", { tcp: true, headers: { Host: "evil.example:7180" } })).status).toBe(403);
    expect((await harness.fetch("/v1/status", { tcp: true, headers: { Host: "localhost:7180" } })).status).toBe(200);
  });

  it("says what is in the way of listening, and leaves no socket behind", async () => {
    harness = new Harness();
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as { port: number };
    const options = { backend: harness.backend, log: silentLog, socketPath: harness.socketPath };
    const server = new ApiServer({ ...options, listen: { host: "127.0.0.1", port } });
    await expect(server.start()).rejects.toThrow(`api.listen: cannot listen on 127.0.0.1 port ${port}`);
    expect(existsSync(harness.socketPath)).toBe(false);
    taken.close();
  });
});

describe("the socket's file", () => {
  it("is for root only, and goes with the daemon", async () => {
    await start();
    expect(statSync(harness.socketPath).mode & 0o777).toBe(0o600);
    await harness.server.stop();
    expect(existsSync(harness.socketPath)).toBe(false);
  });

  it("of a daemon that was killed is replaced", async () => {
    harness = new Harness();
    const script = `require("net").createServer().listen(${JSON.stringify(harness.socketPath)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(existsSync(harness.socketPath)).toBe(true);
    await harness.server.start();
    expect((await harness.fetch("/v1/peers")).status).toBe(200);
  });

  it("of a daemon that lives is left alone", async () => {
    await start();
    const other = new ApiServer({
      backend: harness.backend,
      log: silentLog,
      socketPath: harness.socketPath,
      listen: null,
    });
    await expect(other.start()).rejects.toThrow(/another daemon answers on .*: stop it/);
    expect((await harness.fetch("/v1/peers")).status).toBe(200);
  });

  it("is not made where something else is", async () => {
    harness = new Harness();
    writeFileSync(harness.socketPath, "important");
    await expect(harness.server.start()).rejects.toThrow("is there and is not a socket");
    expect(readFileSync(harness.socketPath, "utf8")).toBe("important");
  });

  it("needs its directory", async () => {
    harness = new Harness();
    const directory = mkdtempSync(join(tmpdir(), "ul-api-"));
    chmodSync(directory, 0o700);
    rmSync(directory, { recursive: true });
    const socketPath = join(directory, "d.sock");
    const server = new ApiServer({ backend: harness.backend, log: silentLog, socketPath, listen: null });
    await expect(server.start()).rejects.toThrow(`ENOENT (${socketPath})`);
  });
});

describe("stop", () => {
  it("lets answers under way finish, and ends idle connections at once", async () => {
    await start();
    harness.backend.cniHandler = async () => {
      await sleep(100);
      return { exitCode: 0, stdout: "done" };
    };
    const idle = untilClosed(harness.raw());
    const headers = { "Content-Type": "application/vnd.underlay.cni" };
    const call = harness.fetch("/v1/cni", { method: "POST", headers, body: Uint8Array.of(0) });
    await sleep(30);
    await harness.server.stop();
    expect((await call).body).toBe("done");
    await idle;
  });

  it("does not wait for ever", async () => {
    await start({ stopTimeout: 100 });
    harness.backend.cniHandler = () => new Promise(() => {});
    const headers = { "Content-Type": "application/vnd.underlay.cni" };
    const call = harness.fetch("/v1/cni", { method: "POST", headers, body: Uint8Array.of(0) });
    call.catch(() => {});
    await sleep(30);
    const started = performance.now();
    await harness.server.stop();
    expect(performance.now() - started).toBeLessThan(1_000);
    await expect(call).rejects.toThrow();
  });
});

it("docs/api.md names every path", () => {
  harness = new Harness();
  const text = readFileSync(join(import.meta.dirname, "../../../docs/api.md"), "utf8");
  for (const path of [...Object.keys(readRoutes), "/v1/cni", "/v1/watch"]) {
    const shown = path.replace(/:name$/, path.includes("kernel-routes") ? ":table" : ":peer");
    expect(text).toContain(`\`${path.startsWith("/v1/cni") ? "POST" : "GET"} ${shown}`);
  }
});
