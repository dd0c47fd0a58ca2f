// A CNI call that is there in one piece when its connection is accepted, as those of our client are: read, worked on and
// answered on the bare descriptor. A connection of node:http costs 0.5 ms of main's time, which is more than the call.
//
// In: an accepted descriptor. Out: an answer; or the descriptor again, from which nothing has been read, for node:http.
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Caller } from "../../cni/readiness.ts";
import type { CniRequest } from "../../cni/types.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL, native, type Poll, UV_READABLE } from "../../net/native.ts";
import { CNI_MEDIA_TYPE, parseCniBody } from "./cni-call.ts";
import type { ApiBackend } from "./types.ts";

const MSG_PEEK = 0x2;
/** Larger calls take the other way. */
const LARGEST = 64 * 1024;

/** Milliseconds for the first byte. */
const PATIENCE = 50;

/** native/client.c writes it, byte by byte. */
const HEAD_BEGIN = Buffer.from(
  `POST /v1/cni HTTP/1.1\r\nHost: underlay\r\nContent-Type: ${CNI_MEDIA_TYPE}\r\nContent-Length: `,
);
const HEAD_END = Buffer.from("\r\nConnection: close\r\n\r\n");
const nothing = new Uint8Array(0);

export class CniFastPath {
  readonly #backend: ApiBackend;
  readonly #hasRoom: () => boolean;
  readonly #decline: (fd: number, pid: number | null) => void;
  readonly #input = Buffer.allocUnsafeSlow(LARGEST);
  readonly #calls = new Set<Call>();
  readonly #silent = new Map<number, () => void>();

  /** `hasRoom`: for one connection more. `decline` is given those that turn out to be something else. */
  constructor(backend: ApiBackend, hasRoom: () => boolean, decline: (fd: number, pid: number | null) => void) {
    this.#backend = backend;
    this.#hasRoom = hasRoom;
    this.#decline = decline;
  }

  /** Calls not yet answered. */
  get busy(): number {
    return this.#calls.size;
  }

  get connections(): number {
    return this.#calls.size + this.#silent.size;
  }

  take(fd: number, pid: number | null): boolean {
    if (!this.#hasRoom()) return false;
    const length = native().recv(fd, this.#input, MSG_PEEK | MSG_DONTWAIT);
    if (length !== -constants.errno.EAGAIN) return this.#begin(fd, pid, length);
    // A client writes right after it has connected: on a busy machine it may not have come to that.
    const { stop } = this.#watch(fd, () => {
      stop();
      if (!this.#begin(fd, pid, native().recv(fd, this.#input, MSG_PEEK | MSG_DONTWAIT))) this.#decline(fd, pid);
    });
    return true;
  }

  #watch(fd: number, look: () => void): { stop: () => void } {
    const poll = new (native().Poll)(fd, look);
    const timer = setTimeout(look, PATIENCE);
    const stop = () => {
      poll.close();
      clearTimeout(timer);
      this.#silent.delete(fd);
    };
    this.#silent.set(fd, stop);
    poll.start(UV_READABLE);
    return { stop };
  }

  #begin(fd: number, pid: number | null, length: number): boolean {
    const start = bodyStart(this.#input, length);
    if (start < 0) return false;
    let request: CniRequest;
    try {
      request = parseCniBody(Uint8Array.from(this.#input.subarray(start, length)), pid);
    } catch {
      return false; // node:http's way has the words for it
    }
    native().recv(fd, this.#input, MSG_DONTWAIT);
    void this.#serve(new Call(fd), request);
    return true;
  }

  /** Ends all connections; nobody is answered any more. */
  close(): void {
    for (const call of this.#calls) call.close();
    for (const [fd, stop] of [...this.#silent]) {
      stop();
      native().close(fd);
    }
  }

  async #serve(call: Call, request: CniRequest): Promise<void> {
    this.#calls.add(call);
    try {
      const { exitCode, stdout } = await this.#backend.cni({ ...request, caller: call });
      call.answer(exitCode, stdout);
    } finally {
      call.close();
      this.#calls.delete(call);
    }
  }
}

/** Where the body begins when the whole request, and no more, is in the first `length` bytes; -1 otherwise. */
function bodyStart(input: Buffer, length: number): number {
  if (length <= HEAD_BEGIN.length || HEAD_BEGIN.compare(input, 0, HEAD_BEGIN.length) !== 0) return -1;
  let at = HEAD_BEGIN.length;
  let declared = 0;
  for (; at < length && input[at] >= 0x30 && input[at] <= 0x39; at++) declared = declared * 10 + input[at] - 0x30;
  const start = at + HEAD_END.length;
  if (start + declared !== length || HEAD_END.compare(input, at, start) !== 0) return -1;
  return start;
}

/** The connection of a client that waits for its answer. */
class Call implements Caller {
  #fd: number;
  #poll: Poll | null = null;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Nobody is there to read an answer: sending nothing fails then. */
  get gone(): boolean {
    return this.#fd < 0 || native().send(this.#fd, nothing, 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0;
  }

  onGone(listener: () => void): void {
    if (this.#fd < 0) return;
    const poll = new (native().Poll)(this.#fd, () => {
      // One that has only closed its own direction still reads; it is not looked at again.
      poll.stop();
      if (this.gone) listener();
    });
    this.#poll?.close();
    this.#poll = poll;
    poll.start(UV_READABLE);
  }

  answer(exitCode: number, stdout: string): void {
    if (this.#fd < 0) return;
    const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(stdout)}\r\nUnderlay-Exit: ${exitCode}\r\nConnection: close\r\n\r\n`;
    const bytes = Buffer.from(head + stdout);
    const sent = native().send(this.#fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent === bytes.length || (sent < 0 && sent !== -constants.errno.EAGAIN)) return;
    const socket = new Socket({ fd: this.#leave(), readable: false, writable: true });
    socket.on("error", () => socket.destroy());
    socket.end(bytes.subarray(Math.max(0, sent)));
  }

  close(): void {
    const fd = this.#leave();
    if (fd >= 0) native().close(fd);
  }

  /** The descriptor, which is not ours any more. */
  #leave(): number {
    this.#poll?.close();
    this.#poll = null;
    const fd = this.#fd;
    this.#fd = -1;
    return fd;
  }
}
