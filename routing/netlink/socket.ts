// A NETLINK_ROUTE socket for requests: encoded messages in, acknowledgements and dumps out. Everything is synchronous,
// because a netlink request executes in its caller's context: the answer is queued when send() returns. A caller that
// must not wait for the kernel's RTNL lock uses this from a worker thread.
//
// Strict checking (dump filters work, unknown attributes are refused), extended acknowledgements (the kernel's words),
// and short acknowledgements (a failing batch must fit the receive buffer).
import { constants } from "node:os";
import { check, errnoName, MSG_DONTWAIT, native, SystemError } from "../../net/native.ts";
import { Attributes, LITTLE } from "./attribute.ts";
import { AF_NETLINK, Flag, MessageType } from "./constants.ts";
import { kernelWords, type MessageFailure, NetlinkError } from "./error.ts";
import { MessageWriter, messageView, readMessage } from "./message.ts";

const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const EXTENDED_MESSAGE = 1;

/** An answer is there when send() returns; only a kernel that lost it makes us wait, and then not for ever. */
const RECEIVE_TIMEOUT_SECONDS = 2;
const DUMP_ATTEMPTS = 8;
const RECEIVE_CHUNK = 64 * 1024;

export interface NetlinkSocketOptions {
  /** Descriptor of another network namespace to open the socket in. */
  readonly netnsFd?: number;
  /** Of the thread's own namespace, to come back to; absent: it is looked up. */
  readonly selfNetnsFd?: number;
  /** Where messages are built and answers read: sockets that are used one after the other may share them. */
  readonly buffers?: NetlinkBuffers;
  /** Bytes of receive buffer; an overrun needs more than this unread. */
  readonly receiveBuffer?: number;
  /** Multicast groups to join; the socket then does not block. */
  readonly groups?: readonly number[];
  /** NETLINK_*; NETLINK_ROUTE unless said. */
  readonly protocol?: number;
}

export interface NetlinkBuffers {
  readonly out: MessageWriter;
  readonly input: Buffer;
}

export function netlinkBuffers(): NetlinkBuffers {
  return { out: new MessageWriter(), input: Buffer.allocUnsafeSlow(RECEIVE_CHUNK) };
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  if (LITTLE) bytes.writeInt32LE(value);
  else bytes.writeInt32BE(value);
  return bytes;
}

/** An open, bound NETLINK_ROUTE descriptor with our options. The caller closes it. */
export function openNetlink(options: NetlinkSocketOptions = {}): { fd: number; portId: number } {
  const n = native();
  const type = SOCK_RAW | SOCK_CLOEXEC;
  const { protocol = NETLINK_ROUTE } = options;
  let fd: number;
  if (options.netnsFd === undefined) fd = n.socket(AF_NETLINK, type, protocol);
  else {
    const known = options.selfNetnsFd;
    const self = known ?? check(n.open("/proc/thread-self/ns/net", 0), "open", "/proc/thread-self/ns/net");
    fd = n.socketIn(options.netnsFd, self, AF_NETLINK, type, protocol);
    if (known === undefined) n.close(self);
  }
  check(fd, "socket", protocol === NETLINK_ROUTE ? "NETLINK_ROUTE" : `netlink protocol ${protocol}`);
  try {
    const size = int32(options.receiveBuffer ?? 8 << 20);
    // Without CAP_NET_ADMIN in the first user namespace the size is capped by net.core.rmem_max.
    if (n.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size) < 0) n.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, size);
    for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK])
      check(n.setsockopt(fd, SOL_NETLINK, option, int32(1)), "setsockopt", "SOL_NETLINK");
    const timeout = Buffer.alloc(16);
    if (LITTLE) timeout.writeUInt32LE(RECEIVE_TIMEOUT_SECONDS);
    else timeout.writeBigUInt64BE(BigInt(RECEIVE_TIMEOUT_SECONDS));
    check(n.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout), "setsockopt", "SO_RCVTIMEO");
    const address = Buffer.alloc(12); // struct sockaddr_nl { family u16, pad u16, pid u32, groups u32 }
    if (LITTLE) address.writeUInt16LE(AF_NETLINK);
    else address.writeUInt16BE(AF_NETLINK);
    check(n.bind(fd, address), "bind", "NETLINK_ROUTE");
    for (const group of options.groups ?? [])
      check(n.setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, int32(group)), "setsockopt", `group ${group}`);
    check(n.getsockname(fd, address), "getsockname");
    return { fd, portId: LITTLE ? address.readUInt32LE(4) : address.readUInt32BE(4) };
  } catch (error) {
    n.close(fd);
    throw error;
  }
}

/** What a dump calls for each message; the offsets are of the message's body. */
export type MessageHandler = (buffer: Buffer, start: number, end: number, type: number) => void;

export class NetlinkSocket {
  /** Encode messages here, then flush(). */
  readonly out: MessageWriter;
  readonly portId: number;
  /** Told of everything that flush() has written: whole messages, and which of them failed. */
  onWritten: ((bytes: Buffer, failures: readonly MessageFailure[]) => void) | null = null;
  readonly #fd: number;
  readonly #input: Buffer;
  readonly #message = messageView();
  readonly #attributes = new Attributes(EXTENDED_MESSAGE);
  #closed = false;
  /** Answers to something earlier may be in the receive buffer, or a dump under way. */
  #leftovers = false;

  /** Null: no socket, and flush() sends nothing, as if all had succeeded. */
  constructor(options: NetlinkSocketOptions | null = {}) {
    const { out, input } = options?.buffers ?? netlinkBuffers();
    this.out = out;
    this.#input = input;
    const opened = options ? openNetlink(options) : { fd: -1, portId: 0 };
    this.#fd = opened.fd;
    this.portId = opened.portId;
  }

  /**
   * Sends everything in `out` with one system call and reads every acknowledgement. The messages are independent: one
   * that fails does not stop those after it. Throws when the answers themselves cannot be had (ENOBUFS, EAGAIN): the
   * outcome is unknown then, and the caller has to look at the kernel's state. `handler` is given what get requests among
   * them are answered with.
   */
  flush(handler?: MessageHandler): readonly MessageFailure[] {
    const { out } = this;
    if (out.count === 0) return [];
    out.flagLast(Flag.ack);
    const first = out.firstSequence;
    const count = out.count;
    const bytes = out.buffer;
    this.#clear();
    try {
      if (this.#fd >= 0) this.#send(bytes);
    } finally {
      out.reset();
    }
    const failures = this.#fd >= 0 ? this.#readAcknowledgements(first, count, handler) : [];
    this.onWritten?.(bytes, failures);
    return failures;
  }

  /** Encodes and sends one or more messages; throws NetlinkError for the first one that fails. */
  request(encode: (out: MessageWriter) => void, what = ""): void {
    this.out.reset();
    encode(this.out);
    const [failure] = this.flush();
    if (failure) throw new NetlinkError(what, failure.errno, failure.text);
  }

  /**
   * Sends a netfilter batch (encodeBatch) and throws NetlinkError for the first message that failed: nothing has been done
   * then. The last message but one is the last to be answered; a batch that is not taken at all is answered once.
   */
  batch(encode: (out: MessageWriter) => void, what = ""): void {
    this.out.reset();
    encode(this.out);
    const first = this.out.firstSequence;
    const count = this.out.count - 1;
    const bytes = this.out.buffer;
    this.#clear();
    try {
      this.#send(bytes);
    } finally {
      this.out.reset();
    }
    const [failure] = this.#readAcknowledgements(first, count, undefined, true);
    if (failure) throw new NetlinkError(what, failure.errno, failure.text);
  }

  /** Sends one get request that answers with a single message. */
  get<T>(
    encode: (out: MessageWriter) => void,
    decode: (buffer: Buffer, start: number, end: number) => T | null,
    what = "",
  ): T | null {
    let result: T | null = null;
    this.out.reset();
    encode(this.out);
    this.out.flagLast(Flag.ack);
    const [failure] = this.#exchange((buffer, start, end) => {
      result = decode(buffer, start, end);
    });
    if (failure) throw new NetlinkError(what, failure.errno, failure.text);
    return result;
  }

  /**
   * A whole dump as values. Repeats it while the kernel reports that it changed under way; throws EINTR when it does so each
   * time, because what is absent from such a dump may yet be there.
   */
  dump<T>(encode: (out: MessageWriter) => void, decode: (buffer: Buffer, start: number, end: number) => T | null): T[] {
    const { values, consistent } = this.dumpLoosely(encode, decode);
    if (consistent) return values;
    throw new NetlinkError("dump", constants.errno.EINTR, `EINTR: changed under way ${DUMP_ATTEMPTS} times in a row`);
  }

  /** As dump(), but with what there is after the last attempt: `consistent` false means that something may be missing. */
  dumpLoosely<T>(
    encode: (out: MessageWriter) => void,
    decode: (buffer: Buffer, start: number, end: number) => T | null,
  ): { values: T[]; consistent: boolean } {
    for (let attempt = 1; ; attempt++) {
      const values: T[] = [];
      const consistent = this.dumpEach(encode, (buffer, start, end) => {
        const value = decode(buffer, start, end);
        if (value !== null) values.push(value);
      });
      if (consistent || attempt === DUMP_ATTEMPTS) return { values, consistent };
    }
  }

  /** One pass of a dump, message by message; false when it was interrupted by a change and may have missed something. */
  dumpEach(encode: (out: MessageWriter) => void, handler: MessageHandler): boolean {
    const pass = this.beginDump(encode);
    while (!pass.read(handler));
    return pass.consistent;
  }

  /** Starts a dump that the caller reads datagram by datagram. Nothing else may use the socket until it is done. */
  beginDump(encode: (out: MessageWriter) => void): DumpPass {
    this.out.reset();
    encode(this.out);
    const sequence = this.out.firstSequence;
    const bytes = this.out.buffer;
    this.#clear();
    this.#send(bytes);
    this.out.reset();
    this.#leftovers = true;
    const input = this.#input;
    const message = this.#message;
    const pass: DumpPass = {
      consistent: true,
      read: (handler) => {
        const limit = this.#receive();
        for (let offset = 0; offset < limit; ) {
          offset = readMessage(input, offset, limit, message);
          if (offset < 0) break;
          if (message.sequence !== sequence) continue;
          if (message.flags & Flag.dumpInterrupted) pass.consistent = false;
          if (message.type === MessageType.error || message.type === MessageType.done) {
            this.#leftovers = false;
            const failure = this.#failure(0);
            if (failure && failure.errno !== 0) throw new NetlinkError("dump", failure.errno, failure.text);
            return true;
          }
          handler(input, message.body, message.end, message.type);
        }
        return false;
      },
    };
    return pass;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#fd >= 0) native().close(this.#fd);
  }

  #send(bytes: Buffer): void {
    const sent = check(native().send(this.#fd, bytes, bytes.length, 0), "send", "netlink");
    if (sent === bytes.length) return;
    // The rest will not be answered.
    this.#leftovers = true;
    throw new SystemError("send", -constants.errno.EIO, `netlink: ${sent} of ${bytes.length} bytes taken`);
  }

  #exchange(handler: MessageHandler): readonly MessageFailure[] {
    const first = this.out.firstSequence;
    const bytes = this.out.buffer;
    const count = this.out.count;
    this.#clear();
    try {
      this.#send(bytes);
    } finally {
      this.out.reset();
    }
    return this.#readAcknowledgements(first, count, handler);
  }

  #readAcknowledgements(
    first: number,
    count: number,
    handler?: MessageHandler,
    stopAtFirst = false,
  ): readonly MessageFailure[] {
    const message = this.#message;
    let failures: MessageFailure[] | null = null;
    for (;;) {
      const limit = this.#receive();
      for (let offset = 0; offset < limit; ) {
        offset = readMessage(this.#input, offset, limit, message);
        if (offset < 0) break;
        const index = (message.sequence - first) >>> 0;
        if (index >= count) continue; // an answer to something earlier whose reader gave up
        if (message.type !== MessageType.error) {
          handler?.(this.#input, message.body, message.end, message.type);
          continue;
        }
        const failure = this.#failure(index);
        if (failure && failure.errno !== 0) {
          failures ??= [];
          failures.push(failure);
          // Of a batch: perhaps the only answer there is.
          if (index === 0 && stopAtFirst) {
            this.#leftovers = true;
            return failures;
          }
        }
        if (index === count - 1) return failures ?? [];
      }
    }
  }

  /** The error code and words of the NLMSG_ERROR or NLMSG_DONE in `#message`; null when it carries none. */
  #failure(index: number): MessageFailure | null {
    const { body, end, flags, type } = this.#message;
    const input = this.#input;
    if (end - body < 4) return null;
    const errno = -(LITTLE ? input.readInt32LE(body) : input.readInt32BE(body));
    if (errno <= 0) return { index, errno: 0, text: "" };
    let text: string | null = null;
    if (flags & Flag.ackAttributes) {
      let at = body + 4;
      if (type === MessageType.error && at + 16 <= end)
        at += flags & Flag.capped ? 16 : LITTLE ? input.readUInt32LE(at) : input.readUInt32BE(at);
      text = this.#attributes.parse(input, at, end).text(EXTENDED_MESSAGE);
    }
    return { index, errno, text: kernelWords(errno, text) };
  }

  /**
   * Reads away what a failure has left, so that the next answers fit and no dump is in the way of the next one (EBUSY). A
   * dump that was given up is read to its end.
   */
  #clear(): void {
    if (!this.#leftovers) return;
    for (;;) {
      const length = native().recv(this.#fd, this.#input, MSG_TRUNC | MSG_DONTWAIT);
      if (length >= 0 || length === -constants.errno.ENOBUFS) continue;
      if (length === -constants.errno.EAGAIN) {
        this.#leftovers = false;
        return;
      }
      throw new SystemError("recv", length, `netlink: ${errnoName(length)}`);
    }
  }

  #receive(): number {
    const length = native().recv(this.#fd, this.#input, MSG_TRUNC);
    if (length < 0) this.#leftovers = true;
    if (length === -constants.errno.EAGAIN)
      throw new SystemError("recv", length, `no answer from the kernel within ${RECEIVE_TIMEOUT_SECONDS} s`);
    if (length < 0) throw new SystemError("recv", length, `netlink: ${errnoName(length)}`);
    if (length > this.#input.length)
      throw new SystemError("recv", -constants.errno.EMSGSIZE, `netlink datagram of ${length} bytes`);
    return length;
  }
}

/** A dump under way. */
export interface DumpPass {
  /** False once the kernel said that what is dumped changed under way. */
  consistent: boolean;
  /** Reads one datagram; true when the dump is complete. Throws NetlinkError when the kernel refuses it. */
  read(handler: MessageHandler): boolean;
}
