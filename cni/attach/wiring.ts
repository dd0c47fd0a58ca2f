// One pod's cable, in rtnetlink messages: a veth whose far end is created inside the pod's namespace under its final
// name, addresses as host prefixes, a link-local gateway with permanent neighbour entries on both ends.
//
// In: an AttachRequest. Out: the index of the host end, or an error and nothing left behind. Every call blocks for the
// kernel's RTNL lock: this runs in the attach worker.
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
import { decodeIpv6Settings, type Ipv6Settings } from "../../routing/netlink/link-settings.ts";
import { NetlinkSocket } from "../../routing/netlink/socket.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import { type Encoded, encode, sendEncoded, sendOrThrow } from "./batch.ts";
import { formatMac, HOST_MAC } from "./gateway.ts";
import { connectingSteps, hostSteps, podNeighbourSteps, ROUTE } from "./host-end.ts";
import { isHostEnd, listHostLinks } from "./host-links.ts";
import type { LaterLog } from "./later-log.ts";
import type { Attached, AttachRequest, FollowRequest } from "./messages.ts";
import { gatewaySteps, LOOPBACK_INDEX, podSteps, raiseSteps, wirePodEnd } from "./pod-end.ts";
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
   * The first half of an attachment: both ends, up, and nothing yet that a pod could use; what follows is encoded, so
   * that it takes no longer than the kernel does. Returns the index of the host end; null: something is in the way,
   * which is thrown by complete(). That has to follow in any case, or abandon().
   */
  prepare(request: AttachRequest): number | null {
    const { netns, netnsId, hostInterface, ifname } = request;
    this.abandon(hostInterface);
    let made = false;
    try {
      const namespace = openNamespace(netns, netnsId);
      this.#prepared.set(hostInterface, { request, namespace, cable: null });
      this.#hostEnd = hostInterface;
      const context = { netns, nameOf: (ifindex: number) => (ifindex === LOOPBACK_INDEX ? "lo" : ifname) };
      namespace.socket.onWritten = (bytes, failures) => this.#log.written(bytes, failures, context);
      const pair = this.#createPair(request, namespace.fd);
      made = true;
      this.#prepared.set(hostInterface, { request, namespace, cable: this.#raise(request, pair, namespace.socket) });
      return pair.near;
    } catch (error) {
      this.abandon(hostInterface);
      this.#prepared.set(hostInterface, { error: made ? this.#afterTakingBack(hostInterface, error) : error });
      return null;
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
    const { request, namespace, cable } = prepared;
    this.#hostEnd = hostInterface;
    try {
      const routed = this.#wire(request, cable!, namespace);
      return { request, attached: { ifindex: cable!.near, routed } };
    } catch (error) {
      throw this.#afterTakingBack(hostInterface, error);
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

  /** The error that there is to be told: `reason`, which a pair that went by itself must not hide; or why the pair stays. */
  #afterTakingBack(hostInterface: string, reason: unknown): unknown {
    try {
      this.#host.request((out) => encodeDelLink(out, { name: hostInterface }));
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.code !== "ENODEV") return error;
    }
    return reason;
  }

  /** Compiles what attach() does, without a pod. */
  warmUp(): null {
    warmUpWiring(this.#host, (request) => [
      ...hostSteps(request, LOOPBACK_INDEX),
      ...raiseSteps(LOOPBACK_INDEX),
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

  #raise(request: AttachRequest, { near, far, ipv6 }: Pair, pod: NetlinkSocket): Cable {
    const { hostInterface, ifname, addresses } = request;
    const used = addresses.some((address) => address.length === 16);
    prepareHostEnd(hostInterface, used, ipv6, this.#setting());
    sendOrThrow(this.#host, hostSteps(request, near));
    // The kernel leaves the other end's index out when it is the same number.
    const podIndex = far || getLink(pod, { name: ifname })?.ifindex;
    if (!podIndex) throw new Error(`${ifname} vanished while it was being set up`);
    sendOrThrow(pod, raiseSteps(podIndex));
    return {
      near,
      podEnd: encode(pod, podSteps(podIndex, request)),
      connection: encode(this.#host, connectingSteps(request, near)),
    };
  }

  /** False: another route is in the place of one of the host's. */
  #wire({ ifname, netns, alias }: AttachRequest, cable: Cable, { fd, socket }: PodNamespace): boolean {
    wirePodEnd(socket, cable.podEnd, () => enableIpv6Inside(fd, ifname, this.#setting(netns)));
    const refused = sendEncoded(this.#host, cable.connection);
    for (const { step, error } of refused) if (step.what !== ROUTE || error.code !== "EEXIST") throw error;
    this.#host.request((out) => encodeSetLink(out, { ifindex: cable.near }, { alias }), "set up the host end");
    return refused.length === 0;
  }

  #setting(netns?: string): (name: string, value: string) => void {
    return (name, value) => this.#log.operation({ operation: "set", object: "sysctl", name, value }, undefined, netns);
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
  | { readonly request: AttachRequest; readonly namespace: PodNamespace; readonly cable: Cable | null };

/** Both ends are there and up. */
interface Cable {
  /** Index of the host end. */
  readonly near: number;
  /** What is sent when the addresses are on disk. */
  readonly podEnd: Encoded;
  readonly connection: Encoded;
}

interface Pair {
  /** Indexes of the ends, each in its namespace; `far` 0: not known. */
  readonly near: number;
  readonly far: number;
  /** Of the host end; null: the kernel does not say. */
  readonly ipv6: Ipv6Settings | null;
}

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
