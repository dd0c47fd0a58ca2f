// Several messages with one system call, each with the words for its failure.
import { NetlinkError } from "../../routing/netlink/error.ts";
import type { MessageWriter } from "../../routing/netlink/message.ts";
import type { NetlinkSocket } from "../../routing/netlink/socket.ts";

export interface Step {
  /** What it is for, in the infinitive. */
  readonly what: string;
  /** Writes one message. */
  readonly encode: (out: MessageWriter) => void;
  /** To be done instead where there is something like it already (EEXIST). */
  readonly otherwise?: Step;
}

export interface FailedStep {
  readonly step: Step;
  readonly error: NetlinkError;
}

/** One that fails does not stop those after it. */
export function sendAll(socket: NetlinkSocket, steps: readonly Step[]): FailedStep[] {
  socket.out.reset();
  for (const { encode } of steps) encode(socket.out);
  return socket.flush().map(({ index, errno, text }) => {
    const step = steps[index];
    return { step, error: new NetlinkError(step.what, errno, text) };
  });
}

/** Throws the NetlinkError of the first that fails. */
export function sendOrThrow(socket: NetlinkSocket, steps: readonly Step[]): void {
  const [failed] = sendAll(socket, steps);
  if (failed) throw failed.error;
}
