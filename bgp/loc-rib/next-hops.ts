// BGP next hops and whether they can be used (RFC 4271 §9.1.2.1). Addresses are interned for the attribute store; a next hop
// is an address as seen from one session, because the session's interface says where a link-local address is, and
// because a next hop that is our own end of the session must never be used (RFC 4271 §5.1.3).
//
// Forwarding goes to the link-local address of a 32-octet next hop where the session has an interface (RFC 2545 §3).
import { formatAddress, isLinkLocal, sameBytes } from "../../net/address.ts";
import type { NextHopResolver, ResolvedNextHop } from "../next-hop-resolver.ts";

interface NextHopAddress {
  readonly key: string;
  readonly address: Uint8Array;
  readonly linkLocal: Uint8Array | null;
  /** Attribute sets and next-hop sets that use it. */
  references: number;
}

interface NextHop {
  readonly addressId: number;
  readonly view: NextHopView;
  resolved: ResolvedNextHop | null;
}

/** Next hops as one session, or several alike, sees them. */
export class NextHopView {
  /** The session's interface, 0 unknown. */
  readonly ifindex: number;
  /** Our addresses on the session. */
  readonly local: readonly Uint8Array[];
  /** Address id -> next hop id. */
  readonly ids = new Map<number, number>();
  readonly #owner: NextHops;
  #lastAddress = 0;
  #lastId = 0;

  constructor(owner: NextHops, ifindex: number, local: readonly Uint8Array[]) {
    this.#owner = owner;
    this.ifindex = ifindex;
    this.local = local;
  }

  /** The next hop id of an address id. */
  idOf(addressId: number): number {
    // Neighbouring routes share their next hop nearly always.
    if (addressId === this.#lastAddress) return this.#lastId;
    const id = this.ids.get(addressId) ?? this.#owner.create(addressId, this);
    this.#lastAddress = addressId;
    this.#lastId = id;
    return id;
  }

  forget(addressId: number): void {
    this.ids.delete(addressId);
    this.#lastAddress = 0;
  }
}

export interface NextHopChanges {
  /** Next hops whose gateway or interface is another one now, or none, or one after none. */
  readonly changed: ReadonlySet<number>;
  /** Views in which some next hop has become usable or unusable. */
  readonly views: ReadonlySet<NextHopView>;
}

export class NextHops {
  readonly #resolver: NextHopResolver;
  readonly #addresses: (NextHopAddress | null)[] = [null];
  readonly #freeAddresses: number[] = [];
  readonly #addressIds = new Map<string, number>();
  /** Found last time: neighbouring attribute sets share their next hop nearly always. */
  #lastAddress = 0;
  readonly #views = new Map<string, NextHopView>();
  readonly #nextHops: (NextHop | null)[] = [null];
  readonly #freeNextHops: number[] = [];
  /** By next hop id, 1: can be used. */
  #usable = new Uint8Array(64);
  /** Of neighbours that are lost: not used where there is another. */
  readonly #avoided = new Set<number>();

  constructor(resolver: NextHopResolver) {
    this.#resolver = resolver;
  }

  /** The id of an address pair; each call counts one reference. */
  intern(address: Uint8Array, linkLocal: Uint8Array | null): number {
    const last = this.#addresses[this.#lastAddress];
    if (last && linkLocal === null && last.linkLocal === null && sameBytes(address, last.address)) {
      last.references++;
      return this.#lastAddress;
    }
    const key = linkLocal ? `${formatAddress(address)} ${formatAddress(linkLocal)}` : formatAddress(address);
    let id = this.#addressIds.get(key);
    if (id === undefined) {
      const entry = {
        key,
        address: Uint8Array.from(address),
        linkLocal: linkLocal && Uint8Array.from(linkLocal),
        references: 0,
      };
      id = this.#freeAddresses.pop() ?? this.#addresses.push(null) - 1;
      this.#addresses[id] = entry;
      this.#addressIds.set(key, id);
    }
    this.retain(id);
    this.#lastAddress = id;
    return id;
  }

  retain(addressId: number): void {
    (this.#addresses[addressId] as NextHopAddress).references++;
  }

  release(addressId: number): void {
    const entry = this.#addresses[addressId] as NextHopAddress;
    if (--entry.references > 0) return;
    this.#addressIds.delete(entry.key);
    this.#addresses[addressId] = null;
    this.#freeAddresses.push(addressId);
    for (const view of this.#views.values()) {
      const id = view.ids.get(addressId);
      if (id === undefined) continue;
      view.forget(addressId);
      this.#nextHops[id] = null;
      this.#usable[id] = 0;
      this.#avoided.delete(id);
      this.#freeNextHops.push(id);
    }
  }

  view(ifindex: number, local: readonly Uint8Array[]): NextHopView {
    const key = `${ifindex} ${local.map(formatAddress).join(" ")}`;
    let view = this.#views.get(key);
    if (!view) {
      view = new NextHopView(this, ifindex, local);
      this.#views.set(key, view);
    }
    return view;
  }

  /** For NextHopView: makes the next hop of an address in a view. */
  create(addressId: number, view: NextHopView): number {
    const id = this.#freeNextHops.pop() ?? this.#nextHops.push(null) - 1;
    if (id >= this.#usable.length) {
      const usable = new Uint8Array(this.#usable.length * 2);
      usable.set(this.#usable);
      this.#usable = usable;
    }
    const resolved = this.#resolve(addressId, view);
    this.#nextHops[id] = { addressId, view, resolved };
    this.#usable[id] = resolved ? 1 : 0;
    view.ids.set(addressId, id);
    return id;
  }

  usable(id: number): boolean {
    return this.#usable[id] === 1;
  }

  resolved(id: number): ResolvedNextHop | null {
    return this.#nextHops[id]?.resolved ?? null;
  }

  /**
   * The neighbour with this address, itself the gateway, is lost: its next hops are not to be used where there are others,
   * before its routes have been withdrawn one by one. Returns them.
   */
  avoid(view: NextHopView, gateway: Uint8Array): ReadonlySet<number> {
    const avoided = new Set<number>();
    for (const [addressId, id] of view.ids) {
      const { address, linkLocal } = this.#addresses[addressId] as NextHopAddress;
      if (!sameBytes(address, gateway) && !(linkLocal && sameBytes(linkLocal, gateway))) continue;
      this.#avoided.add(id);
      avoided.add(id);
    }
    return avoided;
  }

  /** The routes of the lost neighbour are gone: what still uses these next hops has them from somebody else. */
  avoidNoLonger(ids: ReadonlySet<number>): void {
    for (const id of ids) this.#avoided.delete(id);
  }

  avoided(id: number): boolean {
    return this.#avoided.has(id);
  }

  /** The address id of a next hop. */
  addressIdOf(id: number): number {
    return this.#nextHops[id]?.addressId ?? 0;
  }

  /** Asks the resolver about every next hop again. */
  refresh(): NextHopChanges {
    const changed = new Set<number>();
    const views = new Set<NextHopView>();
    this.#nextHops.forEach((nextHop, id) => {
      if (!nextHop) return;
      const resolved = this.#resolve(nextHop.addressId, nextHop.view);
      if (sameResolution(resolved, nextHop.resolved)) return;
      if ((resolved === null) !== (nextHop.resolved === null)) views.add(nextHop.view);
      nextHop.resolved = resolved;
      this.#usable[id] = resolved ? 1 : 0;
      changed.add(id);
    });
    return { changed, views };
  }

  #resolve(addressId: number, view: NextHopView): ResolvedNextHop | null {
    const { address, linkLocal } = this.#addresses[addressId] as NextHopAddress;
    if (view.local.some((own) => sameBytes(own, address) || (linkLocal !== null && sameBytes(own, linkLocal))))
      return null;
    if (linkLocal && isLinkLocal(linkLocal) && view.ifindex !== 0) {
      const resolved = this.#resolver.resolve(linkLocal, view.ifindex);
      if (resolved) return resolved;
    }
    return isUnspecified(address) ? null : this.#resolver.resolve(address, view.ifindex);
  }
}

function isUnspecified(address: Uint8Array): boolean {
  return address.every((octet) => octet === 0);
}

function sameResolution(a: ResolvedNextHop | null, b: ResolvedNextHop | null): boolean {
  if (a === null || b === null) return a === b;
  return a.ifindex === b.ifindex && sameBytes(a.gateway, b.gateway);
}
