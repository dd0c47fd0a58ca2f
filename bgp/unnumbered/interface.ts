// One interface on which a peer without an address is found: its socket while the link is up and has a link-local address,
// what is sent on it and when (advertiser.ts), and who was heard (neighbours.ts). Interfaces go by name: one that is
// removed and made anew, or another one under the old name, is found again.
import { formatAddress, isLinkLocal6, sameBytes } from "../../net/address.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { errnoName } from "../../net/native.ts";
import type { FoundNeighbour, InterfaceNeighbours, NeighbourUser } from "../session/found-neighbour.ts";
import { Advertiser } from "./advertiser.ts";
import {
  ALL_NODES,
  ALL_ROUTERS,
  decodeMessage,
  encodeNeighborSolicitation,
  encodeRouterAdvertisement,
  encodeRouterSolicitation,
  type Packet,
  solicitedNode,
} from "./message.ts";
import { Neighbours } from "./neighbours.ts";
import type { Link, OpenOutlet, Outlet } from "./types.ts";

export interface InterfaceDependencies {
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1. */
  random(): number;
  readonly open: OpenOutlet;
  readonly user: NeighbourUser;
  closed(): void;
}

/** Milliseconds between attempts to open the socket. */
const OPEN_RETRY = 5_000;

export class UnnumberedInterface implements FoundNeighbour {
  readonly #device: string;
  readonly #advertises: boolean;
  readonly #dependencies: InterfaceDependencies;
  readonly #advertiser: Advertiser;
  readonly #neighbours: Neighbours;
  #link: Link | null = null;
  /** Our own, usable. */
  #linkLocals: Uint8Array[] = [];
  #outlet: Outlet | null = null;
  #openError: string | null = null;
  #retry: Timer | null = null;
  #closed = false;
  #sent = 0;
  #received = 0;
  #ignored = 0;
  #lastIgnored: string | null = null;
  #lastSendError: string | null = null;

  constructor(device: string, advertise: boolean, dependencies: InterfaceDependencies) {
    this.#device = device;
    this.#advertises = advertise;
    this.#dependencies = dependencies;
    const { clock, random, log } = dependencies;
    this.#neighbours = new Neighbours(device, {
      clock,
      probe: (address) => this.#probe(address),
      changed: (change) => {
        if (this.#closed) return;
        log.info({ interface: device, neighbour: this.#text(), reason: change.reason }, "unnumbered neighbour");
        if (change.kind === "lost" && this.#outlet) this.#advertiser.lost();
        dependencies.user.changed(change);
      },
      provoke: () => dependencies.user.provoke(),
      heardWithin: (milliseconds) => dependencies.user.heardWithin(milliseconds),
    });
    this.#advertiser = new Advertiser(advertise, {
      clock,
      random,
      advertise: (to) => this.#advertise(to),
      solicit: () => this.#solicit(),
    });
  }

  get address(): Uint8Array | null {
    return this.#neighbours.present?.address ?? null;
  }

  get awaited(): string {
    if (!this.#link) return `interface ${this.#device} does not exist`;
    if (!this.#link.up) return `interface ${this.#device} is down`;
    if (this.#linkLocals.length === 0) {
      return this.#link.addresses.some(({ address, tentative }) => tentative && isLinkLocal6(address))
        ? `the link-local address of ${this.#device} is not usable yet (duplicate address detection)`
        : `interface ${this.#device} has no link-local address (see: sysctl net.ipv6.conf.${this.#device}.disable_ipv6, ip -d link show ${this.#device}: addrgenmode)`;
    }
    return (
      this.#openError ??
      `no router advertisement heard on ${this.#device} yet; is the neighbour configured for unnumbered?`
    );
  }

  spoke(address: Uint8Array, engaged: boolean): boolean {
    return !this.#closed && this.#neighbours.spoke(address, engaged);
  }

  failed(): void {
    this.#neighbours.failed();
  }

  view(): InterfaceNeighbours {
    const now = this.#dependencies.clock.now();
    const { present } = this.#neighbours;
    return {
      interface: this.#device,
      ifindex: this.#link?.ifindex ?? 0,
      localAddresses: this.#linkLocals.map(formatAddress),
      neighbours: this.#neighbours.list().map((neighbour) => ({
        address: formatAddress(neighbour.address),
        mac: neighbour.mac && formatMac(neighbour.mac),
        via: neighbour.via,
        heard: Math.floor((now - neighbour.heardAt) / 1000),
        present: neighbour === present,
      })),
      advertisements: {
        enabled: this.#advertises,
        sent: this.#sent,
        received: this.#received,
        ignored: this.#ignored,
      },
      lastIgnored: this.#lastIgnored,
      lastSendError: this.#lastSendError,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#shut();
    this.#neighbours.clear("no longer looked for");
    this.#dependencies.closed();
  }

  /** The links as they are now. */
  update(links: readonly Link[]): void {
    if (this.#closed) return;
    const before = this.#link;
    const link = links.find(({ name }) => name === this.#device) ?? null;
    const linkLocals = (link?.addresses ?? []).flatMap(({ address, tentative }) =>
      !tentative && isLinkLocal6(address) ? [address] : [],
    );
    const same =
      link !== null && before !== null && sameBytes(link.mac, before.mac) && sameList(linkLocals, this.#linkLocals);
    this.#link = link;
    this.#linkLocals = linkLocals;
    if (before && before.ifindex !== link?.ifindex) {
      this.#shut();
      this.#neighbours.clear(
        link ? `interface ${this.#device} is another one now` : `interface ${this.#device} is gone`,
      );
    } else if (link && !link.up) {
      this.#shut();
      this.#neighbours.clear(`interface ${this.#device} went down`);
    } else if (linkLocals.length === 0) {
      this.#shut();
      this.#neighbours.clear(`the link-local address of ${this.#device} is gone`);
    }
    if (!link?.up || linkLocals.length === 0) return;
    if (!this.#outlet) this.#open(link);
    // Neighbours know us by what has changed.
    else if (!same) this.#advertiser.start();
  }

  #open(link: Link): void {
    this.#retry?.cancel();
    this.#retry = null;
    const { open, clock, log } = this.#dependencies;
    try {
      this.#outlet = open(this.#device, link.ifindex, (packet) => this.#receive(packet));
      this.#openError = null;
    } catch (error) {
      this.#openError = error instanceof Error ? error.message : String(error);
      log.warn({ interface: this.#device }, this.#openError);
      this.#retry = clock.after(OPEN_RETRY, () => {
        this.#retry = null;
        if (this.#link?.up && this.#linkLocals.length > 0) this.#open(this.#link);
      });
      return;
    }
    this.#advertiser.start();
  }

  #shut(): void {
    this.#retry?.cancel();
    this.#retry = null;
    this.#advertiser.stop();
    this.#outlet?.close();
    this.#outlet = null;
  }

  #receive(packet: Packet): void {
    const own = this.#linkLocals.some((address) => sameBytes(address, packet.source));
    const message = own ? "source is our own address: it is in use twice on this link" : decodeMessage(packet);
    if (typeof message === "string") {
      this.#ignore(packet, message);
      return;
    }
    switch (message.kind) {
      case "routerAdvertisement":
        this.#received++;
        if (this.#neighbours.advertised(packet.source, message.mac, message.lifetime))
          this.#advertiser.found(packet.source);
        return;
      case "routerSolicitation":
        this.#advertiser.solicited(packet.source);
        return;
      case "neighborAdvertisement":
        this.#neighbours.answered(message.target);
    }
  }

  #ignore({ source }: Packet, why: string): void {
    this.#ignored++;
    this.#lastIgnored = `from ${formatAddress(source)}: ${why}`;
  }

  #advertise(to: Uint8Array | null): void {
    if (this.#send((mac) => encodeRouterAdvertisement(mac), to ?? ALL_NODES)) this.#sent++;
  }

  #solicit(): void {
    this.#send((mac) => encodeRouterSolicitation(mac), ALL_ROUTERS);
  }

  #probe(address: Uint8Array): void {
    this.#send((mac) => encodeNeighborSolicitation(address, mac), solicitedNode(address));
  }

  #send(build: (mac: Uint8Array) => Uint8Array, to: Uint8Array): boolean {
    if (!this.#outlet || !this.#link) return false;
    const errno = this.#outlet.send(build(this.#link.mac), to);
    this.#lastSendError = errno === 0 ? null : `${errnoName(errno)} to ${formatAddress(to)}`;
    return errno === 0;
  }

  #text(): string | null {
    return this.address && formatAddress(this.address);
  }
}

function sameList(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((address, i) => sameBytes(address, b[i]));
}

function formatMac(mac: Uint8Array): string {
  return [...mac].map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}
