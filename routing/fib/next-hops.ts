// Next-hop sets -> nexthop objects and groups. In: the sets that routes refer to, which links carry traffic, dumps.
// Out: one nexthop object per gateway and interface, one group per set, always a group, so that a set can change its
// members with one message whatever the number of routes.
//
// The kernel takes objects away in silence when their link loses its carrier, a group with its last member, and routes
// with their group. So after every change of a link the objects are dumped (there are few) and compared: reconcile().

import { constants } from "node:os";
import { formatAddress } from "../../net/address.ts";
import { NetlinkError } from "../netlink/error.ts";
import {
  decodeNextHop,
  encodeNewGroup,
  encodeNewNextHop,
  encodeNextHopDump,
  type GroupMember,
} from "../netlink/nexthop.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { Ownership } from "../ownership.ts";
import type { NextHopMember, RoutingOptions } from "../types.ts";
import { NextHopIds } from "./nexthop-ids.ts";
import { canonical, hopKey, idsOf, unique } from "./nexthop-members.ts";
import { type EncodeObject, NextHopObjects } from "./nexthop-objects.ts";

interface Hop {
  id: number;
  readonly ifindex: number;
  readonly gateway: Uint8Array;
  installed: boolean;
}

interface Group {
  id: number;
  /** The caller's set id; 0: found in the kernel and not asked for. */
  set: number;
  wanted: readonly NextHopMember[];
  /** Members in the kernel in canonical form; null: no such group there. */
  installed: string | null;
  /** No route wants the set any more. */
  released: boolean;
}

export interface NextHopCallbacks {
  isUp(ifindex: number): boolean;
  /** False: known not to answer. */
  answers(ifindex: number, gateway: Uint8Array): boolean;
  /** Routes in the kernel that use this group are gone. */
  groupGone(groupId: number): void;
  /** Routes that want this set can be installed, or have to go. */
  setChanged(set: number): void;
  /** Routes in the kernel that use the group. */
  routesOf(groupId: number): number;
  /** Whether a route in the kernel uses the group, or wants the set. */
  usedBy(groupId: number, set: number): boolean;
  /** Something could not be done at all. */
  problem(text: string): void;
  /** The kernel refused an object: perhaps our view of the objects or links is not the latest. */
  refused(text: string): void;
}

export class NextHops {
  readonly #socket: NetlinkSocket;
  readonly #ownership: Ownership;
  readonly #objects: NextHopObjects;
  readonly #ids: NextHopIds;
  readonly #callbacks: NextHopCallbacks;
  readonly #hops = new Map<string, Hop>();
  readonly #groups = new Map<number, Group>();
  readonly #bySet = new Map<number, Group>();
  /** Kernel id of the group of a set, by set id; 0: not in the kernel. */
  #kernelIds = new Uint32Array(64);
  #adopting = true;
  #swept = false;

  constructor(socket: NetlinkSocket, ownership: Ownership, options: RoutingOptions, callbacks: NextHopCallbacks) {
    this.#socket = socket;
    this.#ownership = ownership;
    this.#objects = new NextHopObjects(socket, ownership);
    this.#ids = new NextHopIds(options.nextHopIds);
    this.#callbacks = callbacks;
  }

  get setCount(): number {
    return this.#bySet.size;
  }

  /** The group's id in the kernel, or 0 while no member of the set can be used. */
  kernelIdOf(set: number): number {
    return set < this.#kernelIds.length ? this.#kernelIds[set] : 0;
  }

  /** Defines a set or replaces its members. */
  define(set: number, members: readonly NextHopMember[]): void {
    const wanted = unique(members);
    let group = this.#bySet.get(set);
    if (!group) {
      const adopted = this.#adopted(wanted);
      if (!adopted && this.#ids.free === 0) {
        this.#callbacks.problem(
          `all ${this.#ids.count} nexthop ids from ${this.#ids.base} are in use: routes of a new set of next hops stay out`,
        );
        return;
      }
      group = adopted ?? { id: this.#ids.allocate(), set, wanted, installed: null, released: false };
      group.set = set;
      this.#groups.set(group.id, group);
      this.#bySet.set(set, group);
    }
    group.wanted = wanted;
    group.released = false;
    this.#sync(group);
    this.#dropUnusedHops();
  }

  /** No route will want the set again; its group goes when the last route has left it. */
  release(set: number): void {
    const group = this.#bySet.get(set);
    if (!group) return;
    group.released = true;
    this.collect();
  }

  /** Deletes released groups that no route uses any more. */
  collect(): void {
    for (const group of [...this.#bySet.values()])
      if (group.released && !this.#callbacks.usedBy(group.id, group.set)) this.#delete(group);
    this.#dropUnusedHops();
  }

  /** Compares with a dump and repairs. Returns how many objects had to be written. */
  reconcile(): number {
    const { values: dumped, consistent } = this.#socket.dumpLoosely(encodeNextHopDump, decodeNextHop);
    // What others do to nexthops all the time must not keep us from ours; only, what is absent may be there.
    if (!consistent) this.#callbacks.refused("nexthops changed during each dump of them: read again soon");
    const singles = new Map<number, string>();
    const groups = new Map<number, string>();
    this.#ids.forgetOccupied();
    for (const nextHop of dumped) {
      if (!this.#ownership.ownsNextHopId(nextHop.id)) continue;
      if (!this.#ownership.ownsNextHop(nextHop)) this.#ids.occupy(nextHop.id);
      else if (nextHop.group) groups.set(nextHop.id, canonical(nextHop.group));
      else if (nextHop.gateway && nextHop.ifindex !== 0) {
        singles.set(nextHop.id, hopKey(nextHop.ifindex, nextHop.gateway));
        if (this.#adopting) this.#adopt(nextHop.id, nextHop.ifindex, nextHop.gateway);
      } else this.#ids.occupy(nextHop.id);
    }
    for (const [key, hop] of this.#hops) {
      const there = singles.get(hop.id);
      if (there !== undefined || consistent || this.#ids.isOccupied(hop.id)) hop.installed = there === key;
    }
    for (const [id, members] of groups) {
      if (this.#groups.has(id)) continue;
      if (this.#adopting) {
        this.#groups.set(id, { id, set: 0, wanted: [], installed: members, released: false });
        this.#ids.adopt(id);
      } else this.#ids.occupy(id);
    }
    for (const id of singles.keys()) if (!this.#ids.isUsed(id)) this.#ids.occupy(id);
    this.#adopting = false;

    let written = 0;
    for (const group of [...this.#groups.values()]) {
      const before = group.installed;
      if (groups.has(group.id) || consistent || this.#ids.isOccupied(group.id))
        group.installed = groups.get(group.id) ?? null;
      if (before !== null && group.installed === null) {
        this.#callbacks.groupGone(group.id);
        if (group.set === 0) this.#forget(group);
      }
      if (group.set !== 0) written += this.#sync(group);
    }
    this.#dropUnusedHops();
    return written;
  }

  /** Groups that should be in the kernel, and their members on links that are up, without those that do not answer. */
  expected(): { readonly id: number; readonly members: readonly NextHopMember[] }[] {
    return [...this.#bySet.values()].flatMap(({ id, wanted }) => {
      const up = wanted.filter(({ ifindex }) => this.#callbacks.isUp(ifindex));
      const answering = up.filter(({ ifindex, gateway }) => this.#callbacks.answers(ifindex, gateway));
      const members = answering.length > 0 ? answering : up;
      return members.length > 0 ? [{ id, members }] : [];
    });
  }

  /** Whether a gateway answers has changed. Returns how many groups use it, and how many of them have another member. */
  gatewayChanged(ifindex: number, gateway: Uint8Array): { groups: number; avoiding: number } {
    const key = hopKey(ifindex, gateway);
    let groups = 0;
    let avoiding = 0;
    for (const group of this.#bySet.values()) {
      if (!group.wanted.some((member) => hopKey(member.ifindex, member.gateway) === key)) continue;
      this.#sync(group);
      groups++;
      const id = this.#hops.get(key)?.id;
      if (group.installed !== null && !idsOf(group.installed).some((member) => member === id)) avoiding++;
    }
    return { groups, avoiding };
  }

  /** Whether a set has this gateway. */
  wants(ifindex: number, gateway: Uint8Array): boolean {
    return this.#hops.has(hopKey(ifindex, gateway));
  }

  /** Groups in the kernel with a member on a link that is up. */
  liveGroups(): Set<number> {
    const up = new Set<number>();
    for (const hop of this.#hops.values()) if (hop.installed && this.#callbacks.isUp(hop.ifindex)) up.add(hop.id);
    const live = new Set<number>();
    for (const { id, installed } of this.#groups.values())
      if (idsOf(installed).some((member) => up.has(member))) live.add(id);
    return live;
  }

  /** Whether a next hop, of those wanted or there, is on this link. */
  isOn(ifindex: number): boolean {
    for (const hop of this.#hops.values()) if (hop.ifindex === ifindex) return true;
    for (const { wanted } of this.#groups.values())
      if (wanted.some((member) => member.ifindex === ifindex)) return true;
    return false;
  }

  /** Interface indices that gateways are on. */
  uplinks(): number[] {
    return [...new Set([...this.#hops.values()].map((hop) => hop.ifindex))];
  }

  /** Removes what was adopted and never asked for, once no route uses it. Returns how many groups went. */
  sweep(): number {
    let swept = 0;
    for (const group of [...this.#groups.values()]) {
      if (group.set !== 0 || this.#callbacks.usedBy(group.id, 0)) continue;
      this.#delete(group);
      swept++;
    }
    this.#swept = true;
    this.#dropUnusedHops();
    return swept;
  }

  /** Removes all objects of ours, and with them the routes that use them. */
  removeAll(): void {
    for (const group of [...this.#groups.values()]) this.#delete(group);
    for (const hop of this.#hops.values()) this.#deleteId(hop.id);
    this.#hops.clear();
  }

  /** Brings the kernel's group in line with the members that can be used; returns the number of messages it took. */
  #sync(group: Group): number {
    let written = 0;
    let live: GroupMember[] = [];
    const answering: GroupMember[] = [];
    const unusable: string[] = [];
    for (const member of group.wanted) {
      if (!this.#callbacks.isUp(member.ifindex)) continue;
      const hop = this.#hop(member);
      if (!hop) continue;
      if (!hop.installed) {
        const problem = this.#create(hop, (out, flags) =>
          encodeNewNextHop(out, hop.id, this.#ownership.protocol, hop.ifindex, hop.gateway, flags),
        );
        written++;
        if (problem) {
          unusable.push(`${formatAddress(member.gateway)}: ${problem.message}`);
          continue;
        }
        hop.installed = true;
      }
      live.push({ id: hop.id, weight: member.weight });
      if (this.#callbacks.answers(hop.ifindex, hop.gateway)) answering.push(live[live.length - 1]);
    }
    // One that does not answer is avoided, not given up: where nobody answers, all stay.
    if (answering.length > 0) live = answering;
    if (unusable.length > 0) this.#callbacks.refused(`next hop refused by the kernel: ${unusable.join("; ")}`);

    const members = canonical(live);
    const before = group.installed;
    if (live.length === 0) {
      if (before !== null) {
        this.#deleteId(group.id);
        written++;
        group.installed = null;
      }
    } else if (before !== members) {
      const encode: EncodeObject = (out, flags) => encodeNewGroup(out, group.id, this.#ownership.protocol, live, flags);
      const problem = before === null ? this.#createGroup(group, encode) : this.#objects.replace(encode);
      written++;
      if (problem) this.#callbacks.refused(`next-hop group refused by the kernel: ${problem.message}`);
      else group.installed = members;
    }
    if (before !== null && group.installed === null) this.#callbacks.groupGone(group.id);
    const kernelId = group.installed === null ? 0 : group.id;
    if (this.kernelIdOf(group.set) !== kernelId || (before === null && group.installed !== null)) {
      this.#setKernelId(group.set, kernelId);
      this.#callbacks.setChanged(group.set);
    }
    return written;
  }

  /** The object for a member, made up if need be; null when no id is left. */
  #hop(member: NextHopMember): Hop | null {
    const key = hopKey(member.ifindex, member.gateway);
    let hop = this.#hops.get(key);
    if (!hop) {
      if (this.#ids.free === 0) return null;
      hop = { id: this.#ids.allocate(), ifindex: member.ifindex, gateway: member.gateway, installed: false };
      this.#hops.set(key, hop);
    }
    return hop;
  }

  /** A group found at start with exactly these members; of several the one with the most routes. */
  #adopted(wanted: readonly NextHopMember[]): Group | null {
    const members: GroupMember[] = [];
    for (const { ifindex, gateway, weight } of wanted) {
      const hop = this.#hops.get(hopKey(ifindex, gateway));
      if (!hop?.installed) return null;
      members.push({ id: hop.id, weight });
    }
    const installed = canonical(members);
    let best: Group | null = null;
    for (const group of this.#groups.values()) {
      if (group.set !== 0 || group.installed !== installed) continue;
      if (!best || this.#callbacks.routesOf(group.id) > this.#callbacks.routesOf(best.id)) best = group;
    }
    return best;
  }

  #adopt(id: number, ifindex: number, gateway: Uint8Array): void {
    const key = hopKey(ifindex, gateway);
    if (this.#hops.has(key)) this.#ids.occupy(id);
    else {
      this.#hops.set(key, { id, ifindex, gateway, installed: true });
      this.#ids.adopt(id);
    }
  }

  /** Before the sweep nothing goes: an object of a former run may be asked for yet, or carry routes by itself. */
  #dropUnusedHops(): void {
    if (!this.#swept) return;
    const used = new Set<string>();
    const inGroups = new Set<number>();
    for (const group of this.#groups.values()) {
      for (const member of group.wanted) used.add(hopKey(member.ifindex, member.gateway));
      for (const id of idsOf(group.installed)) inGroups.add(id);
    }
    for (const [key, hop] of this.#hops) {
      if (used.has(key) || inGroups.has(hop.id)) continue;
      if (hop.installed) this.#deleteId(hop.id);
      this.#hops.delete(key);
      this.#ids.release(hop.id);
    }
  }

  #delete(group: Group): void {
    if (group.installed !== null) this.#deleteId(group.id);
    group.installed = null;
    this.#callbacks.groupGone(group.id);
    this.#forget(group);
  }

  #forget(group: Group): void {
    this.#groups.delete(group.id);
    this.#ids.release(group.id);
    if (group.set === 0) return;
    this.#bySet.delete(group.set);
    this.#setKernelId(group.set, 0);
  }

  #deleteId(id: number): void {
    const problem = this.#objects.delete(id);
    if (problem) this.#callbacks.problem(`nexthop ${id} stays: ${problem.message}`);
  }

  /** Where another program has the id by now, under another one. */
  #create(object: { id: number }, encode: EncodeObject): NetlinkError | null {
    for (;;) {
      const problem = this.#objects.create(object.id, encode);
      if (problem !== "foreign") return problem;
      this.#ids.occupy(object.id);
      this.#ids.release(object.id);
      if (this.#ids.free === 0) return new NetlinkError("", constants.errno.ENOSPC, "no nexthop id is left");
      object.id = this.#ids.allocate();
    }
  }

  #createGroup(group: Group, encode: EncodeObject): NetlinkError | null {
    const before = group.id;
    const problem = this.#create(group, encode);
    if (group.id === before) return problem;
    this.#groups.delete(before);
    this.#groups.set(group.id, group);
    return problem;
  }

  #setKernelId(set: number, id: number): void {
    if (set >= this.#kernelIds.length) {
      const larger = new Uint32Array(Math.max(set + 1, this.#kernelIds.length * 2));
      larger.set(this.#kernelIds);
      this.#kernelIds = larger;
    }
    this.#kernelIds[set] = id;
  }
}
