// Nexthop objects in the kernel, by id. The kernel replaces and deletes them whoever made them, so an object is created
// with NLM_F_EXCL where none of ours is known, and looked at before it is deleted: one with another protocol number is
// never touched. In: encoded requests. Out: the kernel's refusals.
import { Flag } from "../netlink/constants.ts";
import { NetlinkError } from "../netlink/error.ts";
import type { MessageWriter } from "../netlink/message.ts";
import { decodeNextHop, encodeDelNextHop, encodeGetNextHop, type NextHop } from "../netlink/nexthop.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { Ownership } from "../ownership.ts";

/** Encodes the object with these flags. */
export type EncodeObject = (out: MessageWriter, flags: number) => void;

export class NextHopObjects {
  readonly #socket: NetlinkSocket;
  readonly #ownership: Ownership;

  constructor(socket: NetlinkSocket, ownership: Ownership) {
    this.#socket = socket;
    this.#ownership = ownership;
  }

  /** `foreign`: another program has that id. */
  create(id: number, encode: EncodeObject): NetlinkError | "foreign" | null {
    const problem = this.#try((out) => encode(out, Flag.create | Flag.exclusive));
    if (problem?.code !== "EEXIST") return problem;
    const there = this.#read(id);
    if (there && !this.#ownership.ownsNextHop(there)) return "foreign";
    return this.replace(encode);
  }

  /** Of one that is known to be ours. */
  replace(encode: EncodeObject): NetlinkError | null {
    return this.#try((out) => encode(out, Flag.create | Flag.replace));
  }

  /** One that is not there, or not ours, is fine. */
  delete(id: number): NetlinkError | null {
    const there = this.#read(id);
    if (!there || !this.#ownership.ownsNextHop(there)) return null;
    const problem = this.#try((out) => encodeDelNextHop(out, id));
    return problem?.code === "ENOENT" ? null : problem;
  }

  #read(id: number): NextHop | null {
    try {
      return this.#socket.get((out) => encodeGetNextHop(out, id), decodeNextHop);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === "ENOENT") return null;
      throw error;
    }
  }

  #try(encode: (out: MessageWriter) => void): NetlinkError | null {
    try {
      this.#socket.request(encode);
      return null;
    } catch (error) {
      if (error instanceof NetlinkError) return error;
      throw error;
    }
  }
}
