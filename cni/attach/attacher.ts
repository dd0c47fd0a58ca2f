// Main-thread face of the attach worker: promises over messages.
import { Worker } from "node:worker_threads";
import { distFile } from "../../net/dist.ts";
import type { KernelOperation, KernelOperations } from "../../routing/types.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import type {
  Attached,
  AttachRequest,
  DetachRequest,
  FollowRequest,
  FoundPod,
  HostLink,
  InspectRequest,
  LookRequest,
  PodEnd,
  WorkerAnswer,
  WorkerFailure,
  WorkerRequest,
} from "./messages.ts";

export interface AttacherEvents {
  /** A host end left without being asked to. */
  readonly onGone: (hostInterface: string) => void;
  /** The worker ended without being asked to. Every call is refused from then on. */
  readonly onFailure: (error: Error) => void;
  /** The interface of a pod has another MAC and both ends of its cable know it; `error`: they could not be told. */
  readonly onMoved: (hostInterface: string, mac: string | null, error: string | null) => void;
  /** What was written to the kernel. */
  readonly onOperations: (operations: readonly (KernelOperation | KernelOperations)[]) => void;
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

type Unnumbered<T> = T extends { readonly id: 0 } ? never : T extends unknown ? Omit<T, "id"> : never;

/** What the attachments ask of it; another may stand in. */
export type Attaching = Pick<
  Attacher,
  | "running"
  | "start"
  | "attach"
  | "detach"
  | "inspect"
  | "look"
  | "follow"
  | "list"
  | "find"
  | "mark"
  | "warmUp"
  | "stop"
>;

/** The host has an interface of the chosen name that is not ours. */
export class HostNameTakenError extends Error {}

export class Attacher {
  readonly #events: AttacherEvents;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | null = null;
  #nextId = 1;

  constructor(events: AttacherEvents) {
    this.#events = events;
  }

  get running(): boolean {
    return this.#worker !== null;
  }

  start(): void {
    const worker = new Worker(distFile("attach-worker.cjs"), { name: "attach" });
    worker.on("message", (answer: WorkerAnswer) => this.#onAnswer(answer));
    worker.on("error", (error) => this.#ended(worker, `the attach worker failed: ${error.message}`));
    worker.on("exit", (code) => this.#ended(worker, `the attach worker ended (exit code ${code})`));
    this.#worker = worker;
  }

  /**
   * The link is made at once; the pod gets its addresses when `durable` has resolved, because they must be on disk by
   * then. Rejects as that does, and then a detach() has to follow; or with CniError, or HostNameTakenError, nothing
   * being left behind.
   */
  async attach(request: AttachRequest, durable: Promise<unknown>): Promise<Attached> {
    this.#worker?.postMessage({ id: 0, kind: "prepare", request });
    await durable;
    return this.#call({ kind: "complete", hostInterface: request.hostInterface });
  }

  /** Resolves when the veth is gone for every lookup; also when there was none. */
  detach(request: DetachRequest): Promise<null> {
    return this.#call({ kind: "detach", request });
  }

  /** What is missing, in words. */
  inspect(request: InspectRequest): Promise<string[]> {
    return this.#call({ kind: "inspect", request });
  }

  /** How the pod's end is; null when its namespace is gone. */
  look(request: LookRequest): Promise<PodEnd | null> {
    return this.#call({ kind: "look", request });
  }

  /** Follows the MAC of a pod from before, whose host end is this one; attach() does so by itself. */
  follow(request: FollowRequest, hostIndex: number): Promise<null> {
    return this.#call({ kind: "follow", request, hostIndex });
  }

  /** Host ends in the kernel; they are watched from now on. */
  list(): Promise<HostLink[]> {
    return this.#call({ kind: "list" });
  }

  /** The pods that host ends lead to, as far as their namespaces can be found. */
  find(links: readonly HostLink[]): Promise<FoundPod[]> {
    return this.#call({ kind: "find", links });
  }

  /** Sets the alias of a host end. */
  mark(ifindex: number, alias: string): Promise<null> {
    return this.#call({ kind: "mark", ifindex, alias });
  }

  /** Has the code compiled that attaches; resolves when that is done. */
  warmUp(): Promise<null> {
    return this.#call({ kind: "warmUp" });
  }

  async stop(): Promise<void> {
    const worker = this.#worker;
    if (!worker) return;
    const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    const stopped = this.#call({ kind: "stop" });
    this.#worker = null;
    await stopped;
    await ended;
  }

  #call<T>(request: Unnumbered<WorkerRequest>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (!this.#worker) return reject(new CniError(CniErrorCode.tryAgainLater, "the attach worker is not running"));
      const id = this.#nextId++;
      this.#pending.set(id, { resolve: resolve as Pending["resolve"], reject });
      this.#worker.postMessage({ ...request, id });
    });
  }

  #onAnswer(answer: WorkerAnswer): void {
    if ("gone" in answer) {
      this.#events.onGone(answer.gone);
      return;
    }
    if ("moved" in answer) {
      this.#events.onMoved(answer.moved, answer.error === undefined ? answer.mac : null, answer.error ?? null);
      return;
    }
    if ("operations" in answer) {
      this.#events.onOperations(answer.operations);
      return;
    }
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if ("failure" in answer) pending?.reject(errorOf(answer.failure));
    else pending?.resolve(answer.value as never);
  }

  /** The worker is gone: whoever waits is told, and later calls are refused. */
  #ended(worker: Worker, message: string): void {
    for (const { reject } of this.#pending.values()) reject(new CniError(CniErrorCode.internal, message));
    this.#pending.clear();
    if (this.#worker !== worker) return; // asked to stop, or told already
    this.#worker = null;
    this.#events.onFailure(new Error(message));
  }
}

function errorOf(failure: WorkerFailure): Error {
  if (failure.code < 0) return new HostNameTakenError(failure.message);
  return new CniError(failure.code, failure.message, failure.details);
}
