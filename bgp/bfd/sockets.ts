// BFD over UDP (RFC 5881 §4, §5; RFC 5883 §4): one receiving socket per family and kind while a session needs it, one
// sending socket per session, each with a source port of its own. In: datagrams with TTL and interface as the kernel
// reports them. Out: packets with TTL 255 and DSCP CS6.
//
// IP_MINTTL does nothing on UDP, so the TTL comes with each packet and is judged by the engine, where it can be counted.
import { randomInt } from "node:crypto";
import { constants } from "node:os";
import { isLinkLocal } from "../../net/address.ts";
import { readControl } from "../../net/control-message.ts";
import { check, MSG_DONTWAIT, native, type Poll, SystemError, UV_READABLE } from "../../net/native.ts";
import {
  AF_INET,
  AF_INET6,
  bindToDevice,
  encodeSocketAddress,
  setInteger,
  setTtl,
  setV6Only,
} from "../session/socket-options.ts";
import { type Datagram, GTSM_TTL, type Outlet } from "./engine.ts";
import type { BfdPeer } from "./types.ts";

const SINGLE_HOP_PORT = 3784;
const MULTIHOP_PORT = 4784;
/** RFC 5881 §4: the range of source ports. */
const FIRST_SOURCE_PORT = 49152;
const LAST_SOURCE_PORT = 65535;
const BIND_ATTEMPTS = 64;
/** Datagrams read before timers get a turn again; after so many at once, the rest waits for a moment. */
const READ_BURST = 64;
/** Milliseconds: 32,000 packets a second are enough for a thousand sessions, and a flood gets no more of the CPU. */
const FLOOD_PAUSE = 2;
/** Most that catchUp reads: what the receive buffer holds. */
const CATCH_UP_BURST = 1024;

const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_PKTINFO = 8;
const IP_RECVTTL = 12;
const IPPROTO_IPV6 = 41;
const IPV6_RECVPKTINFO = 49;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_TCLASS = 67;
const DSCP_CS6 = 0xc0;

const { EAGAIN, ENOBUFS, EPERM } = constants.errno;

interface Receiver {
  readonly fd: number;
  readonly poll: Poll;
  readonly multihop: boolean;
  /** How many sessions it is there for; the last one to go frees the port. */
  sessions: number;
}

export class BfdSockets {
  readonly #receive: (datagram: Datagram) => void;
  readonly #receivers = new Map<string, Receiver>();
  readonly #data = new Uint8Array(128);
  readonly #name = new Uint8Array(28);
  readonly #control = new Uint8Array(128);
  readonly #controlView = new DataView(this.#control.buffer);
  readonly #out = new Int32Array(3);
  readonly #outBytes = new Uint8Array(this.#out.buffer);

  constructor(receive: (datagram: Datagram) => void) {
    this.#receive = receive;
  }

  /** Throws with what to do when the port is taken. */
  open(peer: BfdPeer): Outlet {
    const family = peer.address.length === 4 ? 4 : 6;
    const key = `${family} ${peer.multihop}`;
    const receiver = this.#receivers.get(key) ?? this.#listen(family, peer.multihop);
    this.#receivers.set(key, receiver);
    receiver.sessions++;
    return new UdpOutlet(peer, () => {
      if (--receiver.sessions > 0 || !this.#receivers.delete(key)) return;
      closeReceiver(receiver);
    });
  }

  /** Reads what has arrived by now. */
  catchUp(): void {
    for (const receiver of this.#receivers.values()) this.#read(receiver, CATCH_UP_BURST);
  }

  close(): void {
    for (const receiver of this.#receivers.values()) closeReceiver(receiver);
    this.#receivers.clear();
  }

  #listen(family: 4 | 6, multihop: boolean): Receiver {
    const system = native();
    const port = multihop ? MULTIHOP_PORT : SINGLE_HOP_PORT;
    const fd = check(system.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), "socket");
    try {
      if (family === 4) {
        setInteger(fd, IPPROTO_IP, IP_RECVTTL, 1, "IP_RECVTTL");
        setInteger(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO");
      } else {
        setV6Only(fd);
        setInteger(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1, "IPV6_RECVHOPLIMIT");
        setInteger(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO");
      }
      const address = new Uint8Array(family === 4 ? 4 : 16);
      check(system.bind(fd, encodeSocketAddress({ address, port, scope: 0 })), "bind");
      const poll = new system.Poll(fd, () => {
        if (this.#read(receiver, READ_BURST) < READ_BURST) {
          poll.start(UV_READABLE);
          return;
        }
        poll.stop();
        setTimeout(() => receiver.sessions > 0 && poll.start(UV_READABLE), FLOOD_PAUSE);
      });
      const receiver: Receiver = { fd, poll, multihop, sessions: 0 };
      check(poll.start(UV_READABLE), "poll");
      return receiver;
    } catch (error) {
      system.close(fd);
      throw explain(error, family, port);
    }
  }

  /** Returns how many it read. */
  #read({ fd, multihop }: Receiver, most: number): number {
    for (let count = 0; count < most; count++) {
      const length = native().recvmsg(fd, this.#data, this.#name, this.#control, this.#outBytes);
      if (length < 0) return count;
      const ipv4 = this.#out[0] === 16;
      const { ttl, ifindex } = readControl(this.#controlView, this.#out[1]);
      const source = ipv4 ? this.#name.slice(4, 8) : this.#name.slice(8, 24);
      this.#receive({ bytes: this.#data, length, source, ifindex, ttl, multihop });
    }
    return most;
  }
}

function closeReceiver(receiver: Receiver): void {
  receiver.sessions = 0;
  receiver.poll.close();
  native().close(receiver.fd);
}

/** Opens its socket when there is something to send, and again after an error: interfaces and addresses come and go. */
class UdpOutlet implements Outlet {
  readonly #peer: BfdPeer;
  readonly #closed: () => void;
  #fd = -1;
  #ifindex = 0;
  #sourcePort = 0;
  #destination: Uint8Array = new Uint8Array(0);

  constructor(peer: BfdPeer, closed: () => void) {
    this.#peer = peer;
    this.#closed = closed;
  }

  send(bytes: Uint8Array): number {
    if (this.#fd < 0) {
      const errno = this.#open();
      if (errno !== 0) return errno;
    }
    const result = native().sendto(this.#fd, bytes, this.#destination, MSG_DONTWAIT);
    if (result >= 0) return 0;
    if (-result !== EAGAIN && -result !== ENOBUFS && -result !== EPERM) this.#closeSocket();
    return -result;
  }

  accepts(ifindex: number): boolean {
    const { interface: device } = this.#peer;
    if (device === null || ifindex === this.#ifindex) return true;
    if (native().ifNameToIndex(device) !== ifindex) return false;
    // The interface was made anew under its old name: the socket is tied to the one that is gone.
    this.#closeSocket();
    this.#ifindex = ifindex;
    return true;
  }

  close(): void {
    this.#closeSocket();
    this.#closed();
  }

  #closeSocket(): void {
    if (this.#fd >= 0) native().close(this.#fd);
    this.#fd = -1;
  }

  /** 0, or the error's number. */
  #open(): number {
    const { address, interface: device, localAddress, multihop } = this.#peer;
    const system = native();
    const fd = system.socket(address.length === 4 ? AF_INET : AF_INET6, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
    if (fd < 0) return -fd;
    try {
      if (device !== null) {
        this.#ifindex = check(system.ifNameToIndex(device), "if_nametoindex", device);
        bindToDevice(fd, device);
      }
      setTtl(fd, address.length, GTSM_TTL);
      if (address.length === 4) setInteger(fd, IPPROTO_IP, IP_TOS, DSCP_CS6, "IP_TOS");
      else setInteger(fd, IPPROTO_IPV6, IPV6_TCLASS, DSCP_CS6, "IPV6_TCLASS");
      const scope = isLinkLocal(address) && address.length === 16 ? this.#ifindex : 0;
      this.#sourcePort = bindSource(fd, localAddress ?? new Uint8Array(address.length), scope, this.#sourcePort);
      const port = multihop ? MULTIHOP_PORT : SINGLE_HOP_PORT;
      this.#destination = encodeSocketAddress({ address, port, scope });
      this.#fd = fd;
      return 0;
    } catch (error) {
      system.close(fd);
      return error instanceof SystemError ? error.errno : constants.errno.EINVAL;
    }
  }
}

/** Binds to the port it had before, if it had one and it is free, else to a random one. Returns the port. */
function bindSource(fd: number, address: Uint8Array, scope: number, before: number): number {
  for (let attempt = 0; ; attempt++) {
    const port = attempt === 0 && before !== 0 ? before : randomInt(FIRST_SOURCE_PORT, LAST_SOURCE_PORT + 1);
    const result = native().bind(fd, encodeSocketAddress({ address, port, scope }));
    if (result >= 0) return port;
    if (-result !== constants.errno.EADDRINUSE || attempt === BIND_ATTEMPTS) throw new SystemError("bind", result);
  }
}

function explain(error: unknown, family: 4 | 6, port: number): Error {
  if (!(error instanceof SystemError) || error.code !== "EADDRINUSE") return error as Error;
  return new Error(
    `cannot receive BFD on UDP port ${port} (IPv${family}): the port is in use, probably by another BFD daemon ` +
      `(see: ss -lunp 'sport = :${port}'); stop that one, or remove bfd from the peers`,
    { cause: error },
  );
}
