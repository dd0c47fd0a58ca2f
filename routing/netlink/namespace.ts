// RTM_*NSID: struct rtgenmsg { family u8 } and NETNSA_* attributes. The number that one namespace knows another one by.
import { Attributes } from "./attribute.ts";
import { AF_UNSPEC, MessageType, NamespaceAttribute } from "./constants.ts";
import type { MessageWriter } from "./message.ts";

const HEADER = 4;

/** Asks for the number of the namespace behind a descriptor. */
export function encodeGetNamespaceId(out: MessageWriter, fd: number): void {
  out.begin(MessageType.getNamespaceId, 0);
  out.u8(AF_UNSPEC);
  out.zeros(3);
  out.attributeU32(NamespaceAttribute.fd, fd);
  out.end();
}

const attributes = new Attributes(NamespaceAttribute.fd);

/** Null when it has none. */
export function decodeNamespaceId(buffer: Buffer, start: number, end: number): number | null {
  if (!attributes.parse(buffer, start + HEADER, end).has(NamespaceAttribute.id)) return null;
  const id = attributes.u32(NamespaceAttribute.id) | 0;
  return id < 0 ? null : id;
}
