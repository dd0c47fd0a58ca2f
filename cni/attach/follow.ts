// Follows the MACs of pods' interfaces. A later plugin of the chain may set one (tuning, also to the same value): the host's
// permanent entries then lead to a station that is no more, and the kernel has dropped the pod's entry for its gateway,
// which nobody answers for. Both are written anew.
//
// In: the link messages of all network namespaces (NETLINK_LISTEN_ALL_NSID: those that have an id in the host's, as each
// pod's has that is at the end of a cable of ours). A message names the other end of its cable, which is the host end.
// What pods say is only a hint: the interface itself is looked at before anything is written.
import { constants } from "node:os";
import { check, MSG_DONTWAIT, native, UV_READABLE } from "../../net/native.ts";
import { LITTLE } from "../../routing/netlink/attribute.ts";
import { Group, MessageType } from "../../routing/netlink/constants.ts";
import { decodeLink, type Link } from "../../routing/netlink/link.ts";
import { messageView, readMessage } from "../../routing/netlink/message.ts";
import { openNetlink } from "../../routing/netlink/socket.ts";
import { settledLinks } from "./link-filters.ts";
import type { FollowRequest } from "./messages.ts";
import { otherEnd } from "./wiring.ts";

const SOL_NETLINK = 270;
const NETLINK_LISTEN_ALL_NSID = 8;
/** Looks at one pod within a period: one that sets its MAC all the time must not keep the others waiting. */
const BURST = 20;
/** Milliseconds. */
const PERIOD = 500;
/** Datagrams read at once; more is the work of somebody who sets MACs without end, and waits, in milliseconds. */
const READS = 64;
const RESPITE = 5;

interface Followed {
  readonly request: FollowRequest;
  readonly hostIndex: number;
  /** What the last message said of it, as far as it is of interest. */
  seen: string;
  /** Looks in this period; 0: none is running. */
  looks: number;
  /** One is due when the period ends. */
  due: boolean;
}

export interface FollowOptions {
  /** Writes the neighbour entries of both ends anew; false: the interface is not there any more. */
  readonly renew: (request: FollowRequest, hostIndex: number) => boolean;
  readonly onError: (request: FollowRequest, error: Error) => void;
}

export class Follow {
  readonly #options: FollowOptions;
  /** By the index of the host end. */
  readonly #pods = new Map<number, Followed>();
  readonly #fd: number;
  readonly #monitor: { close(): void; start(events: number): number; stop(): void };
  readonly #input = Buffer.allocUnsafeSlow(64 * 1024);
  readonly #timers = new Set<NodeJS.Timeout>();
  /** False: not allowed to hear of links in pods, so that a MAC that is set there is not followed. */
  readonly hears: boolean;
  #overrun = false;

  constructor(options: FollowOptions) {
    this.#options = options;
    const n = native();
    this.#fd = openNetlink({ groups: [Group.link] }).fd;
    const on = Buffer.alloc(4);
    if (LITTLE) on.writeInt32LE(1);
    else on.writeInt32BE(1);
    const result = n.setsockopt(this.#fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, on);
    this.hears = result !== -constants.errno.EPERM;
    if (this.hears) check(result, "setsockopt", "NETLINK_LISTEN_ALL_NSID");
    n.attachFilter(this.#fd, settledLinks());
    this.#monitor = new n.Poll(this.#fd, (status) => this.#onReadable(status));
    if (this.hears) this.#monitor.start(UV_READABLE);
  }

  /** What has been said so far is dealt with when this returns. */
  catchUp(): void {
    if (this.hears) this.#onReadable(0);
  }

  /**
   * A pod whose cable is being made; and again when its neighbour entries are there, which its MAC may have run away
   * from.
   */
  add(request: FollowRequest, hostIndex: number): void {
    const seen = this.#pods.get(hostIndex)?.seen ?? "";
    const pod = { request, hostIndex, seen, looks: 0, due: false };
    this.#pods.set(hostIndex, pod);
    if (seen !== "" && !seen.startsWith(hexOf(request.mac))) this.#schedule(pod);
  }

  /** A pod from before: what it has become is looked at now. */
  adopt(request: FollowRequest, hostIndex: number): void {
    this.add(request, hostIndex);
    this.#look(this.#pods.get(hostIndex)!);
  }

  /** Its host end is gone. */
  forget(hostIndex: number): void {
    this.#pods.delete(hostIndex);
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#monitor.close();
    native().close(this.#fd);
  }

  #onReadable(status: number): void {
    if (status < 0) this.#monitor.start(UV_READABLE);
    const view = messageView();
    for (let count = 0; count < READS; count++) {
      const length = native().recv(this.#fd, this.#input, MSG_DONTWAIT);
      if (length === 0 || length === -constants.errno.EAGAIN) return;
      if (length < 0) {
        this.#afterOverrun();
        continue;
      }
      for (let offset = 0; offset < length; ) {
        offset = readMessage(this.#input, offset, length, view);
        if (offset < 0) break;
        if (view.type !== MessageType.newLink) continue;
        const link = decodeLink(this.#input, view.body, view.end);
        if (link) this.#onLink(link);
      }
    }
    this.#monitor.stop();
    this.#after(RESPITE, () => this.#monitor.start(UV_READABLE));
  }

  /** Messages were lost: each pod is looked at, once for all that is lost meanwhile. */
  #afterOverrun(): void {
    if (this.#overrun) return;
    this.#overrun = true;
    this.#after(PERIOD, () => {
      this.#overrun = false;
      for (const pod of this.#pods.values()) this.#after(0, () => this.#schedule(pod));
    });
  }

  /**
   * The kernel says the same of every change. One of carrier or MTU shows in the message; one that shows nothing is a MAC
   * that was set to what it was.
   */
  #onLink(link: Link): void {
    const pod = this.#pods.get(otherEnd(link));
    if (!pod || link.kind !== "veth" || link.name !== pod.request.ifname) return;
    const mac = hexOf(link.mac);
    const seen = `${mac} ${link.mtu} ${link.flags} ${link.operState}`;
    const explained = seen !== pod.seen && (pod.seen === "" || pod.seen.startsWith(mac));
    pod.seen = seen;
    if (!explained || mac !== hexOf(pod.request.mac)) this.#schedule(pod);
  }

  #schedule(pod: Followed): void {
    if (pod.looks < BURST) this.#look(pod);
    else pod.due = true;
  }

  #look(pod: Followed): void {
    if (pod.looks++ === 0) this.#startPeriod(pod);
    try {
      if (!this.#options.renew(pod.request, pod.hostIndex)) this.forget(pod.hostIndex);
    } catch (error) {
      this.#options.onError(pod.request, error as Error);
    }
  }

  #startPeriod(pod: Followed): void {
    this.#after(PERIOD, () => {
      const { due } = pod;
      pod.looks = 0;
      pod.due = false;
      if (due && this.#pods.get(pod.hostIndex) === pod) this.#look(pod);
    });
  }

  #after(milliseconds: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, milliseconds);
    this.#timers.add(timer);
  }
}

function hexOf(mac: Uint8Array): string {
  return Buffer.from(mac).toString("hex");
}
