// The body of a request, up to a limit and within a time. What several requests send at once is limited too.
import type { IncomingMessage } from "node:http";
import { ApiError } from "./types.ts";

export interface BodyLimits {
  /** Bytes of one body. */
  readonly one: number;
  /** Bytes of all bodies that are being received at once. */
  readonly all: number;
  /** Milliseconds that a client has to send it. */
  readonly timeout: number;
}

export class BodyReader {
  readonly #limits: BodyLimits;
  #receiving = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** Null when the client went away, or took too long. Throws ApiError 413 or 503. */
  async read(request: IncomingMessage): Promise<Uint8Array | null> {
    const { one, all, timeout } = this.#limits;
    const tooLarge = () => new ApiError(413, `the request is larger than ${one >> 20} MiB`);
    if (Number(request.headers["content-length"] ?? 0) > one) throw tooLarge();
    const chunks: Uint8Array[] = [];
    let length = 0;
    const timer = setTimeout(() => request.destroy(), timeout);
    try {
      return await new Promise((resolve, reject) => {
        request.on("data", (chunk: Uint8Array) => {
          length += chunk.length;
          this.#receiving += chunk.length;
          if (length > one) reject(tooLarge());
          else if (this.#receiving > all) reject(new ApiError(503, "too many large requests at once, try again"));
          else chunks.push(chunk);
        });
        request.once("end", () => resolve(Buffer.concat(chunks, length)));
        request.once("error", () => resolve(null));
        request.once("close", () => resolve(null));
      });
    } finally {
      clearTimeout(timer);
      this.#receiving -= length;
      request.removeAllListeners("data");
      request.pause();
    }
  }
}
