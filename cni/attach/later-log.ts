// What was written to the kernel for a pod, put into words and passed on when its caller has the answer: the words take
// as long as the work, and main would read them before it comes to the next step of the same ADD.
import type { MessageFailure } from "../../routing/netlink/error.ts";
import type { OperationContext, OperationFields } from "../../routing/netlink/operation.ts";
import type { WriteLog } from "../../routing/netlink/write-log.ts";

/** Milliseconds. */
const DELAY = 5;

export class LaterLog {
  readonly #log: WriteLog;
  #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(log: WriteLog) {
    this.#log = log;
  }

  /** As WriteLog's; `bytes` is copied. */
  written(bytes: Buffer, failures: readonly MessageFailure[], context: OperationContext): void {
    const at = Date.now();
    const kept = Buffer.from(Uint8Array.from(bytes).buffer);
    this.#later(() => this.#log.written(kept, failures, context, at));
  }

  operation(fields: OperationFields, error?: string, netns?: string): void {
    const at = Date.now();
    this.#later(() => this.#log.operation(fields, error, netns, at));
  }

  /** Passes on everything that is still held. */
  flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#tell();
    this.#log.flush();
  }

  #tell(): void {
    this.#timer = null;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const tell of waiting) tell();
  }

  #later(tell: () => void): void {
    this.#waiting.push(tell);
    this.#timer ??= setTimeout(() => this.#tell(), DELAY);
  }
}
