// Thread entry: all netlink work for pods. Requests in, one answer each; and word of host ends that vanished.
import { randomInt } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { systemClock } from "../../net/clock.ts";
import { WriteLog } from "../../routing/netlink/write-log.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import { findPods } from "./find.ts";
import { Follow } from "./follow.ts";
import { formatMac } from "./gateway.ts";
import { inspect } from "./inspect.ts";
import { LaterLog } from "./later-log.ts";
import { lookAtPod } from "./look.ts";
import type { AttachRequest, DetachRequest, WorkerAnswer, WorkerFailure, WorkerRequest } from "./messages.ts";
import { Remover } from "./remover.ts";
import { HostNameTaken, Wiring } from "./wiring.ts";

/** Answered instead of a CNI code: the caller picks another name (attacher.ts knows it by its sign). */
const HOST_NAME_TAKEN = -1;

const port = parentPort!;
const answer = (message: WorkerAnswer) => port.postMessage(message);

const log = new LaterLog(
  new WriteLog(systemClock, { operations: (operations) => answer({ id: 0, operations }), routes: () => {} }),
);
const wiring = new Wiring(log);
const follow = new Follow({
  renew: (request, hostIndex) => {
    const mac = wiring.renew(request, hostIndex);
    if (mac) answer({ id: 0, moved: request.hostInterface, mac: formatMac(mac) });
    return mac !== null;
  },
  onError: ({ hostInterface }, error) => answer({ id: 0, moved: hostInterface, error: error.message }),
});
if (!follow.hears)
  answer({ id: 0, moved: "of any pod", error: "underlayd may not hear of links in pods: it needs CAP_NET_BROADCAST" });
const remover = new Remover({
  onForgotten: (ifindex) => follow.forget(ifindex),
  onRemoved: (name, error) => log.operation({ operation: "delete", object: "link", name }, error),
  group: unusedGroup(wiring.list().groups),
  exists: (ifindex) => wiring.exists(ifindex),
  onGone: (name) => answer({ id: 0, gone: name }),
});

port.on("message", (message: WorkerRequest) => {
  if (message.kind === "prepare") return prepare(message.request);
  handle(message).then(
    (value) => {
      answer({ id: message.id, value });
      if (message.kind === "stop") port.close();
    },
    (error: unknown) => answer({ id: message.id, failure: failureOf(error) }),
  );
});

function prepare(request: AttachRequest): void {
  const ifindex = wiring.prepare(request);
  // What the kernel says of a link that comes up is said from now on.
  if (ifindex !== null) follow.add(request, ifindex);
}

async function handle(message: Exclude<WorkerRequest, { kind: "prepare" }>): Promise<unknown> {
  switch (message.kind) {
    case "complete": {
      const { request, attached } = wiring.complete(message.hostInterface);
      remover.watch(attached.ifindex, request.hostInterface);
      follow.add(request, attached.ifindex);
      return attached;
    }
    case "detach":
      return detach(message.request);
    case "inspect":
      follow.catchUp();
      return inspect(wiring.socket, message.request);
    case "follow":
      follow.adopt(message.request, message.hostIndex);
      return null;
    case "look":
      return lookAtPod(message.request);
    case "list": {
      const { links } = wiring.list();
      for (const link of links) remover.watch(link.ifindex, link.name);
      return links;
    }
    case "find":
      return findPods(wiring.socket, message.links);
    case "warmUp":
      return wiring.warmUp();
    case "mark":
      return wiring.mark(message.ifindex, message.alias);
    case "stop":
      log.flush();
      follow.close();
      remover.close();
      wiring.close();
      return null;
  }
}

async function detach({ hostInterface, ifindex }: DetachRequest): Promise<null> {
  wiring.abandon(hostInterface);
  const index = ifindex ?? remover.indexOf(hostInterface) ?? wiring.find(hostInterface);
  if (index !== null) await remover.remove(index);
  return null;
}

function unusedGroup(used: ReadonlySet<number>): number {
  for (;;) {
    const group = randomInt(0x40000000, 0x7fffffff);
    if (!used.has(group)) return group;
  }
}

function failureOf(error: unknown): WorkerFailure {
  if (error instanceof CniError) return { code: error.code, message: error.message, details: error.details };
  const message = error instanceof Error ? error.message : String(error);
  return { code: error instanceof HostNameTaken ? HOST_NAME_TAKEN : CniErrorCode.internal, message, details: "" };
}
