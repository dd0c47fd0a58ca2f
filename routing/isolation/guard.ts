// Keeps the tables of ruleset.ts in the kernel while they are wanted. In: how names of pods' interfaces begin, addresses that
// a pod may use on several interfaces, notifications of nf_tables. Out: the tables, put back when somebody flushes or
// changes them; what they have dropped; in words why they are not there.
//
// A table of this name that does not say that it is ours stays as it is. Each table is replaced in one transaction: there
// is no moment without one. A daemon that ends leaves them to pods, which go on; the next one writes them anew.
import { SystemError } from "../../net/native.ts";
import { LITTLE } from "../netlink/attribute.ts";
import { NetlinkError } from "../netlink/error.ts";
import { NETLINK_NETFILTER, NFTABLES_GROUP } from "../netlink/nftables/constants.ts";
import {
  decodeCounter,
  decodeNotification,
  decodeUserData,
  encodeBatch,
  encodeCounterDump,
  encodeDeleteTable,
  encodeElements,
  encodeGetChain,
  encodeGetTable,
  encodeRuleDump,
  encodeTable,
  HEADER,
  type TableSpec,
} from "../netlink/nftables/message.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import type { Culprit, IsolationView } from "../types.ts";
import { foreignFilter, KernelWatch } from "../watch.ts";
import { arpTable, type DropReason, dropReasons, inetTable, siblingSets, TABLE, USER_DATA } from "./ruleset.ts";

const RECEIVE_BUFFER = 1 << 20;

export interface IsolationDependencies {
  /** A table was written, or removed; `error`: it was not. */
  written(operation: "add" | "replace" | "delete", name: string, error?: string): void;
  /** Somebody has taken away or changed what is ours, and it is to be looked at soon: call verify() then. */
  lost(by: Culprit | null): void;
  /** Tables were put back. */
  repaired(names: readonly string[], by: Culprit | null): void;
  /** What has become worse or better, in a sentence. */
  problem(message: string): void;
  cleared(message: string): void;
}

/** A pod's address that may come in over an interface that no route to it leads to. */
export interface AllowedSource {
  readonly address: Uint8Array;
  readonly ifindex: number;
}

/** What a table is in the kernel, byte by byte; null: there is none. */
type Print = string | null;

export class Isolation {
  readonly #deps: IsolationDependencies;
  #socket: NetlinkSocket | null = null;
  #watch: KernelWatch | null = null;
  #tables: readonly TableSpec[] = [];
  /** By family, of what was written; absent: it is not there. */
  readonly #prints = new Map<string, string>();
  /** By family: why a table is not as wanted. */
  readonly #failures = new Map<string, string>();
  /** By set and key in hexadecimal. */
  readonly #allowed = new Map<
    string,
    { readonly set: string; readonly key: Uint8Array; readonly source: AllowedSource }
  >();
  /** Dropped before the tables were written the last time. */
  readonly #before = new Map<string, number>();
  /** By family: what its counters said when they were last read. */
  readonly #lastRead = new Map<string, [string, number][]>();
  #touched = false;
  #by: Culprit | null = null;

  constructor(deps: IsolationDependencies) {
    this.#deps = deps;
  }

  /** How names of pods' host ends begin; null: pods may send what they like, and tables of ours go. */
  want(prefix: string | null): void {
    if (prefix === null) {
      this.remove();
      this.stop();
      return;
    }
    this.#tables = [inetTable(prefix), arpTable(prefix)];
    if (this.#open()) for (const table of this.#tables) this.#write(table);
  }

  /** Takes tables of ours away, also those of a former run. */
  remove(): void {
    this.#tables = [];
    this.#prints.clear();
    this.#failures.clear();
    if (!this.#open()) return;
    for (const table of [inetTable(""), arpTable("")]) {
      try {
        if (this.#ownerOf(table) !== "us") continue;
        this.#socket?.batch((out) => encodeBatch(out, () => encodeDeleteTable(out, table)));
        this.#deps.written("delete", nameOf(table));
      } catch (error) {
        this.#deps.problem(`${nameOf(table)} cannot be removed: ${(error as Error).message}`);
      }
    }
  }

  /** Compares what is there with what was written, writes what differs or could not be written before. */
  verify(): void {
    const by = this.#by;
    this.#by = null;
    this.#touched = false;
    if (this.#tables.length === 0 || !this.#open()) return;
    const repaired: string[] = [];
    for (const table of this.#tables) {
      const { family } = table;
      const known = this.#prints.get(family);
      try {
        if (known !== undefined && this.#print(table) === known) {
          this.#read(table);
          continue;
        }
      } catch {
        // Changed while it was read.
      }
      // One that is not ours in its place is a problem, told by #write.
      if (this.#write(table) && known !== undefined) repaired.push(nameOf(table));
    }
    if (repaired.length > 0) this.#deps.repaired(repaired, by);
  }

  /** A pod with several interfaces may send from these addresses on these interfaces, too. */
  allow(sources: readonly AllowedSource[]): void {
    const fresh = sources.map(elementOf).filter(({ id }) => !this.#allowed.has(id));
    for (const { id, set, key, source } of fresh) this.#allowed.set(id, { set, key, source });
    this.#writeElements("add", fresh);
  }

  /** Interfaces or addresses that are gone. */
  disallow(gone: readonly AllowedSource[]): void {
    if (this.#allowed.size === 0) return;
    const interfaces = new Set(gone.map(({ ifindex }) => ifindex));
    const addresses = new Set(gone.map(({ address }) => hex(address)));
    const left = [...this.#allowed].filter(
      ([, { source }]) => interfaces.has(source.ifindex) || addresses.has(hex(source.address)),
    );
    for (const [id] of left) this.#allowed.delete(id);
    this.#writeElements(
      "delete",
      left.map(([, element]) => element),
    );
  }

  view(): IsolationView {
    const wanted = this.#tables.length > 0;
    const reason = [...this.#failures.values()][0] ?? null;
    const inet = !this.#failures.has("inet");
    return {
      state: !wanted ? "off" : inet ? "active" : "unavailable",
      reason: wanted ? reason : null,
      dropped: this.#dropped(),
    };
  }

  stop(): void {
    this.#watch?.close();
    this.#watch = null;
    this.#socket?.close();
    this.#socket = null;
  }

  /** False when there is no nf_tables to talk to. */
  #open(): boolean {
    if (this.#socket) return true;
    try {
      this.#socket = new NetlinkSocket({ protocol: NETLINK_NETFILTER });
      this.#watch = new KernelWatch(
        {
          receiveBuffer: RECEIVE_BUFFER,
          groups: [NFTABLES_GROUP],
          filter: foreignFilter(this.#socket.portId),
          protocol: NETLINK_NETFILTER,
        },
        {
          message: (buffer, start, end, type) => this.#notified(buffer, start, end, type),
          turn: () => {},
          overrun: () => this.#deps.lost(null),
          error: () => this.#deps.lost(null),
        },
      );
      return true;
    } catch (error) {
      this.#socket?.close();
      this.#socket = null;
      for (const table of this.#tables) this.#failed(table, error as Error);
      return false;
    }
  }

  #notified(buffer: Buffer, start: number, end: number, type: number): void {
    const notification = decodeNotification(buffer, start, end, type);
    if (notification?.kind === "change" && notification.table === TABLE) this.#touched = true;
    else if (notification?.kind === "generation" && this.#touched) {
      this.#touched = false;
      this.#by = { pid: notification.pid, name: notification.name };
      this.#deps.lost(this.#by);
    }
  }

  /** True: it is there now. */
  #write(table: TableSpec): boolean {
    const socket = this.#socket!;
    const { family } = table;
    try {
      const owner = this.#ownerOf(table);
      if (owner === "another") throw new ForeignTable(table);
      this.#remember(table, owner === "us");
      socket.batch((out) =>
        encodeBatch(out, () => {
          if (owner === "us") encodeDeleteTable(out, table);
          encodeTable(out, table);
          for (const [set, keys] of this.#elementsOf(table)) encodeElements(out, "add", table, set, keys);
        }),
      );
      this.#prints.set(family, this.#print(table) ?? "");
      this.#deps.written(owner === "us" ? "replace" : "add", nameOf(table));
      const failure = this.#failures.get(family);
      this.#failures.delete(family);
      if (failure !== undefined) this.#deps.cleared(`${nameOf(table)} is in the kernel now`);
      return true;
    } catch (error) {
      this.#prints.delete(family);
      this.#failed(table, error as Error);
      return false;
    }
  }

  #failed(table: TableSpec, error: Error): void {
    const what =
      table.family === "inet"
        ? "pods can send from addresses that are not theirs"
        : "the host answers what pods ask by ARP, and keeps an entry for each address that they name";
    const reason = `${reasonOf(table, error)}: ${what}`;
    if (this.#failures.get(table.family) === reason) return;
    this.#failures.set(table.family, reason);
    this.#deps.written("add", nameOf(table), error.message);
    this.#deps.problem(reason);
  }

  #ownerOf(table: TableSpec): "us" | "another" | "nobody" {
    try {
      const data = this.#socket!.get((out) => encodeGetTable(out, table), decodeUserData);
      return data !== null && Buffer.from(data).equals(Buffer.from(USER_DATA)) ? "us" : "another";
    } catch (error) {
      if (error instanceof NetlinkError && error.code === "ENOENT") return "nobody";
      throw error;
    }
  }

  #print(table: TableSpec): Print {
    const socket = this.#socket!;
    const parts: string[] = [];
    const take = (buffer: Buffer, start: number, end: number) => {
      // Without the header, which counts every change of any table.
      parts.push(buffer.toString("latin1", start + HEADER, end));
      return null;
    };
    try {
      socket.get((out) => encodeGetTable(out, table), take);
      for (const { name } of table.chains) socket.get((out) => encodeGetChain(out, table, name), take);
      socket.dump((out) => encodeRuleDump(out, table), take);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === "ENOENT") return null;
      throw error;
    }
    return parts.join("\0");
  }

  #elementsOf(table: TableSpec): Map<string, Uint8Array[]> {
    const bySet = new Map<string, Uint8Array[]>();
    for (const { set, key } of this.#allowed.values())
      if (table.sets.some(({ name }) => name === set)) bySet.set(set, [...(bySet.get(set) ?? []), key]);
    return bySet;
  }

  #writeElements(
    operation: "add" | "delete",
    elements: readonly { readonly set: string; readonly key: Uint8Array }[],
  ): void {
    const table = this.#tables.find(({ family }) => family === "inet");
    if (!table || elements.length === 0 || !this.#prints.has(table.family)) return;
    const sets = new Set(elements.map(({ set }) => set));
    try {
      this.#socket!.batch((out) =>
        encodeBatch(out, () => {
          for (const name of sets) {
            const keys = elements.filter(({ set }) => set === name).map(({ key }) => key);
            encodeElements(out, operation, table, name, keys);
          }
        }),
      );
    } catch {
      // Somebody has changed the table: written anew it has what it should.
      this.#write(table);
    }
  }

  /** What a table has counted that is about to be replaced, or is gone: then, what it had when it was last looked at. */
  #remember(table: TableSpec, present: boolean): void {
    // Of a former run: not this one's.
    if (!this.#prints.has(table.family)) return;
    const counts = present ? this.#read(table) : (this.#lastRead.get(table.family) ?? []);
    for (const [name, packets] of counts) this.#before.set(name, (this.#before.get(name) ?? 0) + packets);
    this.#lastRead.delete(table.family);
  }

  #dropped(): Record<DropReason, number> {
    const counts = new Map(this.#before);
    for (const table of this.#tables) {
      if (!this.#prints.has(table.family)) continue;
      for (const [name, packets] of this.#read(table)) counts.set(name, (counts.get(name) ?? 0) + packets);
    }
    return Object.fromEntries(dropReasons.map((reason) => [reason, counts.get(reason) ?? 0])) as Record<
      DropReason,
      number
    >;
  }

  #read(table: TableSpec): [string, number][] {
    try {
      const counters = this.#socket!.dumpLoosely(
        (out) => encodeCounterDump(out, table),
        (buffer, start, end) => decodeCounter(buffer, start, end, table.name),
      ).values;
      const counts = counters.map(({ name, packets }): [string, number] => [name, packets]);
      this.#lastRead.set(table.family, counts);
      return counts;
    } catch {
      return [];
    }
  }
}

class ForeignTable extends Error {
  constructor(table: TableSpec) {
    super(`${nameOf(table)} is another program's; remove it (nft delete table ${table.family} ${table.name})`);
  }
}

function nameOf({ family, name }: TableSpec): string {
  return `nftables table ${family} ${name}`;
}

function reasonOf(table: TableSpec, error: Error): string {
  if (error instanceof ForeignTable) return error.message;
  const code = error instanceof NetlinkError || error instanceof SystemError ? error.code : "";
  if (["EOPNOTSUPP", "EPROTONOSUPPORT", "EAFNOSUPPORT", "ENOENT"].includes(code))
    return `the kernel has no nf_tables for ${nameOf(table)} (${error.message})`;
  return `${nameOf(table)} cannot be written (${error.message})`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function elementOf(source: AllowedSource): { id: string; set: string; key: Uint8Array; source: AllowedSource } {
  const key = Buffer.alloc(4 + source.address.length);
  if (LITTLE) key.writeUInt32LE(source.ifindex);
  else key.writeUInt32BE(source.ifindex);
  key.set(source.address, 4);
  const set = siblingSets[source.address.length === 4 ? 4 : 6];
  return { id: `${set} ${hex(key)}`, set, key, source };
}
