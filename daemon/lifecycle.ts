// From start to stop. SIGTERM is a restart: the kernel keeps routes, rules and pods, and BGP sessions end without a
// NOTIFICATION, so that neighbours with graceful restart go on forwarding. SIGINT is a shutdown: neighbours are told
// (Cease/2) and withdraw at once; the kernel still keeps everything, so pods on this node go on reaching each other.
import { HUNG } from "../routing/fib/client.ts";
import type { Daemon } from "./compose.ts";
import type { Logger } from "./log.ts";
import { notify } from "./systemd.ts";

/** Milliseconds a clean stop may take before the process ends anyway. */
const STOP_LIMIT = 8_000;

export async function runUntilSignal(daemon: Daemon, log: Logger): Promise<void> {
  // An unforeseen exception leaves unknown state behind. The kernel keeps forwarding, and a supervisor starts a new
  // process that adopts it: that is safer than going on.
  const crash = (error: unknown) => {
    log.error({ err: error }, "unexpected exception: stopping, the kernel state stays");
    daemon.crashed(`unexpected exception: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
    process.exit(1);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);

  daemon.onFailure((error) => {
    log.error({}, `${error.message}: stopping, the kernel state stays; the supervisor has to start underlayd again`);
    daemon.crashed(error.message);
    // exit() waits for the threads, and one that hangs in a system call would never end.
    if ((error as NodeJS.ErrnoException).code === HUNG) process.kill(process.pid, "SIGKILL");
    process.exit(1);
  });

  const signal = new Promise<NodeJS.Signals>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  // Refused or done, the log says so.
  process.on("SIGHUP", () => void daemon.reload().catch(() => undefined));

  await daemon.start();
  notify("READY=1");
  daemon.onSummary((summary) => notify(`STATUS=${summary}`));

  const received = await signal;
  const mode = received === "SIGINT" ? "shutdown" : "restart";
  log.info(
    { signal: received },
    mode === "restart" ? "stopping; the kernel state stays" : "shutting down; telling the neighbours",
  );
  notify("STOPPING=1");
  const limit = setTimeout(() => {
    log.error({}, `the stop took more than ${STOP_LIMIT / 1000} s`);
    daemon.crashed(`the stop took more than ${STOP_LIMIT / 1000} s`);
    process.exit(1);
  }, STOP_LIMIT);
  await daemon.stop(mode);
  clearTimeout(limit);
  process.exit(0);
}
