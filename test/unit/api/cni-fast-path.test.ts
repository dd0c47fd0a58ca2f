import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Harness, sleep, until, untilClosed } from "./harness.ts";

const root = join(import.meta.dirname, "../../..");
/** Only node:http's answers carry it. */
const SLOW = "Cache-Control";

let harness: Harness;
let request: Buffer;

/** What dist/underlay sends, taken down by a server that never answers. */
async function captured(): Promise<Buffer> {
  const { socketPath } = harness;
  const listener = createServer();
  listener.listen(`${socketPath}.capture`);
  await once(listener, "listening");
  const env = { UNDERLAY_SOCKET: `${socketPath}.capture`, CNI_COMMAND: "STATUS", CNI_PATH: "/x" };
  const client = spawn(join(root, "dist/underlay"), { env, stdio: ["pipe", "ignore", "ignore"] });
  client.stdin.end('{"cniVersion":"1.1.0","name":"n"}');
  const [socket] = await once(listener, "connection");
  const [bytes] = await once(socket, "data");
  socket.destroy();
  listener.close();
  await once(client, "exit");
  return bytes;
}

async function answerTo(...parts: readonly Uint8Array[]): Promise<string> {
  const socket = harness.raw();
  for (const part of parts) {
    socket.write(part);
    await sleep(20);
  }
  return untilClosed(socket);
}

beforeAll(async () => {
  harness = new Harness();
  request = await captured();
  await harness.stop();
});
beforeEach(async () => {
  harness = new Harness();
  await harness.server.start();
  harness.backend.cniHandler = async ({ env, stdin, pid }) => ({
    exitCode: 7,
    stdout: `${env.CNI_COMMAND} ${Buffer.from(stdin)} ${pid === process.pid}\n`,
  });
});
afterEach(() => harness.stop());

const answered = 'STATUS {"cniVersion":"1.1.0","name":"n"} true\n';

describe("a CNI call that is there in one piece", () => {
  it("is the client's, and is answered without node:http", async () => {
    const text = await answerTo(request);
    expect(text).toContain("\r\nUnderlay-Exit: 7\r\n");
    expect(text.split("\r\n\r\n")[1]).toBe(answered);
    expect(text).not.toContain(SLOW);
  });

  it("gets the same answer in two pieces, or in other words", async () => {
    const slow = await Promise.all([
      answerTo(request.subarray(0, 90), request.subarray(90)),
      answerTo(request.subarray(0, -4), request.subarray(-4)),
      answerTo(Buffer.from(request.toString("latin1").replace("Host: underlay", "Host: x"), "latin1")),
    ]);
    for (const text of slow) {
      expect(text).toContain(SLOW);
      expect(text.toLowerCase()).toContain("\r\nunderlay-exit: 7\r\n");
      expect(text.split("\r\n\r\n")[1]).toBe(answered);
    }
  });

  it("is refused in node:http's words when it is not well made", async () => {
    const bad = request.toString("latin1").replaceAll("CNI_COMMAND=", "CNI_COMMAND:");
    expect(await answerTo(Buffer.from(bad, "latin1"))).toMatch(/^HTTP\/1.1 400 .*not KEY=VALUE/s);
  });

  it("gets an answer that is longer than the socket's buffer, whole", async () => {
    harness.backend.cniHandler = async () => ({ exitCode: 0, stdout: "x".repeat(4 << 20) });
    const text = await answerTo(request);
    expect(text).not.toContain(SLOW);
    expect(text.split("\r\n\r\n")[1]).toHaveLength(4 << 20);
  });

  it("tells of a caller that leaves, and answers nobody", async () => {
    let left = false;
    let asked = false;
    let finish = () => {};
    harness.backend.cniHandler = ({ caller }) => {
      asked = true;
      expect(caller!.gone).toBe(false);
      caller!.onGone(() => {
        left = caller!.gone;
      });
      return new Promise((resolve) => {
        finish = () => resolve({ exitCode: 0, stdout: "late" });
      });
    };
    const socket = harness.raw();
    socket.write(request);
    await until(() => asked, "the call");
    expect(left).toBe(false);
    socket.destroy();
    await until(() => left, "its end");
    finish();
    await sleep(10);
    expect(harness.errors).toEqual([]);
  });

  it("keeps a stop waiting until it is answered, and not for ever", async () => {
    let finish: (() => void) | null = null;
    harness.backend.cniHandler = () =>
      new Promise((resolve) => {
        finish = () => resolve({ exitCode: 0, stdout: "done" });
      });
    const asked = answerTo(request);
    await until(() => finish !== null, "the call");
    const stopped = harness.server.stop();
    finish!();
    expect(await asked).toContain("done");
    await stopped;

    let called = false;
    harness = new Harness({ stopTimeout: 50 });
    await harness.server.start();
    harness.backend.cniHandler = () => {
      called = true;
      return new Promise(() => {});
    };
    const never = answerTo(request);
    await until(() => called, "the other call");
    await harness.server.stop();
    expect(await never).toBe("");
  });
});
