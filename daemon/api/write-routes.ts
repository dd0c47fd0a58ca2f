// The API's write side, on the unix socket only: path -> what is done. docs/api.md describes every one of these.
import { isAbsolute } from "node:path";
import { MAX_BYTES } from "../../config/yaml-text.ts";
import type { BodyReader } from "./body.ts";
import { booleanParameter, familyParameter, only, peerName, waitParameter } from "./query.ts";
import { type Call, sendJson } from "./routes.ts";
import { ApiError } from "./types.ts";

/** Largest body of these requests, bytes. */
export const MAX_WRITE_BODY: number = MAX_BYTES + 1;

type WriteCall = Omit<Call, "parameter"> & { readonly bodies: BodyReader };

export const writeRoutes: Readonly<Record<string, (call: WriteCall) => Promise<void>>> = {
  /** The body is the text of a configuration, `file` its path: secrets are relative to it. */
  "/v1/plan": async ({ backend, request, response, query, bodies }) => {
    only(query, ["file"]);
    const file = query.get("file") ?? "";
    if (!isAbsolute(file)) throw new ApiError(400, "?file= must be the absolute path of the configuration");
    const body = await bodies.read(request);
    if (body) sendJson(response, 200, backend.plan(new TextDecoder().decode(body), file));
  },
  /** Writes an MRT table dump to `file`. */
  "/v1/dump": async ({ backend, response, query }) => {
    only(query, ["file"]);
    const file = query.get("file") ?? "";
    if (!isAbsolute(file) || file.includes("\0")) throw new ApiError(400, "?file= must be the absolute path to write");
    sendJson(response, 200, await backend.dump(file));
  },
  /** Asks a neighbour to send its routes again (RFC 2918). */
  "/v1/refresh": async ({ backend, response, query }) => {
    only(query, ["peer", "family"]);
    sendJson(response, 200, backend.refresh(peerName(query), familyParameter(query)));
  },
  /** Ends a session with Cease/4; it comes back at once. */
  "/v1/reset": async ({ backend, response, query }) => {
    only(query, ["peer", "reason"]);
    sendJson(response, 200, backend.reset(peerName(query), query.get("reason") ?? ""));
  },
  /** The node, or `peer`, out of service; answered when it is. `wait`: seconds. */
  "/v1/drain": async ({ backend, response, query }) => {
    only(query, ["peer", "wait"]);
    sendJson(response, 200, await backend.drain(query.get("peer"), waitParameter(query)));
  },
  "/v1/undrain": async ({ backend, response, query }) => {
    only(query, ["peer"]);
    sendJson(response, 200, await backend.undrain(query.get("peer")));
  },
  /** A node that does not come back gives up what it has claimed; `quarantine`: seconds until others can have it. */
  "/v1/nodes/remove": async ({ backend, response, query }) => {
    only(query, ["node", "force", "quarantine"]);
    const node = query.get("node") ?? "";
    if (node === "") throw new ApiError(400, "?node= must be the name of a node");
    const quarantine = query.get("quarantine") ?? "120";
    if (!/^\d{1,5}$/.test(quarantine)) throw new ApiError(400, `quarantine=${quarantine}: write seconds, 0 to 99999`);
    const force = booleanParameter(query, "force");
    sendJson(response, 200, await backend.removeNode({ node, force, quarantine: Number(quarantine) }));
  },
  /** What this node's configuration says of the shared pools counts for all nodes. */
  "/v1/nodes/define-pools": async ({ backend, response, query }) => {
    only(query, []);
    sendJson(response, 200, { pools: await backend.definePools() });
  },
  /** Withdraws everything and ends the daemon; answered when the neighbours have been told. */
  "/v1/shutdown": async ({ backend, response, query }) => {
    only(query, []);
    sendJson(response, 200, await backend.shutdown());
  },
  /** Removes what the daemon has made and ends it; `force`: pods' interfaces, too. */
  "/v1/uninstall": async ({ backend, response, query }) => {
    only(query, ["force"]);
    sendJson(response, 200, await backend.uninstall(booleanParameter(query, "force")));
  },
  "/v1/reload": async ({ backend, response, query }) => {
    only(query, []);
    sendJson(response, 200, await backend.reload());
  },
};
