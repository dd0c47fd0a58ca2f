// The bfd worker as the main thread sees it. In: peers to watch. Out: changes of their state, and their status, which is
// read from shared memory. The thread starts with the first peer.
import { Worker } from "node:worker_threads";
import { sameBytes } from "../../net/address.ts";
import { distFile } from "../../net/dist.ts";
import { type Log, silentLog } from "../../net/log.ts";
import type { FromWorker, ToWorker, WorkerOptions } from "./protocol.ts";
import { createStatusWords, readStatus, type StatusWords } from "./status-words.ts";
import type { BfdChange, BfdPeer, BfdStatus } from "./types.ts";

export interface BfdClientDependencies {
  readonly log?: Log;
  /** Path of the network namespace to work in, such as /run/netns/blue; absent: the process's own. */
  readonly netns?: string;
}

interface Watched {
  readonly peer: BfdPeer;
  readonly words: StatusWords;
  /** Milliseconds; when the last change to Up was heard of. */
  upAt: number;
}

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
}

type Request = Exclude<ToWorker, { kind: "taken" }>;

export class BfdClient {
  readonly #log: Log;
  readonly #netns: string | null;
  readonly #peers = new Map<string, Watched>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners: ((change: BfdChange) => void)[] = [];
  readonly #failureListeners: ((error: Error) => void)[] = [];
  #worker: Worker | null = null;
  #nextRequest = 1;
  #ended: Error | null = null;

  constructor({ log = silentLog, netns }: BfdClientDependencies = {}) {
    this.#log = log;
    this.#netns = netns ?? null;
  }

  /**
   * Watches a neighbour; one that is watched already gets the new options, without its session going down when only its
   * timing is new. Rejects when the port is taken.
   */
  async add(peer: BfdPeer): Promise<void> {
    const before = this.#peers.get(peer.name);
    if (before && !samePath(before.peer, peer)) await this.remove(peer.name);
    const { words, upAt } = this.#peers.get(peer.name) ?? { words: createStatusWords(), upAt: performance.now() };
    this.#peers.set(peer.name, { peer, words, upAt });
    try {
      await this.#request((id) => ({ kind: "add", id, peer, words }));
    } catch (error) {
      this.#peers.delete(peer.name);
      throw error;
    }
  }

  /** Tells the neighbour that the session is administratively down, and forgets it. */
  async remove(name: string): Promise<void> {
    if (this.#peers.delete(name)) await this.#request((id) => ({ kind: "remove", id, peer: name }));
  }

  onState(listener: (change: BfdChange) => void): void {
    this.#listeners.push(listener);
  }

  /** The worker has ended by itself: no neighbour is watched any more. */
  onFailure(listener: (error: Error) => void): void {
    this.#failureListeners.push(listener);
  }

  /** Null for a peer that is not watched. */
  statusOf(name: string): BfdStatus | null {
    const watched = this.#peers.get(name);
    if (!watched) return null;
    const status = readStatus(watched.words, watched.peer.multiplier);
    const uptime = status.state === "Up" ? Math.floor((performance.now() - watched.upAt) / 1000) : null;
    return { ...status, uptime };
  }

  status(): (BfdStatus & { readonly name: string })[] {
    return [...this.#peers.keys()].flatMap((name) => {
      const status = this.statusOf(name);
      return status ? [{ name, ...status }] : [];
    });
  }

  /** Every neighbour is told AdminDown first. */
  async stop(): Promise<void> {
    const worker = this.#worker;
    if (!worker || this.#ended) return;
    try {
      await this.#request((id) => ({ kind: "stop", id }));
    } finally {
      this.#ended ??= new Error("BFD has been stopped");
      await worker.terminate();
    }
  }

  #request(build: (id: number) => Request): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      const id = this.#nextRequest++;
      this.#waiting.set(id, { resolve, reject });
      this.#post(build(id));
    });
  }

  #post(message: ToWorker): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(message);
  }

  #start(): Worker {
    const workerData: WorkerOptions = { netns: this.#netns };
    const worker = new Worker(distFile("bfd-worker.cjs"), { workerData, name: "bfd" });
    worker.on("message", (message: FromWorker) => this.#receive(message));
    worker.on("error", (error) => this.#end(new Error(`the bfd worker failed: ${error.message}`, { cause: error })));
    worker.on("exit", (code) => this.#end(new Error(`the bfd worker ended (exit code ${code})`)));
    return worker;
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case "started":
        this.#log.info({ scheduling: message.scheduling }, "bfd worker started");
        return;
      case "done": {
        const waiting = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.error === null) waiting?.resolve();
        else waiting?.reject(new Error(message.error));
        return;
      }
      case "strangers": {
        const { address, packets } = message;
        this.#log.warn({ address, packets }, "BFD packets from an address that is no peer with bfd: discarded");
        return;
      }
      case "change": {
        const { change } = message;
        const watched = this.#peers.get(change.peer);
        if (watched && change.to === "Up") watched.upAt = performance.now();
        this.#log[change.failed ? "warn" : "info"]({ ...change }, "bfd session");
        for (const listener of this.#listeners) listener(change);
        if (!this.#ended) this.#post({ kind: "taken", peer: change.peer });
        return;
      }
    }
  }

  #end(error: Error): void {
    const expected = this.#ended !== null;
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
    if (expected) return;
    for (const listener of this.#failureListeners) listener(error);
  }
}

/** Both lead to the same session: everything but the timing is equal. */
function samePath(a: BfdPeer, b: BfdPeer): boolean {
  const same = (x: Uint8Array | null, y: Uint8Array | null) => (x && y ? sameBytes(x, y) : x === y);
  const { address, interface: device, localAddress, multihop } = b;
  return (
    same(a.address, address) && a.interface === device && same(a.localAddress, localAddress) && a.multihop === multihop
  );
}
