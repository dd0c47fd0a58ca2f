// BGP roles of a session (RFC 9234 §4): who of two ASes is provider, customer or peer of the other. Both sides say their
// own; what does not fit ends the session attempt with Role Mismatch.
import type { Capability } from "../wire/capability.ts";
import { WireError } from "../wire/error.ts";
import { ErrorCode, OpenSubcode, Role, roleNames } from "../wire/registry.ts";

/** §4.2: ours -> the one that the neighbour may have. */
const counterpart: Readonly<Record<number, number>> = {
  [Role.PROVIDER]: Role.CUSTOMER,
  [Role.CUSTOMER]: Role.PROVIDER,
  [Role.ROUTE_SERVER]: Role.ROUTE_SERVER_CLIENT,
  [Role.ROUTE_SERVER_CLIENT]: Role.ROUTE_SERVER,
  [Role.PEER]: Role.PEER,
};

/** Throws WireError 2/11. Without a role of ours the neighbour's says nothing to us. */
export function checkRole(role: number | null, required: boolean, capabilities: readonly Capability[]): void {
  if (role === null) return;
  const theirs = capabilities.filter((capability) => capability.kind === "role").map((capability) => capability.role);
  const ours = roleNames[role];
  const wanted = roleNames[counterpart[role]];
  if (theirs.length === 0) {
    if (required) throw mismatch(`neighbour says no role; as our role is ${ours}, it has to be ${wanted}`);
    return;
  }
  if (theirs.some((other) => other !== theirs[0])) throw mismatch("neighbour says two roles");
  if (theirs[0] !== counterpart[role])
    throw mismatch(
      `neighbour's role is ${roleNames[theirs[0]] ?? theirs[0]}; as ours is ${ours}, it has to be ${wanted}`,
    );
}

function mismatch(message: string): WireError {
  return new WireError(message, ErrorCode.OPEN_MESSAGE_ERROR, OpenSubcode.ROLE_MISMATCH);
}
