// The binding of native/addon.c: raw system calls and readiness of a file descriptor.
// Every call returns a value >= 0, or -errno. Nothing blocks unless the descriptor itself is blocking.
import { constants } from "node:os";
import { distFile } from "./dist.ts";

/** Watches one descriptor. `status` < 0 means libuv stopped the watcher: call start() again, then read the error. */
export interface Poll {
  start(events: number): number;
  stop(): void;
  close(): void;
  ref(): void;
  unref(): void;
}

export interface Native {
  socket(domain: number, type: number, protocol: number): number;
  close(fd: number): number;
  bind(fd: number, sockaddr: Uint8Array): number;
  connect(fd: number, sockaddr: Uint8Array): number;
  listen(fd: number, backlog: number): number;
  /** accept4 with SOCK_NONBLOCK | SOCK_CLOEXEC; the peer's sockaddr is written into `sockaddr`. */
  accept(fd: number, sockaddr: Uint8Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array): number;
  /** Returns the length of the value. */
  getsockopt(fd: number, level: number, option: number, value: Uint8Array): number;
  getsockname(fd: number, sockaddr: Uint8Array): number;
  send(fd: number, data: Uint8Array, length: number, flags: number): number;
  sendto(fd: number, data: Uint8Array, sockaddr: Uint8Array, flags: number): number;
  /** send(2) on the thread pool, for a request that the kernel takes long over. `data` is copied. Resolves, never rejects. */
  sendAsync(fd: number, data: Uint8Array, length: number, flags: number): Promise<number>;
  recv(fd: number, data: Uint8Array, flags: number): number;
  /** Never blocks. `out` receives three int32 in host order: name length, control length, flags. */
  recvmsg(fd: number, data: Uint8Array, name: Uint8Array, control: Uint8Array, out: Uint8Array): number;
  /** open(2) with O_CLOEXEC. */
  open(path: string, flags: number): number;
  setns(fd: number, type: number): number;
  gettid(): number;
  ifNameToIndex(name: string): number;
  flock(fd: number, operation: number): number;
  setPriority(threadId: number, nice: number): number;
  /** sched_setscheduler(2). */
  setScheduler(threadId: number, policy: number, priority: number): number;
  /** Classic BPF; `instructions` is struct sock_filter[] in host order. */
  attachFilter(fd: number, instructions: Uint8Array): number;
  /** A socket made inside the namespace `nsFd`; the calling thread is back in `selfNsFd` when this returns. */
  socketIn(nsFd: number, selfNsFd: number, domain: number, type: number, protocol: number): number;
  Poll: new (fd: number, callback: (status: number, events: number) => void) => Poll;
}

export const UV_READABLE = 1;
export const UV_WRITABLE = 2;
/** Flags of send() and recv() (linux/socket.h). */
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

let loaded: Native | undefined;

/** Loads the addon on first use. Throws with what to do when it was not built. */
export function native(): Native {
  if (!loaded) {
    const module = { exports: {} as Native };
    process.dlopen(module, distFile("underlay.node"));
    loaded = module.exports;
  }
  return loaded;
}

// Some numbers have two names (EAGAIN, EWOULDBLOCK): the first one in the alphabet is the one manuals use.
const errnoNames = new Map(
  Object.entries(constants.errno)
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .map(([name, value]) => [value as number, name]),
);

/** `ENOENT` for -2 or 2. */
export function errnoName(errno: number): string {
  return errnoNames.get(Math.abs(errno)) ?? `errno ${Math.abs(errno)}`;
}

/** A failed system call, with `code` and `errno` as Node's own errors have them. */
export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  constructor(syscall: string, errno: number, what = "") {
    super(`${syscall}: ${errnoName(errno)}${what ? ` (${what})` : ""}`);
    this.name = "SystemError";
    this.code = errnoName(errno);
    this.errno = Math.abs(errno);
    this.syscall = syscall;
  }
}

/** Passes a result >= 0 through, throws SystemError otherwise. */
export function check(result: number, syscall: string, what = ""): number {
  if (result < 0) throw new SystemError(syscall, result, what);
  return result;
}
