// One HTTP request to one member of the etcd cluster, over TLS or not. In: a path and a body. Out: the answer's JSON, or an
// EtcdError that says whether the request may have been executed. Nothing is tried twice here (client.ts does).
//
// node:https is loaded when an endpoint has that scheme. Certificates are asked for when a connection pool is made, and
// that is again after each failure: new ones are used without a restart.
import * as http from "node:http";
import type { Clock } from "../../../net/clock.ts";
import { EtcdError, fromAnswer, fromSystem } from "./error.ts";
import type { Json } from "./gateway.ts";
import { certificateFault } from "./own-certificate.ts";

/** PEM; null: the system's own authorities, or no client certificate. */
export interface TlsMaterial {
  readonly ca: Uint8Array | null;
  readonly cert: Uint8Array | null;
  readonly key: Uint8Array | null;
}

/** An answer beyond this is none of ours: pages are limited. */
const LARGEST_ANSWER = 32 * 1024 * 1024;
const KEEP_ALIVE_MS = 15_000;

export interface StreamHandlers {
  onLine(line: string): void;
  /** Once; after that nothing comes. */
  onEnd(error: EtcdError): void;
}

export class Member {
  readonly url: URL;
  readonly #tls: () => TlsMaterial;
  readonly #clock: Clock;
  #agent: Promise<http.Agent> | null = null;
  /** Our own, of the connections that there are. */
  #certificate: Uint8Array | null = null;
  readonly #open = new Set<http.ClientRequest>();
  #closed = false;

  constructor(url: string, tls: () => TlsMaterial, clock: Clock) {
    this.url = new URL(url);
    this.#tls = tls;
    this.#clock = clock;
  }

  get name(): string {
    return this.url.host;
  }

  /** Milliseconds. Rejects with EtcdError. */
  async post(path: string, body: string, token: string | null, timeout: number): Promise<Json> {
    const agent = await this.#pool();
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const fail = (error: EtcdError) => {
        timer.cancel();
        this.#open.delete(request);
        request.destroy();
        reject(error);
      };
      const request = this.#request(path, body, token, agent, (response) => {
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > LARGEST_ANSWER)
            fail(new EtcdError("protocol", `etcd at ${this.name}: an answer beyond 32 MiB`, true));
          else chunks.push(chunk);
        });
        response.on("error", (error) => this.#broken(fail, error));
        response.on("aborted", () => this.#broken(fail, Object.assign(new Error("cut"), { code: "ECONNRESET" })));
        response.on("end", () => {
          timer.cancel();
          this.#open.delete(request);
          try {
            resolve(this.#answer(response.statusCode ?? 0, Buffer.concat(chunks).toString()));
          } catch (error) {
            reject(error);
          }
        });
      });
      const timer = this.#clock.after(timeout, () => {
        this.#dropPool();
        fail(new EtcdError("unavailable", `etcd at ${this.name} has not answered for ${timeout / 1000} s`, true));
      });
      request.on("error", (error) => this.#broken(fail, error));
    });
  }

  /** An answer that goes on, line by line. Returns what ends it, without onEnd. */
  stream(path: string, body: string, token: string | null, handlers: StreamHandlers): () => void {
    let request: http.ClientRequest | null = null;
    let ended = false;
    const end = (error: EtcdError | null) => {
      if (ended) return;
      ended = true;
      if (request) this.#open.delete(request);
      request?.destroy();
      if (error) handlers.onEnd(error);
    };
    this.#pool()
      .then((agent) => {
        if (ended) return;
        request = this.#request(path, body, token, agent, (response) => {
          let rest = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => {
            const lines = (rest + chunk).split("\n");
            rest = lines.pop()!;
            if (rest.length > LARGEST_ANSWER) {
              end(new EtcdError("protocol", `etcd at ${this.name}: a line beyond 32 MiB`));
              return;
            }
            for (const line of lines) if (!ended && line !== "") handlers.onLine(line);
          });
          response.on("error", (error) => this.#broken(end, error));
          response.on("end", () => {
            if (rest !== "" && !ended) handlers.onLine(rest);
            end(new EtcdError("unavailable", `etcd at ${this.name} has ended the watch`));
          });
        });
        request.on("error", (error) => this.#broken(end, error));
      })
      .catch((error) => {
        if (!ended) handlers.onEnd(error);
        ended = true;
      });
    return () => end(null);
  }

  close(): void {
    this.#closed = true;
    for (const request of this.#open) request.destroy(new Error("closed"));
    this.#dropPool();
  }

  #request(
    path: string,
    body: string,
    token: string | null,
    agent: http.Agent,
    onResponse: (response: http.IncomingMessage) => void,
  ): http.ClientRequest {
    const headers: http.OutgoingHttpHeaders = { "content-type": "application/json" };
    if (token !== null) headers.authorization = token;
    // The agent decides about TLS: it is an https one where the scheme is.
    const request = http.request(new URL(path, this.url), { method: "POST", agent, headers, ...agentProtocol(agent) });
    request.on("response", onResponse);
    request.on("socket", (socket) => socket.setKeepAlive(true, KEEP_ALIVE_MS));
    this.#open.add(request);
    request.end(body);
    return request;
  }

  #answer(status: number, text: string): Json {
    let json: Json;
    try {
      json = JSON.parse(text);
    } catch {
      if (text.includes("CommonName"))
        throw new EtcdError(
          "authentication",
          `etcd at ${this.name}: with users enabled, its gateway refuses a client certificate that has a common name (CN): use one without, such as /O=underlay`,
        );
      const kind = status === 404 ? "protocol" : "unavailable";
      throw new EtcdError(
        kind,
        `etcd at ${this.name} answers with HTTP ${status} and no JSON: is this etcd's client port, with its gRPC gateway enabled?`,
        true,
      );
    }
    if (status === 200 && json.error === undefined) return json;
    throw fromAnswer(this.name, Number(json.code ?? 2), String(json.message ?? json.error ?? `HTTP ${status}`));
  }

  #broken(tell: (error: EtcdError) => void, error: NodeJS.ErrnoException): void {
    this.#dropPool();
    tell(
      this.#closed
        ? new EtcdError("closed", "the etcd client has been closed", true)
        : fromSystem(this.name, error, !NOT_SENT.has(error.code ?? ""), () =>
            certificateFault(this.#certificate, Date.now()),
          ),
    );
  }

  #dropPool(): void {
    this.#agent?.then(
      (agent) => agent.destroy(),
      () => {},
    );
    this.#agent = null;
  }

  #pool(): Promise<http.Agent> {
    if (this.#closed) return Promise.reject(new EtcdError("closed", "the etcd client has been closed"));
    this.#agent ??= this.#makePool().catch((error) => {
      this.#agent = null;
      throw error;
    });
    return this.#agent;
  }

  async #makePool(): Promise<http.Agent> {
    const options = { keepAlive: true, maxSockets: 8 };
    if (this.url.protocol === "http:") return new http.Agent(options);
    const { Agent } = await import("node:https");
    const { ca, cert, key } = this.#tls();
    this.#certificate = cert;
    const pem = (part: Uint8Array | null) => (part === null ? undefined : Buffer.from(part));
    return new Agent({ ...options, ca: pem(ca), cert: pem(cert), key: pem(key) });
  }
}

/** Failures before anything has been sent. */
const NOT_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

function agentProtocol(agent: http.Agent): { readonly protocol: string } {
  return { protocol: (agent as http.Agent & { readonly protocol: string }).protocol };
}
