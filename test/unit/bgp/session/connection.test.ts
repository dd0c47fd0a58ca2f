// The output side of a connection whose socket takes one piece at a time, when the test says so.

import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { expect, it } from "vitest";
import { Connection, HIGH_WATER } from "../../../../bgp/session/connection.ts";
import { KEEPALIVE } from "../../../../bgp/wire/message.ts";
import { systemClock } from "../../../../net/clock.ts";
import { WorkQueue } from "../../../../net/work-queue.ts";

class PacedSocket extends Duplex {
  #done: (() => void) | null = null;

  override _read(): void {}

  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    this.#done = done;
  }

  /** The other end takes the next piece; resolves when that has been noticed. */
  async delivered(): Promise<void> {
    const done = this.#done;
    this.#done = null;
    done?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const PIECE = new Uint8Array(64 * 1024);

it("tells a stopped producer to go on, whatever else is written meanwhile", async () => {
  const socket = new PacedSocket();
  let writable = 0;
  const end = { address: new Uint8Array(4), port: 179, scope: 0 };
  const connection = new Connection(
    {
      socket: socket as unknown as Socket,
      fd: -1,
      local: end,
      remote: end,
      initiator: "local",
      key: null,
      received() {},
    },
    systemClock,
    new WorkQueue(systemClock),
    { message() {}, malformed() {}, lost() {}, overflow() {}, writable: () => writable++ },
  );
  while (connection.write(PIECE));
  await socket.delivered();
  await socket.delivered();
  expect(socket.writableLength).toBeLessThan(HIGH_WATER);
  // Between the marks: the producer is still stopped, the session's own messages go out.
  expect(connection.write(KEEPALIVE)).toBe(false);
  expect(writable).toBe(0);
  while (socket.writableLength > 0) await socket.delivered();
  expect(writable).toBe(1);
  expect(connection.write(KEEPALIVE)).toBe(true);
  socket.destroy();
});
