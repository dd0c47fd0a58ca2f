// The API's read side: path -> answer. docs/api.md describes every one of these.
import type { IncomingMessage, ServerResponse } from "node:http";
import { sendList } from "./list-stream.ts";
import { METRICS_MEDIA_TYPE, renderMetrics } from "./metrics.ts";
import { explainRequest, only, policyRequest, prefixParameter, routeFilter } from "./query.ts";
import { type ApiBackend, ApiError } from "./types.ts";

/** Milliseconds a client of a long list may read nothing. */
const STALL = 60_000;

export interface Call {
  readonly backend: ApiBackend;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  /** What stands for `:name` in the path, decoded. */
  readonly parameter: string;
}

type Handler = (call: Call) => void | Promise<void>;

const list =
  (items: (call: Call) => Iterable<unknown> | Promise<Iterable<unknown>>, filtered = false): Handler =>
  async (call) => {
    if (!filtered) only(call.query, []);
    await sendList(call.request, call.response, await items(call), STALL);
  };

export const readRoutes: Readonly<Record<string, Handler>> = {
  "/v1/status": async ({ backend, response, query }) => {
    only(query, []);
    sendJson(response, 200, await backend.status());
  },
  "/v1/peers": list(({ backend }) => backend.peers()),
  "/v1/peers/:name": ({ backend, response, query, parameter }) => {
    only(query, []);
    const peers = backend.peers();
    const peer = peers.find(({ name }) => name === parameter);
    if (!peer)
      throw new ApiError(404, `no peer ${parameter}; there are ${peers.map(({ name }) => name).join(", ") || "none"}`);
    sendJson(response, 200, peer);
  },
  "/v1/routes": list(({ backend, query }) => backend.routes(routeFilter(query)), true),
  "/v1/routes/why": async ({ backend, response, query }) =>
    sendJson(response, 200, await backend.why(prefixParameter(query))),
  "/v1/received/:name": list(({ backend, query, parameter }) => backend.received(parameter, routeFilter(query)), true),
  "/v1/advertised/:name": list(
    ({ backend, query, parameter }) => backend.advertised(parameter, routeFilter(query)),
    true,
  ),
  "/v1/policies": list(({ backend }) => backend.policies()),
  "/v1/policy-test": list(({ backend, query }) => backend.policyTest(policyRequest(query)), true),
  "/v1/doctor": list(({ backend }) => backend.doctor()),
  "/v1/pods": list(({ backend }) => backend.pods()),
  "/v1/blocks": list(({ backend }) => backend.blocks()),
  "/v1/pools": list(({ backend }) => backend.pools()),
  "/v1/addresses": list(({ backend, query }) => backend.addresses(prefixParameter(query)), true),
  "/v1/nodes": list(({ backend }) => backend.nodes()),
  "/v1/rules": list(({ backend }) => backend.rules()),
  "/v1/explain": async ({ backend, response, query }) =>
    sendJson(response, 200, await backend.explain(explainRequest(query))),
  "/v1/kernel-routes/:name": list(({ backend, parameter }) => backend.kernelRoutes(parameter)),
  "/metrics": async ({ backend, response }) => {
    const text = await renderMetrics({
      status: await backend.status(),
      peers: backend.peers(),
      pods: backend.pods(),
      vanished: backend.vanishedPods(),
      blocks: backend.blocks(),
      pools: backend.pools(),
    });
    response.writeHead(200, { "Content-Type": METRICS_MEDIA_TYPE }).end(text);
  },
};

/** The handler for a path and its parameter, or null. Throws URIError when the path is wrongly encoded. */
export function findRoute(path: string): { handler: Handler; parameter: string } | null {
  if (Object.hasOwn(readRoutes, path)) return { handler: readRoutes[path], parameter: "" };
  const slash = path.lastIndexOf("/");
  const pattern = `${path.slice(0, slash)}/:name`;
  const parameter = decodeURIComponent(path.slice(slash + 1));
  return parameter !== "" && Object.hasOwn(readRoutes, pattern) ? { handler: readRoutes[pattern], parameter } : null;
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": bytes.length }).end(bytes);
}
