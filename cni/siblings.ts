// Interfaces of one pod. A pod answers over whichever of them its default route leads to, from the address that it was asked
// at: each of its interfaces may send from the addresses of the others. In: attachments. Out: such addresses by interface.
import { type Attachment, bytesOf, NO_LINK } from "./attachment.ts";

export interface SharedSource {
  readonly address: Uint8Array;
  /** Of an interface that the address is not routed to. */
  readonly ifindex: number;
}

/** Those of an attachment and the others of its pod, both ways. */
export function sharedSources(one: Attachment, all: Iterable<Attachment>): SharedSource[] {
  if (one.record.netnsId === "" || one.ifindex === NO_LINK) return [];
  const shared: SharedSource[] = [];
  for (const other of all) {
    if (other.record.netnsId !== one.record.netnsId || other.ifindex === NO_LINK || other.ifindex === one.ifindex)
      continue;
    for (const address of bytesOf(one.record)) shared.push({ address, ifindex: other.ifindex });
    for (const address of bytesOf(other.record)) shared.push({ address, ifindex: one.ifindex });
  }
  return shared;
}

/** Those of all pods. */
export function allSharedSources(attachments: readonly Attachment[]): SharedSource[] {
  const pods = new Map<string, Attachment[]>();
  for (const attachment of attachments) {
    const pod = pods.get(attachment.record.netnsId);
    if (pod) pod.push(attachment);
    else pods.set(attachment.record.netnsId, [attachment]);
  }
  return [...pods.values()].flatMap((pod) => (pod.length > 1 ? pod.flatMap((each) => sharedSources(each, pod)) : []));
}
