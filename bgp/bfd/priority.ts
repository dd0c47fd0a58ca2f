// A place before others on the CPU for the calling thread, as far as the process may take it.
import { native } from "../../net/native.ts";

const SCHED_FIFO = 1;
/** Threads and processes that this thread starts are ordinary ones. */
const SCHED_RESET_ON_FORK = 0x40000000;
const FIFO_PRIORITY = 10;
const NICE = -15;

/** `real-time`, `nice -15`, or `normal`: the best that CAP_SYS_NICE and the resource limits allow. */
export function raisePriority(): string {
  const system = native();
  const thread = system.gettid();
  if (system.setScheduler(thread, SCHED_FIFO | SCHED_RESET_ON_FORK, FIFO_PRIORITY) >= 0) return "real-time";
  if (system.setPriority(thread, NICE) >= 0) return `nice ${NICE}`;
  return "normal";
}
