// sd_notify(3): READY, STATUS, STOPPING and WATCHDOG to the socket that systemd names in NOTIFY_SOCKET, a path or an
// abstract name. Silent when the daemon was not started by systemd.
import { constants } from "node:os";
import type { Clock, Timer } from "../net/clock.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL, native } from "../net/native.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0x80000;
const RETRY_MS = 50;
const WATCHDOG = "WATCHDOG=1";

/**
 * Sends one notification, for example `READY=1\nSTATUS=2 of 2 sessions Established`. Never waits for a supervisor that
 * does not read: what it has to know is sent again later, a sign of life is followed by the next one anyway.
 */
export function notify(state: string): void {
  const path = process.env.NOTIFY_SOCKET;
  if (!path) return;
  const abstract = path.startsWith("@");
  const name = Buffer.from(path);
  const address = Buffer.alloc(2 + name.length + (abstract ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  if (abstract) address[2] = 0;
  const fd = native().socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const sent = native().sendto(fd, Buffer.from(state), address, MSG_NOSIGNAL | MSG_DONTWAIT);
  native().close(fd);
  if (sent === -constants.errno.EAGAIN && state !== WATCHDOG) setTimeout(() => notify(state), RETRY_MS).unref();
}

/** Keeps the watchdog of the unit content, at half its interval, as long as the event loop turns. */
export function startWatchdog(clock: Clock): () => void {
  const interval = Number(process.env.WATCHDOG_USEC) / 2000;
  const forUs = !process.env.WATCHDOG_PID || Number(process.env.WATCHDOG_PID) === process.pid;
  if (!(interval > 0) || !forUs) return () => {};
  let timer: Timer;
  const beat = () => {
    notify(WATCHDOG);
    timer = clock.after(interval, beat);
  };
  beat();
  return () => timer.cancel();
}
