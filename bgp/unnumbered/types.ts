// What finding neighbours needs from the outside: the links as the kernel has them, and packets on one of them.
import type { Packet } from "./message.ts";

/** A link; routing/types.ts LinkInfo has all of it. */
export interface Link {
  readonly ifindex: number;
  readonly name: string;
  readonly up: boolean;
  readonly mac: Uint8Array;
  /** `tentative`: duplicate address detection is under way, or has found a duplicate. */
  readonly addresses: readonly { readonly address: Uint8Array; readonly tentative?: boolean }[];
}

export interface LinkSource {
  links(): readonly Link[];
  /** Calls back after each change. */
  onLinks(listener: () => void): void;
}

/** Sends and receives ICMPv6 on one interface. */
export interface Outlet {
  /** 0, or the error's number. */
  send(message: Uint8Array, to: Uint8Array): number;
  close(): void;
}

/** Throws with what to do when that is not possible. */
export type OpenOutlet = (device: string, ifindex: number, receive: (packet: Packet) => void) => Outlet;
