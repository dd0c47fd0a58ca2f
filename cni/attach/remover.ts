// Takes host ends away. The kernel unlists a veth at once but answers the request only after a grace period of 15 ms or
// more, so the requests wait on the thread pool and a removal counts as done when the kernel announces it (RTM_DELLINK):
// then no lookup finds the link or a route through it. Removals that gather meanwhile leave together, as one interface
// group. The same announcements tell of host ends that went because their pod's namespace did.
import { constants } from "node:os";
import { MSG_DONTWAIT, native, SystemError, UV_READABLE } from "../../net/native.ts";
import { spareThreads } from "../../net/thread-pool.ts";
import { LITTLE } from "../../routing/netlink/attribute.ts";
import { Flag, Group, MessageType } from "../../routing/netlink/constants.ts";
import { decodeLink, encodeDelLink, encodeDelLinkGroup, encodeSetLink } from "../../routing/netlink/link.ts";
import { MessageWriter, messageView, readMessage } from "../../routing/netlink/message.ts";
import { openNetlink } from "../../routing/netlink/socket.ts";
import { deletionsOnly } from "./link-filters.ts";

interface Removal {
  readonly ifindex: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export interface RemoverOptions {
  /** An interface group that no link is in. */
  readonly group: number;
  /** Is a link of this index still there? */
  readonly exists: (ifindex: number) => boolean;
  /** A known host end went without being asked to. */
  readonly onGone: (name: string) => void;
  /** A known host end went, for whatever reason. */
  readonly onForgotten: (ifindex: number) => void;
  /** A removal that was asked for has succeeded, or has failed for this reason. */
  readonly onRemoved: (name: string, error?: string) => void;
}

export class Remover {
  readonly #options: RemoverOptions;
  /** Host ends by index. */
  readonly #known = new Map<number, string>();
  readonly #removing = new Map<number, Removal[]>();
  readonly #idle: number[] = [];
  readonly #monitorFd: number;
  readonly #monitor: { close(): void; start(events: number): number };
  readonly #input = Buffer.allocUnsafeSlow(64 * 1024);
  #queue: number[] = [];

  constructor(options: RemoverOptions) {
    this.#options = options;
    const n = native();
    for (let i = 0; i < spareThreads(); i++) this.#idle.push(openNetlink().fd);
    this.#monitorFd = openNetlink({ groups: [Group.link] }).fd;
    n.attachFilter(this.#monitorFd, deletionsOnly());
    this.#monitor = new n.Poll(this.#monitorFd, (status) => this.#onReadable(status));
    this.#monitor.start(UV_READABLE);
  }

  /** A host end to watch. */
  watch(ifindex: number, name: string): void {
    this.#known.set(ifindex, name);
  }

  indexOf(name: string): number | null {
    for (const [ifindex, known] of this.#known) if (known === name) return ifindex;
    return null;
  }

  /** Resolves when no lookup finds the link any more; at once when there is none. */
  remove(ifindex: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = this.#removing.get(ifindex);
      if (waiting) {
        waiting.push({ ifindex, resolve, reject });
        return;
      }
      this.#removing.set(ifindex, [{ ifindex, resolve, reject }]);
      this.#queue.push(ifindex);
      // All removals that arrive in this turn of the loop leave together.
      if (this.#queue.length === 1) setImmediate(() => this.#next());
    });
  }

  close(): void {
    this.#monitor.close();
    native().close(this.#monitorFd);
    for (const fd of this.#idle) native().close(fd);
  }

  #next(): void {
    if (this.#queue.length === 0 || this.#idle.length === 0) return;
    void this.#send(this.#idle.pop()!, this.#queue.splice(0));
  }

  async #send(fd: number, batch: readonly number[]): Promise<void> {
    const out = new MessageWriter(4096);
    if (batch.length === 1) encodeDelLink(out, { ifindex: batch[0] });
    else {
      for (const ifindex of batch) encodeSetLink(out, { ifindex }, { group: this.#options.group });
      encodeDelLinkGroup(out, this.#options.group);
    }
    out.flagLast(Flag.ack);
    const sent = await native().sendAsync(fd, out.buffer, out.length, 0);
    const errno = sent < 0 ? sent : this.#drain(fd);
    this.#idle.push(fd);
    for (const ifindex of batch) this.#settle(ifindex, errno);
    this.#next();
  }

  /** After the kernel's answer: what is still waited for has gone unannounced, or has not gone. */
  #settle(ifindex: number, errno: number): void {
    const waiting = this.#removing.get(ifindex);
    if (!waiting) return;
    try {
      if (this.#options.exists(ifindex)) {
        this.#removing.delete(ifindex);
        const error = new SystemError("RTM_DELLINK", errno, `interface ${ifindex}`);
        this.#options.onRemoved(this.#known.get(ifindex) ?? `if${ifindex}`, error.code);
        for (const { reject } of waiting) reject(error);
        return;
      }
    } catch (error) {
      this.#removing.delete(ifindex);
      for (const { reject } of waiting) reject(error as Error);
      return;
    }
    this.#announce(ifindex);
  }

  /** Reads the acknowledgements that send() left behind; the last error among them, or 0. */
  #drain(fd: number): number {
    const view = messageView();
    let errno = 0;
    for (;;) {
      const length = native().recv(fd, this.#input, MSG_DONTWAIT);
      if (length <= 0) return errno;
      for (let offset = 0; offset < length; ) {
        offset = readMessage(this.#input, offset, length, view);
        if (offset < 0) break;
        if (view.type !== MessageType.error) continue;
        const code = LITTLE ? this.#input.readInt32LE(view.body) : this.#input.readInt32BE(view.body);
        if (code !== 0) errno = code;
      }
    }
  }

  #onReadable(status: number): void {
    if (status < 0) this.#monitor.start(UV_READABLE);
    const view = messageView();
    for (;;) {
      const length = native().recv(this.#monitorFd, this.#input, MSG_DONTWAIT);
      if (length === 0 || isAgain(length)) return;
      if (length < 0) {
        this.#afterOverrun();
        continue;
      }
      for (let offset = 0; offset < length; ) {
        offset = readMessage(this.#input, offset, length, view);
        if (offset < 0) break;
        if (view.type !== MessageType.delLink) continue;
        const link = decodeLink(this.#input, view.body, view.end);
        if (link) this.#announce(link.ifindex);
      }
    }
  }

  /** Announcements were lost: ask about each host end that we know. */
  #afterOverrun(): void {
    for (const ifindex of [...this.#known.keys()]) if (!this.#options.exists(ifindex)) this.#announce(ifindex);
  }

  #announce(ifindex: number): void {
    const name = this.#known.get(ifindex);
    this.#known.delete(ifindex);
    this.#options.onForgotten(ifindex);
    const waiting = this.#removing.get(ifindex);
    if (waiting) {
      this.#removing.delete(ifindex);
      this.#options.onRemoved(name ?? `if${ifindex}`);
      for (const { resolve } of waiting) resolve();
    } else if (name !== undefined) this.#options.onGone(name);
  }
}

function isAgain(result: number): boolean {
  return result === -constants.errno.EAGAIN;
}
