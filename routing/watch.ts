// What happens in the kernel without us: notifications as they come, with the port of the socket that asked for the change.
//
// A classic BPF program in the kernel keeps out what nobody here has use for. For routes, rules, links, addresses and
// settings that is what we caused ourselves (by the port id of our writing socket) and other programs' routes in the
// host's own tables, which are none of our business: a host with a full table in `main` does not wake us. For neighbours
// it is everything but those that answer or do not. When the receive buffer overruns, libuv stops the watcher with a
// negative status: it is started again, recv() reports ENOBUFS once, and the owner is told that something was missed.
import { constants } from "node:os";
import { errnoName, MSG_DONTWAIT, native, type Poll, UV_READABLE } from "../net/native.ts";
import { LITTLE } from "./netlink/attribute.ts";
import { Group, MessageType, NeighbourState, RT_TABLE_LOCAL, RT_TABLE_MAIN } from "./netlink/constants.ts";
import { messageView, readMessage } from "./netlink/message.ts";
import { openNetlink } from "./netlink/socket.ts";

const AF_BRIDGE = 7;
/** Datagrams per turn of the event loop; the descriptor stays readable for the rest. */
const DATAGRAMS_PER_TURN = 512;

export interface WatchHandlers {
  /** One message's body. `portId`: of the socket that asked for the change; 0: the kernel itself. */
  message(buffer: Buffer, start: number, end: number, type: number, portId: number): void;
  /** A batch of messages has been handed over. */
  turn(): void;
  /** Notifications were lost. */
  overrun(): void;
  /** The socket failed for another reason than an overrun. */
  error(text: string): void;
}

export interface WatchOptions {
  readonly receiveBuffer: number;
  /** RTNLGRP_*. */
  readonly groups: readonly number[];
  readonly filter: Uint8Array;
  /** NETLINK_*; NETLINK_ROUTE unless said. */
  readonly protocol?: number;
}

/** All that changes how packets are routed. */
export const routingGroups: readonly number[] = Object.values(Group).filter((group) => group !== Group.neighbour);

export class KernelWatch {
  readonly #fd: number;
  readonly #poll: Poll;
  readonly #handlers: WatchHandlers;
  readonly #buffer = Buffer.allocUnsafeSlow(64 * 1024);
  readonly #message = messageView();
  #closed = false;

  constructor(options: WatchOptions, handlers: WatchHandlers) {
    this.#handlers = handlers;
    const { receiveBuffer, groups, protocol } = options;
    this.#fd = openNetlink({ receiveBuffer, groups, ...(protocol !== undefined && { protocol }) }).fd;
    native().attachFilter(this.#fd, options.filter);
    this.#poll = new (native().Poll)(this.#fd, (status) => this.#readable(status));
    this.#poll.start(UV_READABLE);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.close();
    native().close(this.#fd);
  }

  #readable(status: number): void {
    if (this.#closed) return;
    if (status < 0) this.#poll.start(UV_READABLE);
    for (let i = 0; i < DATAGRAMS_PER_TURN; i++) {
      const length = native().recv(this.#fd, this.#buffer, MSG_DONTWAIT);
      if (length === -constants.errno.EAGAIN) break;
      if (length === -constants.errno.ENOBUFS) {
        this.#handlers.overrun();
        continue;
      }
      if (length < 0) {
        this.#handlers.error(`kernel notifications: ${errnoName(length)}`);
        break;
      }
      for (let offset = 0; offset >= 0 && offset < length; ) {
        offset = readMessage(this.#buffer, offset, length, this.#message);
        if (offset < 0) break;
        const { body, end, type, portId } = this.#message;
        this.#handlers.message(this.#buffer, body, end, type, portId);
      }
      if (this.#closed) return;
    }
    this.#handlers.turn();
  }
}

// Classic BPF: struct sock_filter { code u16, jt u8, jf u8, k u32 }; loads convert from network order.
const LOAD_WORD = 0x20;
const LOAD_HALF = 0x28;
const LOAD_BYTE = 0x30;
const JUMP_EQUAL = 0x15;
const JUMP_SET = 0x45;
const RETURN = 0x06;

function word(value: number): number {
  if (!LITTLE) return value;
  return Buffer.from([value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24]).readUInt32BE();
}

function half(value: number): number {
  return LITTLE ? ((value & 255) << 8) | (value >>> 8) : value;
}

/** For `routingGroups`. `ignorePortId`: what this port caused is dropped in the kernel; null: nobody's is. */
export function routingFilter(ignorePortId: number | null, protocol: number): Uint8Array {
  // Offsets: nlmsg_type 4, nlmsg_pid 12, rtm_table 20, rtm_protocol 21. Port 0 is the kernel and never ours.
  const port = ignorePortId === null ? 0xffffffff : word(ignorePortId);
  return assemble([
    [LOAD_WORD, 0, 0, 12],
    [JUMP_EQUAL, 9, 0, port],
    [LOAD_HALF, 0, 0, 4],
    [JUMP_EQUAL, 1, 0, half(MessageType.newRoute)],
    [JUMP_EQUAL, 0, 5, half(MessageType.delRoute)],
    [LOAD_BYTE, 0, 0, 21],
    [JUMP_EQUAL, 3, 0, protocol],
    [LOAD_BYTE, 0, 0, 20],
    [JUMP_EQUAL, 2, 0, RT_TABLE_MAIN],
    [JUMP_EQUAL, 1, 0, RT_TABLE_LOCAL],
    [RETURN, 0, 0, 0xffffffff],
    [RETURN, 0, 0, 0],
  ]);
}

/** For Group.neighbour: IP neighbours that were found to answer, or not to. */
export function neighbourFilter(): Uint8Array {
  const { failed, reachable, stale, noarp, permanent } = NeighbourState;
  // Offsets: nlmsg_type 4, ndm_family 16, ndm_state 24.
  return assemble([
    [LOAD_HALF, 0, 0, 4],
    [JUMP_EQUAL, 0, 5, half(MessageType.newNeighbour)],
    [LOAD_BYTE, 0, 0, 16],
    [JUMP_EQUAL, 3, 0, AF_BRIDGE],
    [LOAD_HALF, 0, 0, 24],
    [JUMP_SET, 0, 1, half(failed | reachable | stale | noarp | permanent)],
    [RETURN, 0, 0, 0xffffffff],
    [RETURN, 0, 0, 0],
  ]);
}

/** Everything but what this port caused. */
export function foreignFilter(ignorePortId: number): Uint8Array {
  return assemble([
    [LOAD_WORD, 0, 0, 12],
    [JUMP_EQUAL, 0, 1, word(ignorePortId)],
    [RETURN, 0, 0, 0],
    [RETURN, 0, 0, 0xffffffff],
  ]);
}

function assemble(program: readonly (readonly [code: number, jt: number, jf: number, k: number])[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(program.length * 8));
  program.forEach(([code, jt, jf, k], i) => {
    bytes.setUint16(i * 8, code, LITTLE);
    bytes.setUint8(i * 8 + 2, jt);
    bytes.setUint8(i * 8 + 3, jf);
    bytes.setUint32(i * 8 + 4, k, LITTLE);
  });
  return new Uint8Array(bytes.buffer);
}
