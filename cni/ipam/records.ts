// What the store holds and what the journal is made of: attachments, addresses given back, and the operations that lead
// to them. Fields that came later are optional: a journal without them stays readable.

import type { Delegate } from "./delegate.ts";

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
  /** Who gave the addresses, and takes them back; absent: a pool. */
  readonly ipam?: Delegate;
  /** Prefixes that the pod reaches through this interface; absent: everything, in each family of its addresses. */
  readonly routes?: readonly string[];
  /**
   * Of the allocation: every one has a greater number than those before it. Who gives addresses back names it, so that an
   * old owner never frees what a later one has. Absent: allocated before there were sequences.
   */
  readonly sequence?: number;
  /** Under which the pod asked to keep its addresses; absent: see identityOf(). */
  readonly identity?: string;
  /** The pod asked to keep its addresses, or not to, whatever its pool does by itself. */
  readonly keep?: boolean;
}

/** An address that was given back and has not been given out since. */
export interface ReleasedAddress {
  readonly address: string;
  /** Of the allocation that it belonged to; 0: not known. */
  readonly sequence: number;
  /** When, in milliseconds since boot (CLOCK_MONOTONIC); null: in another boot of the machine, or not known. */
  readonly at: number | null;
  /**
   * As `at`: from when on the time counts for which it is kept. Absent: `at`. Not the same after a boot, for caution's
   * sake.
   */
  readonly since?: number;
  /** When, in milliseconds since 1970 by the wall clock, which may have been wrong; null: not known. */
  readonly time: number | null;
  /** Whose it was; null: not known. */
  readonly identity: string | null;
  readonly pool: string;
  /** `name`: the identity is a pod's name; `asked`: the pod asked to keep its addresses; null: neither. */
  readonly keep: "name" | "asked" | null;
}

export type StoreOperation =
  | { readonly op: "add"; readonly pod: PodRecord }
  | {
      readonly op: "remove";
      readonly key: string;
      /** As in ReleasedAddress. */
      readonly at?: number;
      readonly time?: number;
      /** The allocation was undone, nobody has used it: these are again what they were before, and the others are fresh. */
      readonly restored?: readonly ReleasedAddress[];
    }
  /** Only after a rewrite: addresses given back earlier, in order; those without more than their name from old journals. */
  | { readonly op: "released"; readonly addresses: readonly (string | ReleasedAddress)[] }
  /** Only after a rewrite: the greatest sequence so far. */
  | { readonly op: "sequence"; readonly last: number }
  /** From here on `at` is of this boot of the machine (/proc/sys/kernel/random/boot_id). */
  | { readonly op: "boot"; readonly id: string };

/** Identity of an attachment. No part can contain the separator. */
export function podKey(pod: {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}): string {
  return `${pod.network}/${pod.containerId}/${pod.ifname}`;
}

/** Who it is over restarts: `namespace/name@network/interface`, or the container's id where the caller gave no pod's name. */
export function identityOf(
  pod: Pick<PodRecord, "network" | "containerId" | "ifname" | "pod"> & { readonly identity?: string | undefined },
): string {
  return pod.identity ?? `${pod.pod ?? pod.containerId}@${pod.network}/${pod.ifname}`;
}

/** Of a pod's name, `namespace/name`; null: it says none. */
export function namespaceOf(pod: string | null): string | null {
  return pod?.includes("/") ? pod.slice(0, pod.indexOf("/")) : null;
}

/** Why its addresses may be kept (ReleasedAddress.keep). */
export function keepOf({
  pod,
  keep,
}: {
  readonly pod: string | null;
  readonly keep?: boolean | undefined;
}): ReleasedAddress["keep"] {
  if (keep !== undefined) return keep ? "asked" : null;
  return pod === null ? null : "name";
}
