// Notifications to a supervisor that does not read.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { notify } from "../../../daemon/systemd.ts";
import { check, native } from "../../../net/native.ts";

let directory: string;
let fd: number;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ul-notify-"));
  const path = join(directory, "notify.sock");
  fd = check(native().socket(1, 2 | 0x800, 0), "socket");
  check(native().bind(fd, Buffer.concat([Buffer.from([1, 0]), Buffer.from(`${path}\0`)])), "bind", path);
  process.env.NOTIFY_SOCKET = path;
});
afterEach(() => {
  delete process.env.NOTIFY_SOCKET;
  native().close(fd);
  rmSync(directory, { recursive: true });
});

function received(): string[] {
  const messages: string[] = [];
  const buffer = new Uint8Array(4096);
  for (let n = native().recv(fd, buffer, 0); n > 0; n = native().recv(fd, buffer, 0))
    messages.push(Buffer.from(buffer.subarray(0, n)).toString());
  return messages;
}

it("never block, and what matters arrives when it reads", async () => {
  // Far more than a datagram socket queues.
  for (let i = 0; i < 2000; i++) notify("WATCHDOG=1");
  notify("READY=1");
  const first = received();
  expect(first.length).toBeGreaterThan(0);
  expect(first.length).toBeLessThan(2000);
  const later: string[] = [];
  for (const end = Date.now() + 5000; later.length === 0 && Date.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    later.push(...received());
  }
  expect(later).toEqual(["READY=1"]);
});
