// Puts a thread into another network namespace: sockets that it opens from then on are of that one.
import { check, native } from "./native.ts";

/** <linux/sched.h> */
export const CLONE_NEWNET = 0x40000000;

/** For the rest of the calling thread's life. `path`: as /proc/PID/ns/net. Throws SystemError. */
export function enterNamespace(path: string): void {
  const fd = check(native().open(path, 0), "open", path);
  try {
    check(native().setns(fd, CLONE_NEWNET), "setns", path);
  } finally {
    native().close(fd);
  }
}
