// Entry of the bfd worker thread (dist/bfd-worker.cjs): peers from client.ts to the engine, changes of state back.
import { randomInt } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../net/clock.ts";
import { enterNamespace } from "../../net/network-namespace.ts";
import { ChangeQueue } from "./change-queue.ts";
import { BfdEngine } from "./engine.ts";
import { raisePriority } from "./priority.ts";
import type { FromWorker, ToWorker, WorkerOptions } from "./protocol.ts";
import { BfdSockets } from "./sockets.ts";
import { Strangers } from "./strangers.ts";

function run(port: NonNullable<typeof parentPort>, options: WorkerOptions): void {
  const post = (message: FromWorker) => port.postMessage(message);
  if (options.netns !== null) enterNamespace(options.netns);
  post({ kind: "started", scheduling: raisePriority() });

  const changes = new ChangeQueue((change) => post({ kind: "change", change }));
  const strangers = new Strangers(systemClock, (address, packets) => post({ kind: "strangers", address, packets }));
  const sockets: BfdSockets = new BfdSockets((datagram) => engine.receive(datagram));
  const engine = new BfdEngine({
    clock: systemClock,
    random: Math.random,
    discriminator: () => randomInt(1, 2 ** 32),
    open: (peer) => sockets.open(peer),
    stateChanged: (peer, change) => changes.push({ peer, ...change }),
    stranger: (source) => strangers.seen(source),
    catchUp: () => sockets.catchUp(),
  });

  const answer = async (id: number, work: () => void | Promise<void>): Promise<void> => {
    try {
      await work();
      post({ kind: "done", id, error: null });
    } catch (error) {
      post({ kind: "done", id, error: (error as Error).message });
    }
  };

  port.on("message", (message: ToWorker) => {
    switch (message.kind) {
      case "add":
        void answer(message.id, () => engine.add(message.peer, message.words));
        return;
      case "remove":
        void answer(message.id, () => engine.remove(message.peer));
        return;
      case "stop":
        void answer(message.id, async () => {
          await engine.stop();
          sockets.close();
        });
        return;
      case "taken":
        changes.taken(message.peer);
    }
  });
}

if (parentPort) run(parentPort, workerData as WorkerOptions);
