// A policy as it is in a file, applied to a route that is described: no daemon is needed.
import { formatCommunity } from "../bgp/community-text.ts";
import { type PolicyTrace, tracePolicy } from "../bgp/policy/trace.ts";
import { ConfigError, type LoadedConfig, loadConfig } from "../config/load.ts";
import {
  describedAttributes,
  type PolicyRequest,
  requestedPeer,
  requestedPolicy,
  requestedPrefix,
} from "../config/policy-request.ts";
import { CliError } from "./client.ts";

/** Throws CliError. */
export function testPolicy(file: string, request: PolicyRequest): PolicyTrace {
  if (request.received !== undefined)
    throw new CliError(
      "policy test: what is received is known to the daemon only; leave --config or --received away",
      2,
    );
  let loaded: LoadedConfig;
  try {
    loaded = loadConfig(file);
  } catch (error) {
    throw error instanceof ConfigError ? new CliError(error.message, 2) : error;
  }
  const { config } = loaded;
  try {
    const route = {
      prefix: requestedPrefix(request),
      peer: requestedPeer(request),
      attributes: describedAttributes(request),
    };
    const table = (id: number) => config.tables.find((entry) => entry.id === id)?.name ?? String(id);
    return tracePolicy(requestedPolicy(config, request), route, { community: formatCommunity, table });
  } catch (error) {
    throw error instanceof RangeError ? new CliError(error.message, 2) : error;
  }
}
