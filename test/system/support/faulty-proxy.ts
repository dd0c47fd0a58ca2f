// A TCP proxy in front of an etcd member that does what networks do: delays, cuts, half-open connections, and answers
// that are lost, with the request delivered a second time later.
import { connect, createServer, type Server, type Socket } from "node:net";

export interface ProxyFaults {
  /** Milliseconds at most, each way. */
  delay: number;
  /** Chance that the answer to a request is lost, and with it the connection. */
  loseAnswer: number;
  /** Chance that such a request is delivered once more, up to `replayWithin` milliseconds later. */
  replay: number;
  replayWithin: number;
  /** Chance that a request is lost, and with it the connection. */
  loseRequest: number;
  /** Everything is accepted, and nothing passes. */
  halfOpen: boolean;
  /** Connections are refused, and those that there are have been cut. */
  cut: boolean;
}

export class FaultyProxy {
  readonly faults: ProxyFaults = {
    delay: 0,
    loseAnswer: 0,
    replay: 0,
    replayWithin: 3000,
    loseRequest: 0,
    halfOpen: false,
    cut: false,
  };
  readonly counts = { requests: 0, lostRequests: 0, lostAnswers: 0, replays: 0, cuts: 0 };
  readonly #target: number;
  readonly #random: () => number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(target: number, random: () => number) {
    this.#target = target;
    this.#random = random;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(target: number, random: () => number = Math.random): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(target, random);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  cut(): void {
    this.faults.cut = true;
    this.counts.cuts++;
    for (const socket of this.#sockets) socket.destroy();
  }

  heal(): void {
    Object.assign(this.faults, { loseAnswer: 0, replay: 0, loseRequest: 0, halfOpen: false, cut: false });
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #accept(near: Socket): void {
    this.#keep(near);
    if (this.faults.cut) {
      near.destroy();
      return;
    }
    const far = connect(this.#target, "127.0.0.1");
    this.#keep(far);
    let loseNext = false;
    // Bodies are small: what a client writes at once is one request.
    near.on("data", (bytes) => {
      const { halfOpen, loseRequest, loseAnswer, replay, replayWithin } = this.faults;
      if (halfOpen) return;
      this.counts.requests++;
      if (this.#random() < loseRequest) {
        this.counts.lostRequests++;
        near.destroy();
        far.destroy();
        return;
      }
      // A watch is no request to be repeated: it has no end.
      loseNext = !bytes.includes("/v3/watch") && this.#random() < loseAnswer;
      if (loseNext && this.#random() < replay) this.#later(this.#random() * replayWithin, () => this.#replay(bytes));
      this.#later(this.#random() * this.faults.delay, () => far.writable && far.write(bytes));
    });
    far.on("data", (bytes) => {
      if (this.faults.halfOpen) return;
      if (loseNext) {
        this.counts.lostAnswers++;
        near.destroy();
        far.destroy();
        return;
      }
      this.#later(this.#random() * this.faults.delay, () => near.writable && near.write(bytes));
    });
    near.on("close", () => far.destroy());
    far.on("close", () => this.#later(this.faults.delay, () => near.destroy()));
  }

  #replay(bytes: Buffer): void {
    this.counts.replays++;
    const far = connect(this.#target, "127.0.0.1", () => far.write(bytes));
    this.#keep(far);
    this.#later(2000, () => far.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #later(milliseconds: number, work: () => void): void {
    if (milliseconds <= 0) {
      work();
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, milliseconds);
    this.#timers.add(timer);
  }
}
