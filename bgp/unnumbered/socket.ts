// A raw ICMPv6 socket on one interface, for Neighbor Discovery (RFC 3542 §3.1-3.3, §6). In: octets and a destination. Out:
// packets with source and hop limit. The kernel computes and verifies checksums, and picks our link-local address as the
// source of what goes to a link-local destination.
//
// At most READ_BURST packets are read before everything else gets its turn, and after so many at once comes a pause: a
// flood on one link is lost in that link's receive buffer.
import { endianness } from "node:os";
import { readControl } from "../../net/control-message.ts";
import { check, errnoName, MSG_DONTWAIT, native, type Poll, SystemError, UV_READABLE } from "../../net/native.ts";
import { AF_INET6, bindToDevice, encodeSocketAddress, setInteger, setTtl } from "../session/socket-options.ts";
import { ALL_NODES, ALL_ROUTERS, ND_HOP_LIMIT, NdType } from "./message.ts";
import type { OpenOutlet, Outlet } from "./types.ts";

const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const IPPROTO_IPV6 = 41;
const IPV6_MULTICAST_IF = 17;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_JOIN_GROUP = 20;
const IPV6_RECVHOPLIMIT = 51;
const IPPROTO_ICMPV6 = 58;
const ICMP6_FILTER = 1;

const READ_BURST = 32;
const FLOOD_PAUSE = 20;

const little = endianness() === "LE";
const accepted = [NdType.ROUTER_SOLICITATION, NdType.ROUTER_ADVERTISEMENT, NdType.NEIGHBOR_ADVERTISEMENT];

export const openOutlet: OpenOutlet = (device, ifindex, receive): Outlet => {
  const system = native();
  const fd = open(device, ifindex);
  const data = new Uint8Array(2048);
  const name = new Uint8Array(28);
  const control = new Uint8Array(128);
  const controlView = new DataView(control.buffer);
  const out = new Int32Array(3);
  const outBytes = new Uint8Array(out.buffer);
  let closed = false;

  const read = (): boolean => {
    for (let count = 0; count < READ_BURST; count++) {
      const length = system.recvmsg(fd, data, name, control, outBytes);
      if (length < 0) return false;
      const { ttl } = readControl(controlView, out[1]);
      receive({ bytes: data, length, source: name.slice(8, 24), hopLimit: ttl });
      if (closed) return false;
    }
    return true;
  };
  const poll: Poll = new system.Poll(fd, () => {
    const more = read();
    if (closed) return;
    if (!more) {
      // A failed read (the interface is gone) may have stopped the watcher.
      poll.start(UV_READABLE);
      return;
    }
    poll.stop();
    setTimeout(() => closed || poll.start(UV_READABLE), FLOOD_PAUSE);
  });
  check(poll.start(UV_READABLE), "poll");
  return {
    send(message, to) {
      if (closed) return 0;
      const destination = encodeSocketAddress({ address: to, port: 0, scope: ifindex });
      const result = system.sendto(fd, message, destination, MSG_DONTWAIT);
      return result < 0 ? -result : 0;
    },
    close() {
      if (closed) return;
      closed = true;
      poll.close();
      system.close(fd);
    },
  };
};

function open(device: string, ifindex: number): number {
  const system = native();
  const result = system.socket(AF_INET6, SOCK_RAW_NONBLOCK_CLOEXEC, IPPROTO_ICMPV6);
  if (errnoName(result) === "EPERM" && result < 0)
    throw new Error(
      `cannot find neighbours on ${device}: a raw ICMPv6 socket needs CAP_NET_RAW; run as root or grant it`,
    );
  const fd = check(result, "socket", "ICMPv6");
  try {
    bindToDevice(fd, device);
    check(system.setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, passOnly(accepted)), "setsockopt", "ICMP6_FILTER");
    setInteger(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1, "IPV6_RECVHOPLIMIT");
    setTtl(fd, 16, ND_HOP_LIMIT);
    setInteger(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ND_HOP_LIMIT, "IPV6_MULTICAST_HOPS");
    setInteger(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0, "IPV6_MULTICAST_LOOP");
    setInteger(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, ifindex, "IPV6_MULTICAST_IF");
    for (const group of [ALL_NODES, ALL_ROUTERS])
      check(system.setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, membership(group, ifindex)), "setsockopt", "join");
    return fd;
  } catch (error) {
    system.close(fd);
    const reason = error instanceof SystemError ? error.message : String(error);
    throw new Error(`cannot find neighbours on ${device}: ${reason}`, { cause: error });
  }
}

/** struct icmp6_filter: a bit that is set blocks its type. */
function passOnly(types: readonly number[]): Uint8Array {
  const words = new DataView(new ArrayBuffer(32));
  for (let word = 0; word < 8; word++) {
    let bits = 0xffffffff;
    for (const type of types) if (type >> 5 === word) bits &= ~(1 << (type & 31));
    words.setUint32(word * 4, bits >>> 0, little);
  }
  return new Uint8Array(words.buffer);
}

/** struct ipv6_mreq. */
function membership(group: Uint8Array, ifindex: number): Uint8Array {
  const bytes = new Uint8Array(20);
  bytes.set(group);
  new DataView(bytes.buffer).setUint32(16, ifindex, little);
  return bytes;
}
