// What the store holds and what the journal is made of: attachments, and the operations that lead to them.

/** One attachment, as it must survive a crash. */
export interface PodRecord {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly pool: string;
  readonly addresses: readonly string[];
  readonly netns: string;
  /** Device and inode of the namespace, against a path that is used again; empty when unknown. */
  readonly netnsId: string;
  readonly hostInterface: string;
  readonly mac: string;
  readonly pod: string | null;
}

export type StoreOperation =
  | { readonly op: "add"; readonly pod: PodRecord }
  | { readonly op: "remove"; readonly key: string }
  /** Only after a rewrite: an address given back earlier, in order. */
  | { readonly op: "released"; readonly addresses: readonly string[] };

/** Identity of an attachment. No part can contain the separator. */
export function podKey(pod: {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}): string {
  return `${pod.network}/${pod.containerId}/${pod.ifname}`;
}
