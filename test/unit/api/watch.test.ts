import { connect } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, expect, it } from "vitest";
import { WebSocket } from "ws";
import { Harness, sleep, until } from "./harness.ts";

let harness: Harness;
const clients: WebSocket[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.terminate();
  await harness.stop();
});

async function start(...args: ConstructorParameters<typeof Harness>): Promise<void> {
  harness = new Harness(...args);
  await harness.server.start();
}

interface Watcher {
  readonly socket: WebSocket;
  readonly events: Record<string, unknown>[];
}

async function watch(query = "", options: WebSocket.ClientOptions = {}): Promise<Watcher> {
  const socket = new WebSocket(`ws://localhost/v1/watch${query}`, {
    createConnection: () => connect(harness.socketPath),
    ...options,
  });
  clients.push(socket);
  const events: Record<string, unknown>[] = [];
  socket.on("message", (data) => events.push(JSON.parse(String(data))));
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  return { socket, events };
}

const event = (type: "session" | "route" | "pod", fields: object = {}) => ({
  time: new Date().toISOString(),
  type,
  ...fields,
});

setFlagsFromString("--expose_gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes in memory that something still refers to. */
function reachable(): number {
  collectGarbage();
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}

it("sends events to all who watch, and subscribes only while somebody does", async () => {
  await start();
  expect(harness.backend.listeners.size).toBe(0);
  const [all, pods] = [await watch(), await watch("?types=pod,session")];
  expect(harness.backend.listeners.size).toBe(1);
  harness.backend.emit(event("route", { prefix: "10.0.0.0/8" }));
  harness.backend.emit(event("pod", { kind: "added" }));
  await until(() => all.events.length === 2 && pods.events.length === 1, "events");
  expect(all.events.map(({ type }) => type)).toEqual(["route", "pod"]);
  expect(pods.events[0]).toMatchObject({ type: "pod", kind: "added" });
  all.socket.close();
  pods.socket.terminate();
  await until(() => harness.backend.listeners.size === 0, "the end of the subscription");
});

it("drops events for a slow client, tells it to read anew, and goes on", async () => {
  await start({ watchHighWater: 64 << 10 });
  const [slow, quick] = [await watch(), await watch()];
  slow.socket.pause();
  const padding = "x".repeat(1000);
  const before = reachable();
  const total = 20_000;
  for (let i = 0; i < total; i++) {
    harness.backend.emit(event("route", { i, padding }));
    if (i % 50 === 49) await sleep(0);
  }
  await until(() => quick.events.length === total, "the quick one's events");
  quick.events.length = 0;
  // 20 MB of events, and nearly none of it waits.
  const more = reachable() - before;
  expect(more).toBeLessThan(10 << 20);
  slow.socket.resume();
  await until(() => slow.events.some(({ type }) => type === "resync"), "the marker");
  const marker = slow.events.find(({ type }) => type === "resync")!;
  const received = slow.events.filter(({ type }) => type === "route").length;
  expect(marker["dropped"]).toBeGreaterThan(total / 2);
  expect(received + Number(marker["dropped"])).toBe(total);
  harness.backend.emit(event("session", { to: "Established" }));
  await until(() => slow.events.at(-1)!["type"] === "session", "events after the marker");
});

it("disconnects a client that answers no ping", async () => {
  await start({ watchHeartbeat: 50 });
  const dead = await watch("", { autoPong: false });
  const closed = new Promise((resolve) => dead.socket.once("close", resolve));
  const live = await watch();
  await closed;
  await sleep(150);
  expect(live.socket.readyState).toBe(WebSocket.OPEN);
});

it("answers pings, but queues no answers for one who does not read", async () => {
  await start({ watchHighWater: 64 << 10 });
  const { socket } = await watch();
  const pong = new Promise((resolve) => socket.once("pong", resolve));
  socket.ping("x");
  await pong;
});

it("ends a client that sends too much, or nonsense", async () => {
  await start();
  const big = await watch();
  const closed = new Promise<number>((resolve) => big.socket.once("close", resolve));
  big.socket.on("error", () => {});
  big.socket.send("x".repeat(2000));
  expect(await closed).toBe(1009);
  const odd = await watch();
  const ended = new Promise((resolve) => odd.socket.once("close", resolve));
  odd.socket.on("error", () => {});
  (odd.socket as unknown as { _socket: NodeJS.WritableStream })._socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
  await ended;
  expect((await harness.fetch("/v1/peers")).status).toBe(200);
});

it("has room for 64", async () => {
  await start();
  for (let i = 0; i < 64; i++) await watch();
  await expect(watch()).rejects.toThrow("503");
});

it("says goodbye when the daemon stops", async () => {
  await start();
  const { socket } = await watch();
  const code = new Promise<number>((resolve) => socket.once("close", resolve));
  await harness.server.stop();
  expect(await code).toBe(1001);
});

it("on TCP is not for pages of another origin", async () => {
  await start({}, true);
  const open = (origin: string) => {
    const socket = new WebSocket(`ws://127.0.0.1:${harness.server.port}/v1/watch`, { origin });
    clients.push(socket);
    return new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  };
  await expect(open("http://evil.example")).rejects.toThrow("403");
  await open(`http://127.0.0.1:${harness.server.port}`);
});

it("asks for every operation only while somebody watches the kernel, and says how many were lost", async () => {
  await start();
  const detailed = () => [...harness.backend.listeners].map(({ lost }) => lost !== undefined);
  const pods = await watch("?types=pod");
  await until(() => harness.backend.listeners.size === 1, "the subscription");
  expect(detailed()).toEqual([false]);
  const kernel = await watch("?types=kernel");
  await until(() => detailed()[0] === true, "the other subscription");
  expect(detailed()).toEqual([true]);
  for (const { lost } of harness.backend.listeners) lost?.(5);
  await until(() => kernel.events.length === 1, "the marker");
  expect(kernel.events[0]).toMatchObject({ type: "resync", dropped: 5 });
  harness.backend.emit(event("pod"));
  await until(() => pods.events.length === 1, "the event");
  kernel.socket.close();
  await until(() => detailed()[0] === false, "the former subscription");
  expect(detailed()).toEqual([false]);
});

it("tells who asked for what to be done, and how that went", async () => {
  await start();
  await harness.fetch("/v1/reset?peer=tor-a&reason=x", { method: "POST" });
  await harness.fetch("/v1/refresh?peer=nobody", { method: "POST" });
  await harness.fetch("/v1/plan?file=/x", { method: "POST", body: Buffer.from("node: {}") });
  expect(harness.backend.calls).toEqual([
    { request: "/v1/reset?peer=tor-a&reason=x", pid: process.pid, error: null },
    { request: "/v1/refresh?peer=nobody", pid: process.pid, error: expect.stringContaining("nobody") },
  ]);
});
