// Which interface and gateway a BGP next hop stands for (RFC 4271 section 5.1.3: directly connected next hops). In: links
// and addresses from the fib worker. Out: NextHopResolver for the RIB.
//
// The longest connected network that contains the address decides, among links that are up; of equal ones the session's
// interface. A link-local address means nothing without an interface. Known deviation: a next hop that is not on a
// connected network is not resolved through other routes.
import type { NextHopResolver, ResolvedNextHop } from "../bgp/next-hop-resolver.ts";
import { isLinkLocal, sameBytes } from "../net/address.ts";
import type { Fib, LinkInfo } from "./types.ts";

interface Connected {
  readonly ifindex: number;
  readonly network: Uint8Array;
  readonly length: number;
}

export class InterfaceTable implements NextHopResolver {
  readonly #fib: Pick<Fib, "links" | "onLinks">;
  readonly #listeners: (() => void)[] = [];
  #links = new Map<number, LinkInfo>();
  #own: Uint8Array[] = [];
  /** Longest first. */
  #connected: Connected[] = [];
  /** What resolution depends on, as text: listeners hear of nothing else. */
  #state = "";
  readonly #uplinks = new Set<number>();

  constructor(fib: Pick<Fib, "links" | "onLinks">) {
    this.#fib = fib;
    fib.onLinks(() => this.#update());
    this.#update();
  }

  resolve(address: Uint8Array, ifindex: number): ResolvedNextHop | null {
    const resolved = this.#interfaceOf(address, ifindex);
    if (resolved === 0) return null;
    this.#uplinks.add(resolved);
    return { ifindex: resolved, gateway: address };
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Bytes: the smallest MTU among the links that next hops were found on or that are named; without any, among links that
   * are up and have an address other than a link-local one. 1500 when there is neither.
   */
  smallestUplinkMtu(names: readonly string[] = []): number {
    const used = [...this.#links.values()].filter(
      ({ ifindex, name, up }) => this.#uplinks.has(ifindex) || (up && names.includes(name)),
    );
    const addressed = () =>
      [...this.#links.values()].filter(
        ({ up, name, addresses }) => up && name !== "lo" && addresses.some(({ address }) => !isLinkLocal(address)),
      );
    const mtus = (used.length > 0 ? used : addressed()).map((link) => link.mtu);
    return mtus.length > 0 ? Math.min(...mtus) : 1500;
  }

  #interfaceOf(address: Uint8Array, ifindex: number): number {
    if (address.every((byte) => byte === 0)) return 0;
    if (address.length === 16 && isLinkLocal(address)) {
      // Our own link-local address of another interface may be a neighbour's on this one.
      const link = this.#links.get(ifindex);
      return link?.up && !link.addresses.some((own) => sameBytes(own.address, address)) ? ifindex : 0;
    }
    if (this.#own.some((own) => sameBytes(own, address))) return 0;
    let best: Connected | null = null;
    for (const network of this.#connected) {
      if (best && network.length < best.length) break;
      if (!covers(network, address)) continue;
      if (network.ifindex === ifindex) return ifindex;
      best ??= network;
    }
    return best?.ifindex ?? 0;
  }

  #update(): void {
    const links = this.#fib.links();
    const own: Uint8Array[] = [];
    const connected: Connected[] = [];
    const state: string[] = [];
    for (const link of links) {
      const found = partOf(link);
      own.push(...found.own);
      connected.push(...found.connected);
      if (found.state !== "") state.push(found.state);
    }
    connected.sort((a, b) => b.length - a.length || a.ifindex - b.ifindex);
    this.#links = new Map(links.map((link) => [link.ifindex, link]));
    this.#own = own;
    this.#connected = connected;
    for (const ifindex of this.#uplinks) if (!this.#links.has(ifindex)) this.#uplinks.delete(ifindex);
    const next = state.join(" ");
    if (next === this.#state) return;
    this.#state = next;
    for (const listener of this.#listeners) listener();
  }
}

interface Part {
  readonly own: readonly Uint8Array[];
  readonly connected: readonly Connected[];
  readonly state: string;
}

/** Most links are pods', and of thousands one has changed: the others' objects are the same as before. */
const parts = new WeakMap<LinkInfo, Part>();

function partOf(link: LinkInfo): Part {
  let part = parts.get(link);
  if (!part) {
    part = makePart(link);
    parts.set(link, part);
  }
  return part;
}

function makePart({ ifindex, name, up, addresses }: LinkInfo): Part {
  const own: Uint8Array[] = [];
  const connected: Connected[] = [];
  const state: string[] = up ? [`${ifindex}`] : [];
  for (const { address, length, peer } of addresses) {
    state.push(`${address}/${length}/${peer}`);
    // A neighbour is looked for on its link alone.
    if (address.length === 16 && isLinkLocal(address)) continue;
    own.push(address);
    // Nobody else is on the loopback device.
    if (!up || name === "lo") continue;
    const pointToPoint = peer !== undefined && !sameBytes(peer, address);
    // Without a peer, a full-length address connects nothing.
    if (length === address.length * 8 && !pointToPoint) continue;
    connected.push({ ifindex, network: pointToPoint ? peer : address, length });
  }
  return { own, connected, state: state.join(" ") };
}

/** Whether the address is in the network and can be a neighbour in it: not its all-zeros or all-ones address. */
function covers({ network, length }: Connected, address: Uint8Array): boolean {
  if (network.length !== address.length) return false;
  const whole = length >> 3;
  for (let i = 0; i < whole; i++) if (network[i] !== address[i]) return false;
  const mask = 0xff00 >> (length & 7);
  if ((length & 7) !== 0 && ((network[whole] ^ address[whole]) & mask & 0xff) !== 0) return false;
  return address.length === 16 || length >= 31 || !isEdge(address, length);
}

/** The network or broadcast address of an IPv4 network. */
function isEdge(address: Uint8Array, length: number): boolean {
  const value = ((address[0] << 24) | (address[1] << 16) | (address[2] << 8) | address[3]) >>> 0;
  const hostMask = length === 0 ? 0xffffffff : (1 << (32 - length)) - 1;
  const host = (value & hostMask) >>> 0;
  return host === 0 || host === hostMask >>> 0;
}
