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

/** Steps whose messages are there already, so that sending them takes no time but the kernel's. */
export interface Encoded {
  readonly steps: readonly Step[];
  readonly messages: Uint8Array;
}

/** `socket`: where they are to be sent, or one that shares its buffers; nothing is sent. */
export function encode({ out }: NetlinkSocket, steps: readonly Step[]): Encoded {
  out.reset();
  for (const step of steps) step.encode(out);
  const messages = out.copy();
  out.reset();
  return { steps, messages };
}

/** One that fails does not stop those after it. */
export function sendAll(socket: NetlinkSocket, steps: readonly Step[]): FailedStep[] {
  socket.out.reset();
  for (const step of steps) step.encode(socket.out);
  return flush(socket, steps);
}

/** The same for what is encoded. */
export function sendEncoded(socket: NetlinkSocket, { steps, messages }: Encoded): FailedStep[] {
  socket.out.put(messages);
  return flush(socket, steps);
}

/** Throws the NetlinkError of the first that fails. */
export function sendOrThrow(socket: NetlinkSocket, steps: readonly Step[]): void {
  const [failed] = sendAll(socket, steps);
  if (failed) throw failed.error;
}

function flush(socket: NetlinkSocket, steps: readonly Step[]): FailedStep[] {
  return socket.flush().map(({ index, errno, text }) => {
    const step = steps[index];
    return { step, error: new NetlinkError(step.what, errno, text) };
  });
}
