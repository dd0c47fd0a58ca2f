// A listening unix socket of our own, because Node's does not tell who connects: SO_PEERCRED gives the caller's process
// id, by which the CNI server finds the caller's network namespace. Accepted connections come out as net.Socket.
import { lstatSync, unlinkSync } from "node:fs";
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Log } from "../../net/log.ts";
import { check, errnoName, native, type Poll, SystemError, UV_READABLE } from "../../net/native.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const BACKLOG = 512;
/** Connections taken per turn of the event loop. */
const ACCEPTS_PER_TURN = 32;
/** Pause, in milliseconds, when there is no descriptor for another connection. */
const ACCEPT_PAUSE = 100;

export interface UnixListenerOptions {
  readonly path: string;
  /** A process whose connections are closed at once. */
  readonly refuses?: (pid: number) => boolean;
  readonly log: Log;
  /** Asked first, with the bare descriptor: true when it is taken; it is then closed there, or comes back to adopt(). */
  readonly take?: (fd: number, pid: number | null) => boolean;
  /** `pid` is null when the caller is in a process namespace that we do not see. */
  readonly onConnection: (socket: Socket, pid: number | null) => void;
}

export class UnixListener {
  readonly #options: UnixListenerOptions;
  #fd = -1;
  #poll: Poll | null = null;
  #inode = 0;
  #pause: NodeJS.Timeout | null = null;

  constructor(options: UnixListenerOptions) {
    this.#options = options;
  }

  /** Throws with what is in the way: a daemon that answers there, a file that is no socket, a missing directory. */
  open(): void {
    const { path } = this.#options;
    const sys = native();
    removeStale(path);
    const fd = check(sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    // Nobody may connect between bind and chmod, so the mode is right from the start.
    const umask = process.umask(0o177);
    try {
      check(sys.bind(fd, sockaddr(path)), "bind", path);
    } catch (error) {
      sys.close(fd);
      throw error;
    } finally {
      process.umask(umask);
    }
    this.#fd = fd;
    this.#inode = lstatSync(path).ino;
    try {
      check(sys.listen(fd, BACKLOG), "listen", path);
      this.#poll = new sys.Poll(fd, () => this.#accept());
      check(this.#poll.start(UV_READABLE), "poll", path);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** No new connections; the socket's file goes, unless somebody else has put theirs there. */
  close(): void {
    if (this.#pause) clearTimeout(this.#pause);
    this.#pause = null;
    this.#poll?.close();
    this.#poll = null;
    if (this.#fd < 0) return;
    try {
      if (lstatSync(this.#options.path).ino === this.#inode) unlinkSync(this.#options.path);
    } catch {
      // It is gone already.
    }
    native().close(this.#fd);
    this.#fd = -1;
  }

  #accept(): void {
    const sys = native();
    const from = new Uint8Array(110);
    for (let taken = 0; taken < ACCEPTS_PER_TURN; taken++) {
      const fd = sys.accept(this.#fd, from);
      if (fd >= 0) {
        this.#connected(fd);
        if (this.#fd < 0) return;
        continue;
      }
      const error = errnoName(fd);
      if (error === "ECONNABORTED" || error === "EINTR") continue;
      if (error === "EAGAIN") return;
      // Out of descriptors or memory: the connection stays in the backlog; trying at once again would spin.
      this.#options.log.warn({ error }, "cannot accept connections on the API socket, trying again");
      this.#poll?.stop();
      this.#pause = setTimeout(() => this.#poll?.start(UV_READABLE), ACCEPT_PAUSE);
      return;
    }
  }

  #connected(fd: number): void {
    const credentials = new Uint8Array(12);
    const result = native().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials);
    const id = result === 12 ? new DataView(credentials.buffer).getInt32(0, LITTLE_ENDIAN) : 0;
    const pid = id > 0 ? id : null;
    if (pid !== null && this.#options.refuses?.(pid)) {
      native().close(fd);
      return;
    }
    if (!this.#options.take?.(fd, pid)) this.adopt(fd, pid);
  }

  /** Makes a connected descriptor a connection. */
  adopt(fd: number, pid: number | null): void {
    let socket: Socket;
    try {
      socket = new Socket({ fd, allowHalfOpen: true, readable: true, writable: true });
    } catch (error) {
      native().close(fd);
      this.#options.log.warn({ error: (error as Error).message }, "cannot serve a connection on the API socket");
      return;
    }
    this.#options.onConnection(socket, pid);
  }
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** struct sockaddr_un with the path's closing zero byte. */
function sockaddr(path: string): Uint8Array {
  const bytes = Buffer.from(path);
  const address = new Uint8Array(2 + bytes.length + 1);
  new DataView(address.buffer).setUint16(0, AF_UNIX, LITTLE_ENDIAN);
  address.set(bytes, 2);
  return address;
}

/** A socket file that nobody listens on is left over from a daemon that was killed; one that answers is in use. */
function removeStale(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return;
  if (!stat.isSocket()) throw new Error(`${path} is there and is not a socket: remove it, or set another api.socket`);
  const sys = native();
  const fd = check(sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  const result = sys.connect(fd, sockaddr(path));
  sys.close(fd);
  if (result === -constants.errno.ECONNREFUSED) unlinkSync(path);
  else if (result === 0 || result === -constants.errno.EAGAIN)
    throw new Error(`another daemon answers on ${path}: stop it, or give this one its own api.socket or paths.run`);
  else if (result !== -constants.errno.ENOENT) throw new SystemError("connect", result, path);
}
