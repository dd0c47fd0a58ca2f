// What a policy of the running daemon does to a route that is described, or that a neighbour has announced.
import { formatCommunity } from "../bgp/community-text.ts";
import { type PolicyTrace, tracePolicy } from "../bgp/policy/trace.ts";
import type { ExportPolicy, ImportPolicy } from "../bgp/policy/types.ts";
import type { Speaker } from "../bgp/speaker.ts";
import type { PathAttributes } from "../bgp/wire/path-attributes.ts";
import {
  describedAttributes,
  type PolicyRequest,
  requestedPeer,
  requestedPolicy,
  requestedPrefix,
  routeKeys,
} from "../config/policy-request.ts";
import type { Config } from "../config/types.ts";
import { ApiError, type PolicyView } from "./api/types.ts";

export function policyViews({ policies, peers, peerGroups }: Config): PolicyView[] {
  const names = (policy: ImportPolicy | ExportPolicy, name: string): boolean =>
    typeof policy !== "string" &&
    ("chain" in policy
      ? policy.chain.some((element) => typeof element !== "string" && element.name === name)
      : policy.name === name);
  const users = [...peers, ...peerGroups];
  return policies.map(({ name, statements }) => ({
    name,
    statements: statements.length,
    importOf: users.filter((peer) => names(peer.import, name)).map((peer) => peer.name),
    exportOf: users.filter((peer) => names(peer.export, name)).map((peer) => peer.name),
  }));
}

/** One trace per path: a neighbour may have announced several. Throws ApiError with a message for the person. */
export function testPolicy(
  request: PolicyRequest,
  config: Config,
  speaker: Pick<Speaker, "policyInputs">,
): PolicyTrace[] {
  try {
    const policy = requestedPolicy(config, request);
    const prefix = requestedPrefix(request);
    const peer = requestedPeer(request);
    const table = (id: number) => config.tables.find((entry) => entry.id === id)?.name ?? String(id);
    const paths = pathsOf(request, () => speaker.policyInputs(request.received ?? "", prefix));
    return paths.map((attributes) =>
      tracePolicy(policy, { prefix, peer, attributes }, { community: formatCommunity, table }),
    );
  } catch (error) {
    throw error instanceof RangeError ? new ApiError(400, error.message) : error;
  }
}

function pathsOf(request: PolicyRequest, received: () => PathAttributes[]): PathAttributes[] {
  if (request.received === undefined) return [describedAttributes(request)];
  const described = routeKeys.find((key) => request[key] !== undefined);
  if (described) throw new RangeError(`a route that is received is not described: leave ${described} away`);
  const paths = received();
  if (paths.length === 0) throw new ApiError(404, `${request.received} has announced no ${request.prefix}`);
  return paths;
}
