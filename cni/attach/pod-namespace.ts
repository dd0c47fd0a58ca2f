// The way into a pod's namespace: a netlink socket that was made inside.
import { constants, fstatSync } from "node:fs";
import { check, native, SystemError } from "../../net/native.ts";
import { NetlinkSocket, netlinkBuffers } from "../../routing/netlink/socket.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";

/** 128 KiB: made anew for each socket, they would keep the collector busy. */
const buffers = netlinkBuffers();
let own = -1;
/** A FIFO in the place of a namespace would otherwise keep us waiting for a writer. */
const { O_NONBLOCK } = constants;

/** This thread's, which it never leaves for good. */
function ownNamespace(): number {
  if (own < 0) own = check(native().open("/proc/thread-self/ns/net", 0), "open", "/proc/thread-self/ns/net");
  return own;
}

/** An open namespace, and a socket inside. */
export interface PodNamespace {
  readonly fd: number;
  readonly socket: NetlinkSocket;
  close(): void;
}

/**
 * Opens the namespace and checks that it is the one meant: device:inode, or "" for any. Throws code 8. All sockets
 * share their buffers: what one of them is asked is done before the next one is.
 */
export function openNamespace(path: string, expectedId: string): PodNamespace {
  const n = native();
  const fd = n.open(path, O_NONBLOCK);
  if (fd < 0) throw noNamespace(path, `cannot open it (${new SystemError("open", fd).code})`);
  try {
    const { dev, ino } = fstatSync(fd);
    if (expectedId !== "" && `${dev}:${ino}` !== expectedId)
      throw noNamespace(path, "another namespace has taken its place");
    const socket = new NetlinkSocket({ netnsFd: fd, selfNetnsFd: ownNamespace(), buffers });
    const close = () => {
      socket.close();
      check(n.close(fd), "close");
    };
    return { fd, socket, close };
  } catch (error) {
    n.close(fd);
    if (error instanceof SystemError && error.code === "EINVAL") throw noNamespace(path, "it is none");
    throw error;
  }
}

/** The same for the time of some work. */
export function inNamespace<T>(path: string, expectedId: string, work: (fd: number, socket: NetlinkSocket) => T): T {
  const namespace = openNamespace(path, expectedId);
  try {
    return work(namespace.fd, namespace.socket);
  } finally {
    namespace.close();
  }
}

function noNamespace(path: string, why: string): CniError {
  return new CniError(CniErrorCode.invalidNetns, `CNI_NETNS is not a usable network namespace: ${why}`, path);
}
