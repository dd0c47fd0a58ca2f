// ADD-PATH in OPEN (RFC 7911 §4): what we offer, and in which directions prefixes carry path identifiers.
import type { Family } from "../../net/address.ts";
import type { Capability } from "../wire/capability.ts";
import type { AddPathFamilies } from "../wire/context.ts";
import type { OpenMessage } from "../wire/open.ts";
import { afiOf, Safi } from "../wire/registry.ts";
import type { PeerOptions } from "./types.ts";

export function addPathCapabilities({ addPath, families }: PeerOptions): Capability[] {
  if (!addPath) return [];
  const { receive, send } = addPath;
  const entries = families.map((family) => ({
    afi: afiOf(family),
    safi: Safi.UNICAST,
    receive,
    send: send !== null,
  }));
  return [{ kind: "addPath", entries }];
}

/** A direction is on where one side said that it sends, and the other that it receives. */
export function agreedAddPath(
  { addPath }: PeerOptions,
  remote: OpenMessage,
  families: readonly Family[],
): AddPathFamilies | undefined {
  const entries = remote.capabilities.flatMap((capability) =>
    capability.kind === "addPath" ? capability.entries : [],
  );
  if (!addPath || entries.length === 0) return undefined;
  const theirs = (family: Family) =>
    entries.find((entry) => entry.afi === afiOf(family) && entry.safi === Safi.UNICAST);
  const receive = families.filter((family) => addPath.receive && theirs(family)?.send);
  const send = families.filter((family) => addPath.send !== null && theirs(family)?.receive);
  return receive.length + send.length > 0 ? { receive, send } : undefined;
}
