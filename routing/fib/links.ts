// Links and their addresses as the kernel has them: a dump to begin with, notifications after it.
import type { InterfaceAddress } from "../netlink/address.ts";
import { decodeAddress, encodeAddressDump } from "../netlink/address.ts";
import { AddressFlag, MessageType } from "../netlink/constants.ts";
import { carriesTraffic, decodeLink, encodeLinkDump, type Link } from "../netlink/link.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { LinkInfo } from "../types.ts";

const AF_BRIDGE = 7;

/** What a notification changed, in the terms of those who keep routes on the link. */
export type LinkChangeKind = "none" | "changed" | "up" | "down" | "removed" | "addressRemoved";

export interface LinkChanges {
  readonly changed: readonly LinkInfo[];
  /** Interface indices. */
  readonly removed: readonly number[];
}

interface Entry {
  link: Link;
  addresses: Map<string, InterfaceAddress>;
}

export class Links {
  readonly #entries = new Map<number, Entry>();
  /** Links that are not any more, or not as changes() has told them. */
  readonly #untold = new Set<number>();

  /** Replaces everything by what a dump says; returns the links whose ability to carry traffic differs from before. */
  load(socket: NetlinkSocket): { ifindex: number; up: boolean }[] {
    const before = new Map([...this.#entries.keys()].map((ifindex) => [ifindex, this.isUp(ifindex)]));
    const links = socket.dump(encodeLinkDump, decodeLink);
    const addresses = socket.dump((out) => encodeAddressDump(out), decodeAddress);
    this.#entries.clear();
    for (const link of links) this.#entries.set(link.ifindex, { link, addresses: new Map() });
    for (const address of addresses) this.#entries.get(address.ifindex)?.addresses.set(keyOf(address), address);
    const changes = [];
    for (const ifindex of new Set([...before.keys(), ...this.#entries.keys()])) {
      this.#untold.add(ifindex);
      const up = this.isUp(ifindex);
      if (up !== (before.get(ifindex) ?? false)) changes.push({ ifindex, up });
    }
    return changes;
  }

  /** Body of a link or address notification. */
  notified(buffer: Buffer, start: number, end: number, type: number): { kind: LinkChangeKind; ifindex: number } {
    if (type === MessageType.newAddress || type === MessageType.delAddress) {
      const address = decodeAddress(buffer, start, end);
      const entry = address && this.#entries.get(address.ifindex);
      if (!entry) return { kind: "none", ifindex: 0 };
      this.#untold.add(address.ifindex);
      const key = keyOf(address);
      const removed = type === MessageType.delAddress;
      if (removed) entry.addresses.delete(key);
      else entry.addresses.set(key, address);
      return { kind: removed ? "addressRemoved" : "changed", ifindex: address.ifindex };
    }
    if (buffer[start] === AF_BRIDGE) return { kind: "none", ifindex: 0 }; // a bridge's word on a port, not on the link
    const link = decodeLink(buffer, start, end);
    if (!link) return { kind: "none", ifindex: 0 };
    const { ifindex } = link;
    this.#untold.add(ifindex);
    const wasUp = this.isUp(ifindex);
    if (type === MessageType.delLink) {
      return { kind: this.#entries.delete(ifindex) ? "removed" : "none", ifindex };
    }
    const entry = this.#entries.get(ifindex);
    if (entry) entry.link = link;
    else this.#entries.set(ifindex, { link, addresses: new Map() });
    const up = carriesTraffic(link.flags);
    return { kind: up === wasUp ? "changed" : up ? "up" : "down", ifindex };
  }

  isUp(ifindex: number): boolean {
    const entry = this.#entries.get(ifindex);
    return entry !== undefined && carriesTraffic(entry.link.flags);
  }

  has(ifindex: number): boolean {
    return this.#entries.has(ifindex);
  }

  /** The name, or `if7` for a link that is not there. */
  nameOf(ifindex: number): string {
    return this.#entries.get(ifindex)?.link.name ?? `if${ifindex}`;
  }

  snapshot(): LinkInfo[] {
    return [...this.#entries.values()].map(infoOf);
  }

  /** What is different from when this was last asked. */
  changes(): LinkChanges {
    const changed: LinkInfo[] = [];
    const removed: number[] = [];
    for (const ifindex of this.#untold) {
      const entry = this.#entries.get(ifindex);
      if (entry) changed.push(infoOf(entry));
      else removed.push(ifindex);
    }
    this.#untold.clear();
    return { changed, removed };
  }
}

function infoOf({ link, addresses }: Entry): LinkInfo {
  return {
    ifindex: link.ifindex,
    name: link.name,
    up: carriesTraffic(link.flags),
    mtu: link.mtu,
    mac: link.mac,
    addresses: [...addresses.values()].map(({ local, peer, length, flags }) => ({
      address: local,
      length,
      peer,
      tentative: (flags & (AddressFlag.tentative | AddressFlag.dadFailed)) !== 0 && !(flags & AddressFlag.optimistic),
    })),
  };
}

function keyOf(address: InterfaceAddress): string {
  return `${address.local.join(".")}/${address.length}/${address.peer.join(".")}`;
}
