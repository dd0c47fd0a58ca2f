// One pod's cable, in rtnetlink messages: a veth whose far end is created inside the pod's namespace under its final
// name, addresses as host prefixes, a link-local gateway with permanent neighbour entries on both ends.
//
// In: an AttachRequest. Out: the index of the host end, or an error and nothing left behind. Every call blocks for the
// kernel's RTNL lock: this runs in the attach worker.
import { fstatSync } from "node:fs";
import { formatAddress } from "../../net/address.ts";
import { check, native, SystemError } from "../../net/native.ts";
import { decodeAddress, encodeAddressDump, encodeNewAddress } from "../../routing/netlink/address.ts";
import {
  AddressFlag,
  Flag,
  LinkFlag,
  MessageType,
  NextHopFlag,
  RouteAttribute,
  Scope,
} from "../../routing/netlink/constants.ts";
import { NetlinkError } from "../../routing/netlink/error.ts";
import {
  decodeLink,
  encodeDelLink,
  encodeGetLink,
  encodeLinkDump,
  encodeNewVeth,
  encodeSetLink,
  type Link,
  type LinkSelector,
} from "../../routing/netlink/link.ts";
import { encodeNewNeighbour } from "../../routing/netlink/neighbour.ts";
import { decodeRoute, encodeNewRoute, encodeRouteDump, type RouteSpec } from "../../routing/netlink/route.ts";
import { NetlinkSocket } from "../../routing/netlink/socket.ts";
import type { WriteLog } from "../../routing/netlink/write-log.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import { isOurAlias } from "./alias.ts";
import { formatMac, gatewayIpv4, gatewayIpv6, HOST_MAC } from "./gateway.ts";
import type { Attached, AttachRequest, HostLink, InspectRequest } from "./messages.ts";
import { enableIpv6Inside, prepareHostEnd } from "./sysctl.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const RTPROT_BOOT = 3;
const TABLE_MAIN = 254;
const LOOPBACK_INDEX = 1;
const HOST_NAME = /^ul[0-9a-f]+$/;

export class Wiring {
  readonly #host = new NetlinkSocket();
  readonly #writeLog: WriteLog;
  /** Names of the two ends of the cable at hand, which have one index each in their namespaces. */
  #ends = { host: "", pod: "" };

  constructor(writeLog: WriteLog) {
    this.#writeLog = writeLog;
    const context = { nameOf: () => this.#ends.host };
    this.#host.onWritten = (bytes, failures) => writeLog.written(bytes, failures, context);
  }

  attach(request: AttachRequest): Attached {
    const { netns, netnsId, hostInterface, ifname, mac, mtu } = request;
    return inNamespace(netns, netnsId, (netnsFd, pod) => {
      this.#ends = { host: hostInterface, pod: ifname };
      const context = { netns, nameOf: (ifindex: number) => (ifindex === LOOPBACK_INDEX ? "lo" : this.#ends.pod) };
      pod.onWritten = (bytes, failures) => this.#writeLog.written(bytes, failures, context);
      try {
        this.#host.request((out) =>
          encodeNewVeth(out, { name: hostInterface, mac: HOST_MAC, mtu }, { name: ifname, mac, mtu, netnsFd }, false),
        );
      } catch (error) {
        throw this.#vethFailure(error, request);
      }
      try {
        return { ifindex: this.#wire(request, netnsFd, pod) };
      } catch (error) {
        this.#takeBack(hostInterface);
        throw error;
      }
    });
  }

  /** After a failure, whose reason must not be hidden by a pair that went by itself. */
  #takeBack(hostInterface: string): void {
    try {
      this.#host.request((out) => encodeDelLink(out, { name: hostInterface }));
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.code !== "ENODEV") throw error;
    }
  }

  /** Host ends that are ours by their alias, and those that have only the name of one: an attachment cut short. */
  list(): { links: HostLink[]; groups: Set<number> } {
    const groups = new Set<number>();
    const links: HostLink[] = [];
    for (const link of this.#host.dump(encodeLinkDump, decodeLink)) {
      groups.add(link.group);
      if (isHostEnd(link)) links.push({ ifindex: link.ifindex, name: link.name, alias: link.alias });
    }
    return { links, groups };
  }

  /** The index of a host end of ours; null when there is none of that name, or it belongs to somebody else. */
  find(name: string): number | null {
    const link = getLink(this.#host, { name });
    return link && isHostEnd(link) ? link.ifindex : null;
  }

  exists(ifindex: number): boolean {
    return getLink(this.#host, { ifindex }) !== null;
  }

  /** What is missing of an attachment, in words; empty when it is whole. */
  inspect(request: InspectRequest): string[] {
    const problems: string[] = [];
    const end = getLink(this.#host, { name: request.hostInterface });
    if (!end || end.alias !== request.alias) problems.push(`host interface ${request.hostInterface} is missing`);
    else {
      if ((end.flags & LinkFlag.up) === 0) problems.push(`host interface ${request.hostInterface} is down`);
      for (const address of request.addresses)
        if (this.#routeTo(address) !== end.ifindex)
          problems.push(`the host's route to ${formatAddress(address)} does not lead to ${request.hostInterface}`);
    }
    inNamespace(request.netns, request.netnsId, (_fd, pod) => inspectPod(pod, request, problems));
    return problems;
  }

  close(): void {
    this.#host.close();
  }

  #wire(request: AttachRequest, netnsFd: number, pod: NetlinkSocket): number {
    const { hostInterface, ifname, addresses, alias, mac } = request;
    const ipv6 = addresses.some((address) => address.length === 16);
    const near = getLink(this.#host, { name: hostInterface });
    const far = getLink(pod, { name: ifname });
    if (!near || !far) throw new Error(`${near ? ifname : hostInterface} vanished while it was being set up`);

    const setting = (netns?: string) => (name: string, value: string) =>
      this.#writeLog.operation({ operation: "set", object: "sysctl", name, value }, undefined, netns);
    prepareHostEnd(hostInterface, ipv6, setting());
    this.#host.request((out) => encodeSetLink(out, { ifindex: near.ifindex }, { up: true }), "raise the host end");
    pod.request((out) => {
      encodeSetLink(out, { ifindex: LOOPBACK_INDEX }, { up: true });
      encodeSetLink(out, { ifindex: far.ifindex }, { up: true });
    }, "raise the pod's interfaces");
    addPodAddresses(pod, far.ifindex, addresses, () => enableIpv6Inside(netnsFd, ifname, setting(request.netns)));
    pod.request((out) => {
      for (const gateway of gateways(addresses))
        encodeNewNeighbour(out, { ifindex: far.ifindex, address: gateway, mac: HOST_MAC });
    }, "set the gateway's neighbour entry");
    for (const route of podRoutes(far.ifindex, addresses)) addRoute(pod, route);
    this.#host.request((out) => {
      for (const address of addresses) encodeNewNeighbour(out, { ifindex: near.ifindex, address, mac });
      if (ipv6)
        encodeNewAddress(out, {
          ifindex: near.ifindex,
          address: gatewayIpv6,
          length: 64,
          flags: AddressFlag.noDad,
          scope: Scope.link,
        });
      encodeSetLink(out, { ifindex: near.ifindex }, { alias });
    }, "set up the host end");
    return near.ifindex;
  }

  #routeTo(address: Uint8Array): number | null {
    try {
      const route = this.#host.get((out) => {
        out.begin(MessageType.getRoute, 0);
        out.u8(address.length === 4 ? AF_INET : AF_INET6);
        out.u8(address.length * 8);
        out.zeros(10);
        out.attributeBytes(RouteAttribute.destination, address);
        out.end();
      }, decodeRoute);
      return route?.hops[0]?.ifindex ?? null;
    } catch (error) {
      if (error instanceof NetlinkError) return null;
      throw error;
    }
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

/** Another interface of the host has the name that was chosen: choose another. */
export class HostNameTaken extends Error {
  constructor(name: string) {
    super(`an interface ${name} of somebody else exists on the host`);
    this.name = "HostNameTaken";
  }
}

function isHostEnd(link: Link): boolean {
  return link.kind === "veth" && (link.alias === null ? HOST_NAME.test(link.name) : isOurAlias(link.alias));
}

/** Opens the namespace, checks that it is the one meant, and hands over its descriptor and a socket inside. */
export function inNamespace<T>(path: string, expectedId: string, work: (fd: number, socket: NetlinkSocket) => T): T {
  const n = native();
  const fd = n.open(path, 0);
  if (fd < 0) throw noNamespace(path, `cannot open it (${new SystemError("open", fd).code})`);
  try {
    const { dev, ino } = fstatSync(fd);
    if (expectedId !== "" && `${dev}:${ino}` !== expectedId)
      throw noNamespace(path, "another namespace has taken its place");
    let socket: NetlinkSocket;
    try {
      socket = new NetlinkSocket({ netnsFd: fd });
    } catch (error) {
      if (error instanceof SystemError && error.code === "EINVAL") throw noNamespace(path, "it is none");
      throw error;
    }
    try {
      return work(fd, socket);
    } finally {
      socket.close();
    }
  } finally {
    check(n.close(fd), "close");
  }
}

function noNamespace(path: string, why: string): CniError {
  return new CniError(CniErrorCode.invalidNetns, `CNI_NETNS is not a usable network namespace: ${why}`, path);
}

export function getLink(socket: NetlinkSocket, link: LinkSelector): Link | null {
  try {
    return socket.get((out) => encodeGetLink(out, link), decodeLink);
  } catch (error) {
    if (error instanceof NetlinkError && error.code === "ENODEV") return null;
    throw error;
  }
}

function gateways(addresses: readonly Uint8Array[]): Uint8Array[] {
  return addresses.map((address) => (address.length === 4 ? gatewayIpv4 : gatewayIpv6));
}

/** Host prefixes, usable at once: an address of ours has no duplicate, so nothing waits for detection. */
function addPodAddresses(
  pod: NetlinkSocket,
  ifindex: number,
  addresses: readonly Uint8Array[],
  enableIpv6: () => void,
): void {
  for (const address of addresses) {
    const add = () =>
      pod.request(
        (out) =>
          encodeNewAddress(out, {
            ifindex,
            address,
            length: address.length * 8,
            flags: address.length === 16 ? AddressFlag.noDad : 0,
          }),
        `add ${formatAddress(address)} to the pod`,
      );
    try {
      add();
    } catch (error) {
      if (address.length !== 16 || !(error instanceof NetlinkError) || error.code !== "EACCES") throw error;
      enableIpv6();
      add();
    }
  }
}

/** The way to the gateway, then the default route through it, per family. */
function podRoutes(ifindex: number, addresses: readonly Uint8Array[]): RouteSpec[] {
  const routes: RouteSpec[] = [];
  for (const address of addresses) {
    const family = address.length === 4 ? 4 : 6;
    const common = { table: TABLE_MAIN, protocol: RTPROT_BOOT, oif: ifindex };
    if (family === 4) routes.push({ ...common, family, destination: gatewayIpv4, length: 32, scope: Scope.link });
    routes.push({
      ...common,
      family,
      destination: null,
      length: 0,
      gateway: family === 4 ? gatewayIpv4 : gatewayIpv6,
      flags: NextHopFlag.onlink,
    });
  }
  return routes;
}

/** A route of the same destination through an earlier interface stays preferred: ours gets a higher metric. */
function addRoute(pod: NetlinkSocket, route: RouteSpec): void {
  const flags = Flag.create | Flag.exclusive;
  try {
    pod.request((out) => encodeNewRoute(out, flags, route), "add the pod's route");
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.code !== "EEXIST") throw error;
    const priority = 1024 + route.oif!;
    pod.request((out) => encodeNewRoute(out, flags, { ...route, priority }), "add the pod's route");
  }
}

function inspectPod(pod: NetlinkSocket, request: InspectRequest, problems: string[]): void {
  const link = getLink(pod, { name: request.ifname });
  if (!link) {
    problems.push(`interface ${request.ifname} is missing in the pod`);
    return;
  }
  if ((link.flags & LinkFlag.up) === 0) problems.push(`interface ${request.ifname} is down`);
  if (request.mac && formatMac(request.mac) !== formatMac(link.mac))
    problems.push(`interface ${request.ifname} has MAC ${formatMac(link.mac)} instead of ${formatMac(request.mac)}`);
  const present = new Set(
    pod
      .dump((out) => encodeAddressDump(out, 0, link.ifindex), decodeAddress)
      .filter((entry) => entry.ifindex === link.ifindex)
      .map((entry) => formatAddress(entry.local)),
  );
  for (const address of request.addresses) {
    if (!present.has(formatAddress(address)))
      problems.push(`address ${formatAddress(address)} is missing on ${request.ifname}`);
    // In any table: a later plugin of the chain may have moved it.
    const family = address.length === 4 ? 4 : 6;
    const routes = pod.dump((out) => encodeRouteDump(out, family), decodeRoute);
    if (!routes.some((route) => route.length === 0 && route.hops.some((hop) => hop.ifindex === link.ifindex)))
      problems.push(`the IPv${family} default route through ${request.ifname} is missing`);
  }
}
