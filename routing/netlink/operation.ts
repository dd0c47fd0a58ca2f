// A request that was written, as an event: what it asked of the kernel, and what the kernel said. Everything but routes,
// which write-log.ts reads itself because there may be a million.
import { formatAddress } from "../../net/address.ts";
import type { KernelOperation } from "../types.ts";
import { decodeAddress } from "./address.ts";
import { LITTLE } from "./attribute.ts";
import { Flag, LinkFlag, MessageType } from "./constants.ts";
import { decodeLink } from "./link.ts";
import { decodeNeighbour } from "./neighbour.ts";
import { decodeNextHop } from "./nexthop.ts";
import { decodeRule, type Rule } from "./rule.ts";

/** Where a request was written, and the names of what it speaks of. */
export interface OperationContext {
  /** Path of a pod's namespace; absent: the host's. */
  readonly netns?: string;
  nameOf(ifindex: number): string;
  ruleText?(rule: Rule): string;
}

/** The operation without its outcome. */
export type OperationFields = Omit<KernelOperation, "kind" | "at" | "error" | "netns">;

/** Next-hop objects as they were last written, by id: their own text, or the members of a group. */
export type KnownNextHops = Map<number, string>;

const deletions: ReadonlySet<number> = new Set([
  MessageType.delLink,
  MessageType.delAddress,
  MessageType.delNeighbour,
  MessageType.delRule,
  MessageType.delNextHop,
]);

/** Body of a request at [start, end); null when it is none that changes anything. */
export function operationOf(
  type: number,
  flags: number,
  buffer: Buffer,
  start: number,
  end: number,
  context: OperationContext,
  known: KnownNextHops,
): OperationFields | null {
  const operation = deletions.has(type) ? "delete" : "add";
  switch (type) {
    case MessageType.newLink:
    case MessageType.delLink:
      return linkOperation(operation, flags, buffer, start, end, context);
    case MessageType.newAddress:
    case MessageType.delAddress: {
      const address = decodeAddress(buffer, start, end);
      if (!address) return null;
      const prefix = `${formatAddress(address.local)}/${address.length}`;
      return { operation, object: "address", prefix, interface: context.nameOf(address.ifindex) };
    }
    case MessageType.newNeighbour:
    case MessageType.delNeighbour: {
      const neighbour = decodeNeighbour(buffer, start, end);
      if (!neighbour) return null;
      const value = Array.from(neighbour.mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
      return {
        operation: operation === "add" ? "set" : operation,
        object: "neighbour",
        prefix: formatAddress(neighbour.address),
        interface: context.nameOf(neighbour.ifindex),
        ...(value === "" ? {} : { value }),
      };
    }
    case MessageType.newRule:
    case MessageType.delRule: {
      const rule = decodeRule(buffer, start, end);
      if (!rule) return null;
      const { family, table } = rule;
      return { operation, object: "rule", family, table, rule: context.ruleText?.(rule) ?? `${rule.priority}:` };
    }
    case MessageType.newNextHop:
    case MessageType.delNextHop:
      return nextHopOperation(operation, buffer, start, end, context, known);
    default:
      return null;
  }
}

function linkOperation(
  operation: "add" | "delete",
  flags: number,
  buffer: Buffer,
  start: number,
  end: number,
  context: OperationContext,
): OperationFields | null {
  const link = decodeLink(buffer, start, end);
  if (!link) return null;
  const name = link.name || (link.ifindex === 0 ? `group ${link.group}` : context.nameOf(link.ifindex));
  if (operation === "delete") return { operation, object: "link", name };
  if (flags & Flag.create) return { operation, object: "link", name, ...(link.kind ? { value: link.kind } : {}) };
  const change = LITTLE ? buffer.readUInt32LE(start + 12) : buffer.readUInt32BE(start + 12);
  const changes = [
    change & LinkFlag.up ? (link.flags & LinkFlag.up ? "up" : "down") : null,
    link.alias === null ? null : `alias ${link.alias}`,
    link.mtu === 0 ? null : `mtu ${link.mtu}`,
    link.group === 0 ? null : `group ${link.group}`,
  ];
  return { operation: "set", object: "link", name, value: changes.filter(Boolean).join(", ") };
}

function nextHopOperation(
  operation: "add" | "delete",
  buffer: Buffer,
  start: number,
  end: number,
  context: OperationContext,
  known: KnownNextHops,
): OperationFields | null {
  const object = decodeNextHop(buffer, start, end);
  if (!object) return null;
  const { id, group, gateway, ifindex } = object;
  if (id === 0) return null; // asks whether we may, and nothing else
  const before = known.get(id);
  if (operation === "delete") {
    // A group's text names its members; a single next hop's has no brackets.
    return { operation, object: before?.startsWith("[") ? "group" : "nexthop", id };
  }
  const written = before === undefined ? "add" : "replace";
  if (group) {
    const members = group.map((member) => {
      const text = known.get(member.id) ?? `nexthop ${member.id}`;
      return member.weight === 1 ? text : `${text} weight ${member.weight}`;
    });
    return { operation: written, object: "group", id, members };
  }
  return {
    operation: written,
    object: "nexthop",
    id,
    ...(gateway ? { gateway: formatAddress(gateway) } : {}),
    ...(ifindex ? { interface: context.nameOf(ifindex) } : {}),
  };
}

/** Keeps what a request made of the objects. */
export function remember(operation: OperationFields, known: KnownNextHops): void {
  const { id, object } = operation;
  if (id === undefined) return;
  if (operation.operation === "delete") known.delete(id);
  else if (object === "group") known.set(id, `[${operation.members?.join(", ")}]`);
  else
    known.set(id, [operation.gateway, operation.interface && `dev ${operation.interface}`].filter(Boolean).join(" "));
}
