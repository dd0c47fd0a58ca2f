// POST /v1/cni: what the CNI client executable sends on behalf of a container runtime.
//
//   KEY=VALUE\0 for every CNI_* variable, one more \0, then stdin's bytes to the end
//
// The answer is 200 with the exit code in `Underlay-Exit` and stdout's bytes as body. A caller that vanishes does not
// stop the work, it only ends the wait for a pod that is attached and not reachable yet: the runtime will ask again, or
// send DEL.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Caller } from "../../cni/readiness.ts";
import type { CniRequest } from "../../cni/types.ts";
import { BodyReader } from "./body.ts";
import { type ApiBackend, ApiError } from "./types.ts";

export const CNI_MEDIA_TYPE = "application/vnd.underlay.cni";
/** The client takes 1 MiB of configuration; the rest is for variables. Parsing it is the work of one turn of the loop. */
const MAX_BODY = 2 << 20;
/** All bodies that are being received at once. */
const MAX_ALL = 64 << 20;
const MAX_VARIABLES = 64;

const text = new TextDecoder();

export class CniCalls {
  readonly #backend: ApiBackend;
  readonly #bodies: BodyReader;

  /** `timeout`: milliseconds a client has to send its request. */
  constructor(backend: ApiBackend, timeout: number) {
    this.#backend = backend;
    this.#bodies = new BodyReader({ one: MAX_BODY, all: MAX_ALL, timeout });
  }

  async handle(request: IncomingMessage, response: ServerResponse, pid: number | null): Promise<void> {
    if (request.headers["content-type"] !== CNI_MEDIA_TYPE)
      throw new ApiError(415, `Content-Type must be ${CNI_MEDIA_TYPE}`);
    const body = await this.#bodies.read(request);
    if (!body) return;
    const answer = await this.#backend.cni({ ...parseCniBody(body, pid), caller: callerOf(response) });
    if (response.destroyed) return;
    const bytes = Buffer.from(answer.stdout);
    response.writeHead(200, {
      "Content-Type": "application/json",
      "Content-Length": bytes.length,
      "Underlay-Exit": String(answer.exitCode),
    });
    response.end(bytes);
  }
}

/** The connection closes before the answer has been given: there is nobody to give it to. */
function callerOf(response: ServerResponse): Caller {
  return {
    get gone() {
      return response.destroyed;
    },
    onGone: (listener) => void response.once("close", listener),
  };
}

/** Throws ApiError 400. */
export function parseCniBody(body: Uint8Array, pid: number | null): CniRequest {
  const env: Record<string, string> = {};
  let at = 0;
  for (let count = 0; ; count++) {
    const end = body.indexOf(0, at);
    if (end < 0) throw new ApiError(400, "the variables do not end with an empty one");
    if (end === at) return { env, stdin: body.subarray(at + 1), pid };
    if (count === MAX_VARIABLES) throw new ApiError(400, `more than ${MAX_VARIABLES} variables`);
    const entry = text.decode(body.subarray(at, end));
    const equals = entry.indexOf("=");
    if (equals < 1) throw new ApiError(400, `not KEY=VALUE: ${JSON.stringify(entry.slice(0, 40))}`);
    Object.defineProperty(env, entry.slice(0, equals), {
      value: entry.slice(equals + 1),
      enumerable: true,
      writable: true,
      configurable: true,
    });
    at = end + 1;
  }
}
