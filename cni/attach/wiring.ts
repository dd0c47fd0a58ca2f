// One pod's cable, in rtnetlink messages: a veth whose far end is created inside the pod's namespace under its final
// name, addresses as host prefixes, a link-local gateway with permanent neighbour entries on both ends.
//
// In: an AttachRequest. Out: the index of the host end, or an error and nothing left behind. Every call blocks for the
// kernel's RTNL lock: this runs in the attach worker.
import { encodeNewAddress } from "../../routing/netlink/address.ts";
import { AddressFlag, Flag, Scope } from "../../routing/netlink/constants.ts";
import { NetlinkError } from "../../routing/netlink/error.ts";
import {
  decodeLink,
  encodeDelLink,
  encodeGetLink,
  encodeNewVeth,
  encodeSetLink,
  type Link,
  type LinkSelector,
} from "../../routing/netlink/link.ts";
import {
  AddressGeneration,
  decodeIpv6Settings,
  encodeLinkSettings,
  Ipv4Setting,
  type Ipv6Settings,
} from "../../routing/netlink/link-settings.ts";
import type { MessageWriter } from "../../routing/netlink/message.ts";
import { encodeNewNeighbour } from "../../routing/netlink/neighbour.ts";
import { encodeNewRoute } from "../../routing/netlink/route.ts";
import { NetlinkSocket } from "../../routing/netlink/socket.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import { type Step, sendAll, sendOrThrow } from "./batch.ts";
import { formatMac, gatewayIpv6, HOST_MAC } from "./gateway.ts";
import { isHostEnd, listHostLinks } from "./host-links.ts";
import type { LaterLog } from "./later-log.ts";
import type { Attached, AttachRequest, FollowRequest } from "./messages.ts";
import { gatewaySteps, LOOPBACK_INDEX, podSteps, wirePodEnd } from "./pod-end.ts";
import { inNamespace, openNamespace, type PodNamespace } from "./pod-namespace.ts";
import { enableIpv6Inside, prepareHostEnd } from "./sysctl.ts";
import { warmUpWiring } from "./warm-up.ts";

export class Wiring {
  readonly #host = new NetlinkSocket();
  readonly #log: LaterLog;
  readonly #prepared = new Map<string, Prepared>();
  /** Name of the host end at hand. */
  #hostEnd = "";

  constructor(log: LaterLog) {
    this.#log = log;
    this.#host.onWritten = (bytes, failures) => {
      const name = this.#hostEnd;
      log.written(bytes, failures, { nameOf: () => name });
    };
  }

  /** In the host's namespace. */
  get socket(): NetlinkSocket {
    return this.#host;
  }

  /**
   * The first half of an attachment: both ends, and nothing yet that a pod could use. What is in the way is thrown by
   * complete(), which has to follow, or abandon().
   */
  prepare(request: AttachRequest): void {
    const { netns, netnsId, hostInterface, ifname } = request;
    this.abandon(hostInterface);
    try {
      const namespace = openNamespace(netns, netnsId);
      this.#prepared.set(hostInterface, { request, namespace, pair: null });
      this.#hostEnd = hostInterface;
      const context = { netns, nameOf: (ifindex: number) => (ifindex === LOOPBACK_INDEX ? "lo" : ifname) };
      namespace.socket.onWritten = (bytes, failures) => this.#log.written(bytes, failures, context);
      this.#prepared.set(hostInterface, { request, namespace, pair: this.#createPair(request, namespace.fd) });
    } catch (error) {
      this.abandon(hostInterface);
      this.#prepared.set(hostInterface, { error });
    }
  }

  /** Throws with what is in the way, and leaves nothing behind then. */
  complete(hostInterface: string): { readonly request: AttachRequest; readonly attached: Attached } {
    const prepared = this.#prepared.get(hostInterface);
    if (!prepared) throw new Error(`${hostInterface} has not been prepared`);
    if ("error" in prepared) {
      this.#prepared.delete(hostInterface);
      throw prepared.error;
    }
    const { request, namespace, pair } = prepared;
    this.#hostEnd = hostInterface;
    try {
      const routed = this.#wire(request, pair!, namespace.fd, namespace.socket);
      return { request, attached: { ifindex: pair!.near, routed } };
    } catch (error) {
      this.#takeBack(hostInterface);
      throw error;
    } finally {
      this.abandon(hostInterface);
    }
  }

  /** Forgets what prepare() has made; the link itself is left. */
  abandon(hostInterface: string): void {
    const prepared = this.#prepared.get(hostInterface);
    this.#prepared.delete(hostInterface);
    if (prepared && "namespace" in prepared) prepared.namespace.close();
  }

  /** The indexes of both ends come with the same system call. */
  #createPair(request: AttachRequest, netnsFd: number): Pair {
    const { hostInterface, ifname, mac, mtu } = request;
    let near: Link | null = null;
    let ipv6: Ipv6Settings | null = null;
    const { out } = this.#host;
    out.reset();
    encodeNewVeth(
      out,
      { name: hostInterface, mac: HOST_MAC, mtu, queues: 1 },
      { name: ifname, mac, mtu, netnsFd, queues: 1 },
      false,
    );
    encodeGetLink(out, { name: hostInterface });
    const [failure] = this.#host.flush((buffer, start, end) => {
      near = decodeLink(buffer, start, end);
      ipv6 = decodeIpv6Settings(buffer, start, end);
    });
    if (failure?.index === 0) throw this.#vethFailure(new NetlinkError("", failure.errno, failure.text), request);
    if (near === null) throw new Error(`${hostInterface} vanished while it was being set up`);
    const { ifindex, peerIndex } = near as Link;
    return { near: ifindex, far: peerIndex, ipv6 };
  }

  /** After a failure, whose reason must not be hidden by a pair that went by itself. */
  #takeBack(hostInterface: string): void {
    try {
      this.#host.request((out) => encodeDelLink(out, { name: hostInterface }));
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.code !== "ENODEV") throw error;
    }
  }

  /** Compiles what attach() does, without a pod. */
  warmUp(): null {
    warmUpWiring(this.#host, (request) => [
      ...hostSteps(request, LOOPBACK_INDEX),
      ...podSteps(LOOPBACK_INDEX, request),
      ...connectingSteps(request, LOOPBACK_INDEX),
    ]);
    return null;
  }

  list(): ReturnType<typeof listHostLinks> {
    return listHostLinks(this.#host);
  }

  mark(ifindex: number, alias: string): null {
    this.#host.request((out) => encodeSetLink(out, { ifindex }, { alias }), "set the alias of a host end");
    return null;
  }

  /** The index of a host end of ours; null when there is none of that name, or it belongs to somebody else. */
  find(name: string): number | null {
    const link = getLink(this.#host, { name });
    return link && isHostEnd(link) ? link.ifindex : null;
  }

  exists(ifindex: number): boolean {
    return getLink(this.#host, { ifindex }) !== null;
  }

  /**
   * Both ends' neighbour entries for a pod's interface as it is now. Returns its MAC; null: there is no such interface any
   * more, or it is not the other end of that cable.
   */
  renew(request: FollowRequest, hostIndex: number): Uint8Array | null {
    const { netns, netnsId, ifname, hostInterface, addresses } = request;
    return inNamespace(netns, netnsId, (_fd, pod) => {
      const link = getLink(pod, { name: ifname });
      if (!link || otherEnd(link) !== hostIndex || getLink(this.#host, { ifindex: hostIndex })?.name !== hostInterface)
        return null;
      this.#hostEnd = hostInterface;
      pod.onWritten = (bytes, failures) => this.#log.written(bytes, failures, { netns, nameOf: () => ifname });
      sendOrThrow(pod, gatewaySteps(link.ifindex, addresses));
      sendOrThrow(this.#host, podNeighbourSteps(hostIndex, addresses, link.mac));
      return link.mac;
    });
  }

  close(): void {
    this.#host.close();
  }

  /** False: another route is in the place of one of the host's. */
  #wire(request: AttachRequest, { near, far, ipv6 }: Pair, netnsFd: number, pod: NetlinkSocket): boolean {
    const { hostInterface, ifname, netns, addresses, alias } = request;
    const setting = (netns?: string) => (name: string, value: string) =>
      this.#log.operation({ operation: "set", object: "sysctl", name, value }, undefined, netns);
    const used = addresses.some((address) => address.length === 16);
    prepareHostEnd(hostInterface, used, ipv6, setting());
    sendOrThrow(this.#host, hostSteps(request, near));
    // The kernel leaves the other end's index out when it is the same number.
    const podIndex = far || getLink(pod, { name: ifname })?.ifindex;
    if (!podIndex) throw new Error(`${ifname} vanished while it was being set up`);
    wirePodEnd(pod, podIndex, request, () => enableIpv6Inside(netnsFd, ifname, setting(netns)));
    const refused = sendAll(this.#host, connectingSteps(request, near));
    for (const { step, error } of refused) if (step.what !== ROUTE || error.code !== "EEXIST") throw error;
    this.#host.request((out) => encodeSetLink(out, { ifindex: near }, { alias }), "set up the host end");
    return refused.length === 0;
  }

  #vethFailure(error: unknown, request: AttachRequest): unknown {
    if (!(error instanceof NetlinkError)) return error;
    if (error.code === "EEXIST") {
      if (getLink(this.#host, { name: request.hostInterface })) return new HostNameTaken(request.hostInterface);
      return new CniError(
        CniErrorCode.interfaceExists,
        `interface ${request.ifname} already exists in the pod's network namespace`,
        request.netns,
      );
    }
    if (error.code === "EINVAL" || error.code === "ERANGE")
      return new CniError(
        CniErrorCode.invalidConfig,
        `the kernel refuses an interface ${request.ifname} with MTU ${request.mtu} and MAC ${formatMac(request.mac)}`,
        error.message,
      );
    if (error.code === "EPERM")
      return new CniError(CniErrorCode.internal, "underlayd may not create interfaces: it needs CAP_NET_ADMIN");
    return new CniError(CniErrorCode.internal, `cannot create the veth pair: ${error.message}`);
  }
}

type Prepared =
  | { readonly error: unknown }
  | { readonly request: AttachRequest; readonly namespace: PodNamespace; readonly pair: Pair | null };

interface Pair {
  /** Indexes of the ends, each in its namespace; `far` 0: not known. */
  readonly near: number;
  readonly far: number;
  /** Of the host end; null: the kernel does not say. */
  readonly ipv6: Ipv6Settings | null;
}

const ROUTE = "add the host's route to the pod";

/** The host end forwards, makes no addresses up, knows its pod, and is the gateway. Nothing is asked of it by ARP. */
function hostSteps({ addresses, mac, strictSource }: AttachRequest, ifindex: number): Step[] {
  const ipv6 = addresses.some((address) => address.length === 16);
  const settings = {
    ipv4: [
      [Ipv4Setting.forwarding, 1],
      [Ipv4Setting.proxyArp, 0],
      [Ipv4Setting.arpIgnore, ANSWER_NOBODY],
      ...(strictSource ? ([[Ipv4Setting.rpFilter, STRICT]] as const) : []),
    ],
    ...(ipv6 && { ipv6Addresses: AddressGeneration.none }),
  } as const;
  const what = "set up the host end";
  return [
    { what, encode: (out) => encodeLinkSettings(out, ifindex, settings) },
    { what: "raise the host end", encode: (out) => encodeSetLink(out, { ifindex }, { up: true }) },
    ...podNeighbourSteps(ifindex, addresses, mac),
    ...(ipv6 ? [{ what, encode: (out: MessageWriter) => encodeNewAddress(out, { ...gatewayAddress, ifindex }) }] : []),
  ];
}

/**
 * With the pod's end up there is a carrier. The host end was raised before it, and drops what is sent until the kernel has
 * noticed the carrier, which it may take its time for; a look at the link (linux 6.8) makes it do so at once. A route
 * through a link without a carrier would be taken for dead where ignore_routes_with_linkdown is set.
 */
function connectingSteps({ routes }: AttachRequest, ifindex: number): Step[] {
  return [
    { what: "look at the host end", encode: (out) => encodeGetLink(out, { ifindex }) },
    ...routes.map((route) => ({
      what: ROUTE,
      encode: (out: MessageWriter) => encodeNewRoute(out, Flag.create | Flag.exclusive, { ...route, oif: ifindex }),
    })),
  ];
}

function podNeighbourSteps(ifindex: number, addresses: readonly Uint8Array[], mac: Uint8Array): Step[] {
  return addresses.map((address) => ({
    what: "set the pod's neighbour entry",
    encode: (out) => encodeNewNeighbour(out, { ifindex, address, mac }),
  }));
}
/** arp_ignore, rp_filter. */
const ANSWER_NOBODY = 8;
const STRICT = 1;

const gatewayAddress = { address: gatewayIpv6, length: 64, flags: AddressFlag.noDad, scope: Scope.link };

/** Another interface of the host has the name that was chosen: choose another. */
export class HostNameTaken extends Error {
  constructor(name: string) {
    super(`an interface ${name} of somebody else exists on the host`);
    this.name = "HostNameTaken";
  }
}

export function getLink(socket: NetlinkSocket, link: LinkSelector): Link | null {
  try {
    return socket.get((out) => encodeGetLink(out, link), decodeLink);
  } catch (error) {
    if (error instanceof NetlinkError && error.code === "ENODEV") return null;
    throw error;
  }
}

/** The index of a veth's other end; the kernel leaves it out when it is the same number. */
export function otherEnd(link: Link): number {
  return link.peerIndex || link.ifindex;
}
