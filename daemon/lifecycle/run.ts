// From start to end. SIGTERM is a restart, SIGINT a shutdown, and a request of the API may ask for one as well; what each
// does is in exit.ts. Who ended by request must not be started again by a supervisor: that has an exit code of its own.
import { HUNG } from "../../routing/fib/client.ts";
import type { Daemon } from "../compose.ts";
import type { Logger } from "../log.ts";
import { notify } from "../systemd.ts";
import type { ExitKind } from "./exit.ts";

/** Milliseconds a clean stop may take before the process ends anyway. */
const STOP_LIMIT = 8_000;
/** Asked to end: RestartPreventExitStatus= of the unit. */
const ON_REQUEST = 3;

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

  const ending = new Promise<{ kind: ExitKind; code: number; signal?: NodeJS.Signals }>((resolve) => {
    process.once("SIGTERM", (signal) => resolve({ kind: "restart", code: 0, signal }));
    process.once("SIGINT", (signal) => resolve({ kind: "shutdown", code: 0, signal }));
    daemon.onExitRequest((kind) => resolve({ kind, code: ON_REQUEST }));
  });
  // Refused or done, the log says so.
  process.on("SIGHUP", () => void daemon.reload().catch(() => undefined));

  await daemon.start();
  notify("READY=1");
  daemon.onSummary((summary) => notify(`STATUS=${summary}`));

  const { kind, code, signal } = await ending;
  log.info(
    signal ? { signal } : {},
    kind === "restart" ? "stopping; the kernel state stays" : "shutting down; neighbours are told",
  );
  notify("STOPPING=1");
  const limit = setTimeout(() => {
    log.error({}, `the stop took more than ${STOP_LIMIT / 1000} s`);
    daemon.crashed(`the stop took more than ${STOP_LIMIT / 1000} s`);
    process.exit(1);
  }, STOP_LIMIT);
  await daemon.stop(kind);
  clearTimeout(limit);
  process.exit(code);
}
