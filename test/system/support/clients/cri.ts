// The kubelet's side of the Container Runtime Interface (cri-api runtime/v1), as far as pods' networks need it: gRPC over
// HTTP/2 on the runtime's unix socket.
import { type ClientHttp2Session, connect } from "node:http2";
import { createConnection } from "node:net";
import { all, decode, encode, entries, type Message, text } from "./protobuf.ts";

export interface Sandbox {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ports?: readonly { readonly containerPort: number; readonly hostPort: number }[];
  readonly cgroupParent: string;
  /** No network of its own. */
  readonly hostNetwork?: boolean;
}

export interface SandboxStatus {
  readonly ready: boolean;
  /** The first is the primary one. */
  readonly addresses: readonly string[];
}

export class Cri {
  readonly #session: ClientHttp2Session;

  constructor(socket: string) {
    this.#session = connect("http://localhost", { createConnection: () => createConnection(socket) });
    this.#session.on("error", () => undefined);
  }

  /** Its id. Rejects with what the runtime says. */
  async run(sandbox: Sandbox): Promise<string> {
    return text(await this.#call("RunPodSandbox", { 1: configOf(sandbox) }), 1);
  }

  async stop(id: string): Promise<void> {
    await this.#call("StopPodSandbox", { 1: id });
  }

  async remove(id: string): Promise<void> {
    await this.#call("RemovePodSandbox", { 1: id });
  }

  async status(id: string): Promise<SandboxStatus> {
    const answer = await this.#call("PodSandboxStatus", { 1: id });
    const addresses = [...all(answer, 1, 5, 1), ...all(answer, 1, 5, 2, 1)];
    const [status] = decode(answer).get(1) ?? [];
    // SANDBOX_READY is 0, which proto3 leaves out.
    return { ready: !decode(status as Buffer).has(3), addresses };
  }

  /** The ids of all sandboxes. */
  async list(): Promise<string[]> {
    return all(await this.#call("ListPodSandbox", {}), 1, 1);
  }

  /** What the kubelet asks every few seconds. */
  async networkReady(): Promise<string> {
    const conditions = decode(await this.#call("Status", {})).get(1) as Buffer[];
    for (const condition of decode(conditions[0]).get(1) as Buffer[])
      if (text(condition, 1) === "NetworkReady") return decode(condition).has(2) ? "ready" : text(condition, 4);
    throw new Error("the runtime says nothing of its network");
  }

  close(): void {
    this.#session.destroy();
  }

  #call(method: string, message: Message): Promise<Buffer> {
    const body = encode(message);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(body.length, 1);
    const stream = this.#session.request({
      ":method": "POST",
      ":path": `/runtime.v1.RuntimeService/${method}`,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.end(Buffer.concat([head, body]));
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      const trailer = (headers: Record<string, unknown>) => {
        const status = headers["grpc-status"];
        if (status === undefined || status === "0") return;
        reject(new Error(`${method}: ${decodeURIComponent(String(headers["grpc-message"]))}`));
      };
      stream.on("response", trailer).on("trailers", trailer).on("error", reject);
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => resolve(Buffer.concat(chunks).subarray(5)));
    });
  }
}

/** NamespaceMode NODE */
const HOST = 2;

/** PodSandboxConfig */
function configOf(sandbox: Sandbox): Message {
  const { name, namespace = "default", uid = name, annotations, ports, cgroupParent, hostNetwork } = sandbox;
  return {
    1: { 1: name, 2: uid, 3: namespace },
    2: hostNetwork ? "" : name,
    5: ports?.map(({ containerPort, hostPort }) => ({ 2: containerPort, 3: hostPort })),
    7: entries(annotations),
    8: { 1: cgroupParent, ...(hostNetwork ? { 2: { 1: { 1: HOST } } } : {}) },
  };
}
