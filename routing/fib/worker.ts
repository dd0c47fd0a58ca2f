// Entry of the fib worker thread (dist/fib-worker.cjs): commands from client.ts to the engine, answers and events back.
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../net/clock.ts";
import { enterNamespace } from "../../net/network-namespace.ts";
import { FibEngine } from "./engine.ts";
import type { FromWorker, RequestName, Requests, ToWorker, WorkerOptions } from "./protocol.ts";

function run(port: NonNullable<typeof parentPort>, options: WorkerOptions): void {
  const post = (message: FromWorker) => port.postMessage(message);
  let engine: FibEngine | null = null;

  /** Made with the first command, so that a failure to open sockets is the answer to it. */
  const current = (): FibEngine => {
    if (engine) return engine;
    if (options.netns !== null) enterNamespace(options.netns);
    engine = new FibEngine(options, {
      clock: systemClock,
      event: (event) => post({ kind: "event", event }),
      operations: (operations) => post({ kind: "operations", operations }),
      routeOperations: (routes) => post({ kind: "routeOperations", routes }),
      links: (changes) => post({ kind: "links", changes }),
      forwarding: (state) => post({ kind: "forwarding", state }),
      refusedBlocks: (refused) => post({ kind: "refusedBlocks", refused }),
    });
    return engine;
  };

  const handlers: { [Name in RequestName]: (argument: Requests[Name]["argument"]) => unknown } = {
    start: () => current().start(),
    ping: () => null,
    formerBlocks: () => current().formerBlocks(),
    setOwned: (owned) => current().setOwned(owned),
    addPodRoutes: (routes) => current().addPodRoutes(routes),
    removePodRoutes: (routes) => current().removePodRoutes(routes),
    isolate: (request) => current().isolate(request),
    allowSources: (sources) => current().allowSources(sources),
    flush: () => current().flush(),
    warmUp: () => current().warmUp(),
    sweepStale: () => current().sweepStale(),
    status: () => current().status(),
    rules: () => current().rules(),
    routes: (table) => current().routes(table),
    installation: (question) => current().installation(question),
    explain: (flow) => current().explain(flow),
    survey: (request) => current().survey(request),
    stop: (mode) => engine?.stop(mode) ?? [],
  };

  const answer = async (id: number, name: RequestName, argument: unknown): Promise<void> => {
    try {
      const value = await handlers[name](argument as never);
      post({ kind: "result", id, value: value ?? null });
    } catch (error) {
      const { message, code } = error as Error & { code?: string };
      post({ kind: "failure", id, message, code: code ?? null });
    }
  };

  port.on("message", (message: ToWorker) => {
    if (message.kind === "request") {
      void answer(message.id, message.name, message.argument);
      return;
    }
    try {
      if (message.kind === "apply") {
        current().apply(message.batch);
        post({ kind: "absorbed", count: message.batch.count });
      } else if (message.kind === "keepPodRoutes") current().keepPodRoutes(message.routes);
      else if (message.kind === "dropPodRoutes") current().dropPodRoutes(message.routes);
      else if (message.kind === "setDetail") current().setDetail(message.detailed);
      else if (message.kind === "setNextHopSet") current().setNextHopSet(message.set, message.members);
      else current().removeNextHopSet(message.set);
    } catch (error) {
      post({ kind: "event", event: { kind: "error", message: (error as Error).message } });
    }
  });
}

if (parentPort) run(parentPort, workerData as WorkerOptions);
