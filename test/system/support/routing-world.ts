// A namespace with links of every condition, into which random sets of rules and routes are put with netlink messages, and
// the two who are asked about them: the kernel, and the simulation.
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { formatAddress } from "../../../net/address.ts";
import { askKernel } from "../../../routing/explain/ask.ts";
import { disagreement, type KernelAnswer } from "../../../routing/explain/compare.ts";
import { interfaceSettings } from "../../../routing/explain/settings.ts";
import { simulate } from "../../../routing/explain/simulate.ts";
import type { Explanation, Flow, InterfaceSettings, LinkState, Snapshot } from "../../../routing/explain/types.ts";
import { decodeAddress, encodeAddressDump, type InterfaceAddress } from "../../../routing/netlink/address.ts";
import { decodeLink, encodeLinkDump } from "../../../routing/netlink/link.ts";
import { decodeNextHop, encodeNewGroup, encodeNextHopDump, type NextHop } from "../../../routing/netlink/nexthop.ts";
import { decodeRoute, encodeRouteDump, type Route } from "../../../routing/netlink/route.ts";
import { decodeRule, encodeRuleDump } from "../../../routing/netlink/rule.ts";
import { NetlinkSocket } from "../../../routing/netlink/socket.ts";
import { encodeRandomNextHop, encodeRandomRoute, encodeRule, encodeRuleRemoval } from "./routing-encode.ts";
import { addressOf, DEVICES, type Family, flowWords, type RandomFlow, type RuleSet } from "./routing-sets.ts";

const RANDOM_PROTOCOL = 99;

export interface Failure {
  readonly flow: RandomFlow;
  readonly why: string;
}

export interface Printed {
  /** The name of the error, or its text where that is not known. */
  readonly error: string | null;
  readonly device: string | null;
  readonly gateway: string | null;
  readonly from: string | null;
}

/** As strerror() has them. */
const ERRORS = [
  ["Network is unreachable", "ENETUNREACH"],
  ["No route to host", "EHOSTUNREACH"],
  ["Permission denied", "EACCES"],
  ["Invalid argument", "EINVAL"],
  ["No such device", "ENODEV"],
] as const;

const SETUP = `
set -e
sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv4.conf.all.rp_filter=0
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip link set lo up
for i in 0 1 2 3 4 5; do
  name=$(echo ${DEVICES.join(" ")} | cut -d" " -f$((i + 1)))
  ip link add $name type veth peer name far$i
  ip addr add 192.0.$i.1/24 dev $name
  ip addr add 2001:db8:0:$i::1/64 dev $name nodad
  sysctl -qw net.ipv6.conf.far$i.disable_ipv6=1
done
ip link set up1 group 7
for name in up0 up1 up2 dark ignored far0 far1 far2; do ip link set $name up; done
sysctl -qw net.ipv4.conf.up0.rp_filter=0 net.ipv4.conf.up1.rp_filter=1 net.ipv4.conf.up2.rp_filter=2
sysctl -qw net.ipv4.conf.dark.forwarding=0 net.ipv4.conf.ignored.accept_local=1 net.ipv4.conf.up2.src_valid_mark=1
sysctl -qw net.ipv4.conf.ignored.ignore_routes_with_linkdown=1 net.ipv6.conf.ignored.ignore_routes_with_linkdown=1
`;

export class RoutingWorld {
  readonly name = `ul-explain-${process.pid}`;
  readonly socket: NetlinkSocket;
  #links: ReadonlyMap<number, LinkState> = new Map();
  #addresses: readonly InterfaceAddress[] = [];
  #nextHops: ReadonlyMap<number, NextHop> = new Map();
  readonly #indices: ReadonlyMap<string, number>;
  readonly #settings = new Map<string, InterfaceSettings>();

  constructor() {
    execFileSync("ip", ["netns", "add", this.name]);
    try {
      this.run(SETUP);
    } catch (error) {
      execFileSync("ip", ["netns", "del", this.name]);
      throw error;
    }
    const fd = openSync(`/run/netns/${this.name}`, "r");
    this.socket = new NetlinkSocket({ netnsFd: fd });
    closeSync(fd);
    const links = this.socket.dump(encodeLinkDump, decodeLink);
    this.#indices = new Map(links.map(({ ifindex, name }) => [name, ifindex]));
    this.#addNextHops();
    this.#look();
    const values = this.run("cd /proc/sys/net; grep -Hs . ipv?/conf/*/*; true");
    const bySysctl = new Map(values.split("\n").map((line) => line.split(":") as [string, string]));
    for (const family of [4, 6] as const)
      for (const { name } of links)
        this.#settings.set(
          `${family} ${name}`,
          interfaceSettings(family, name, (of, device, setting) =>
            Number(bySysctl.get(`ipv${of}/conf/${device}/${setting}`) ?? 0),
          ),
        );
  }

  /** Takes in what sets do not change: links, addresses, nexthop objects. */
  #look(): void {
    const links = this.socket.dump(encodeLinkDump, decodeLink);
    this.#links = new Map(links.map(({ ifindex, name, flags, group }) => [ifindex, { ifindex, name, flags, group }]));
    this.#nextHops = new Map(this.socket.dump(encodeNextHopDump, decodeNextHop).map((object) => [object.id, object]));
    this.#addresses = this.socket.dump((out) => encodeAddressDump(out), decodeAddress);
  }

  remove(): void {
    this.socket.close();
    execFileSync("ip", ["netns", "del", this.name]);
  }

  run(script: string): string {
    return execFileSync("ip", ["netns", "exec", this.name, "sh", "-c", script], {
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
      maxBuffer: 1 << 26,
    });
  }

  ifindex = (device: string): number => this.#indices.get(device) ?? 0;

  #addNextHops(): void {
    const { socket, ifindex } = this;
    const single = (id: number, family: Family, device: string | null, gateway: string | null) =>
      socket.request(
        (out) => encodeRandomNextHop(out, id, family, device === null ? 0 : ifindex(device), gateway),
        `nexthop ${id}`,
      );
    const group = (id: number, ...members: [number, number][]) =>
      socket.request(
        (out) =>
          encodeNewGroup(
            out,
            id,
            RANDOM_PROTOCOL,
            members.map(([of, weight]) => ({ id: of, weight })),
          ),
        `nexthop group ${id}`,
      );
    single(1, 4, "up0", "192.0.0.2");
    single(2, 4, "up1", "192.0.1.2");
    single(3, 4, "up2", "192.0.2.2");
    single(4, 4, "up0", null);
    single(5, 4, null, null);
    single(6, 6, "up0", "fe80::2");
    single(7, 6, "up1", "2001:db8:0:1::2");
    single(8, 6, "up2", "2001:db8:0:2::2");
    single(9, 6, "up0", null);
    single(10, 6, null, null);
    group(20, [1, 1], [2, 1]);
    group(21, [1, 3], [3, 1], [2, 200]);
    group(22, [2, 1]);
    group(23, [5, 1]);
    group(24, [1, 1], [6, 1]);
    group(30, [6, 1], [7, 1]);
    group(31, [7, 5], [8, 1]);
    group(32, [8, 1]);
    group(33, [10, 1]);
  }

  /** Puts the set into the kernel, as far as the kernel takes it. */
  install({ family, rules, routes }: RuleSet): void {
    const { socket } = this;
    socket.out.reset();
    for (const route of routes) encodeRandomRoute(socket.out, family, route, false, this.ifindex);
    for (const rule of rules) encodeRule(socket.out, family, rule);
    socket.flush();
  }

  /** Takes away everything that was put there. */
  clear({ family, rules, routes }: RuleSet): void {
    const { socket } = this;
    socket.out.reset();
    for (const rule of rules) encodeRuleRemoval(socket.out, family, rule.priority);
    for (const route of routes) encodeRandomRoute(socket.out, family, route, true, this.ifindex);
    socket.flush();
  }

  snapshot(family: Family): Snapshot {
    const tables = new Map<number, Route[]>();
    for (const route of this.socket.dump((out) => encodeRouteDump(out, family), decodeRoute)) {
      const table = tables.get(route.table);
      if (table) table.push(route);
      else tables.set(route.table, [route]);
    }
    return {
      rules: this.socket.dump((out) => encodeRuleDump(out, family), decodeRule),
      tables,
      nextHops: this.#nextHops,
      links: this.#links,
      addresses: this.#addresses,
      settings: null,
    };
  }

  flow(family: Family, flow: RandomFlow): Flow {
    return {
      ...flow,
      family,
      source: flow.source === null ? null : addressOf(flow.source),
      destination: addressOf(flow.destination),
      iif: flow.iif === null ? 0 : this.ifindex(flow.iif),
      oif: flow.oif === null ? 0 : this.ifindex(flow.oif),
      // The kernel takes a packet that it is only asked about for UDP.
      ipProtocol: flow.ipProtocol === 0 && family === 4 ? 17 : flow.ipProtocol,
    };
  }

  simulate(snapshot: Snapshot, family: Family, flow: RandomFlow): Explanation {
    const settings = flow.iif === null ? null : this.#settings.get(`${family} ${flow.iif}`)!;
    return simulate({ ...snapshot, settings }, this.flow(family, flow));
  }

  ask(family: Family, flow: RandomFlow): KernelAnswer {
    return askKernel(this.socket, this.flow(family, flow));
  }

  /** The first flow of the set on which simulation and kernel differ. */
  check(set: RuleSet, see?: (explanation: Explanation) => void): Failure | null {
    this.install(set);
    try {
      return this.#compare(set, see);
    } finally {
      this.clear(set);
    }
  }

  /** As check(), with an interface taken down after the routes were put in. */
  checkWithout(set: RuleSet, device: string): Failure | null {
    this.install(set);
    try {
      this.run(`ip link set ${device} down`);
      this.#look();
      return this.#compare(set);
    } finally {
      // Down and up takes its nexthop objects and IPv6 addresses away.
      this.clear(set);
      const i = device.slice(2);
      this.run(`
        ip link set ${device} up; ip link set far${i} up; ip addr replace 2001:db8:0:${i}::1/64 dev ${device} nodad
        until ip link show ${device} | grep -q LOWER_UP; do sleep 0.01; done`);
      this.#look();
    }
  }

  #compare({ family, flows }: RuleSet, see?: (explanation: Explanation) => void): Failure | null {
    const snapshot = this.snapshot(family);
    for (const flow of flows) {
      const explanation = this.simulate(snapshot, family, flow);
      see?.(explanation);
      const why = disagreement(explanation, this.flow(family, flow), this.ask(family, flow));
      if (why !== null) return { flow, why };
    }
    return null;
  }

  nameOf(ifindex: number): string {
    return this.#links.get(ifindex)?.name ?? "";
  }

  addressText(address: Uint8Array | null): string | null {
    return address && formatAddress(address);
  }

  /** What `ip route get` says to each flow. */
  ipRouteGet({ family, flows }: RuleSet): Printed[] {
    const script = flows.map((flow) => flowWords(flow)).join("\n");
    const run = spawnSync("ip", ["-n", this.name, `-${family}`, "-d", "-j", "-force", "-batch", "-"], {
      input: `${script}\n`,
      encoding: "utf8",
    });
    const failures = new Map<number, string>();
    let words = "";
    for (const line of run.stderr.split("\n")) {
      const failed = /^Command failed -:(\d+)$/.exec(line);
      if (failed) failures.set(Number(failed[1]), words);
      else words = line;
    }
    const answers = run.stdout
      .split(/^(?=\[)/m)
      .filter((text) => text.trim() !== "")
      .map(
        (text) => JSON.parse(text)[0] as { dev?: string; gateway?: string; via?: { host: string }; prefsrc?: string },
      );
    return flows.map((_, i) => {
      const failure = failures.get(i + 1);
      if (failure !== undefined) {
        const [, code] = ERRORS.find(([text]) => failure.includes(text)) ?? [null, failure];
        return { error: code, device: null, gateway: null, from: null };
      }
      const answer = answers.shift()!;
      const { dev = null, gateway = null, via, prefsrc = null } = answer;
      return { error: null, device: dev, gateway: via?.host ?? gateway, from: prefsrc };
    });
  }

  /** Leaves out of a set with a disagreement what it does not need. */
  shrink(set: RuleSet): RuleSet {
    const failure = this.check(set);
    if (!failure) return set;
    let smaller: RuleSet = { ...set, flows: [failure.flow] };
    for (let changed = true; changed; ) {
      changed = false;
      for (const part of ["rules", "routes"] as const)
        for (let i = smaller[part].length - 1; i >= 0; i--) {
          const without = { ...smaller, [part]: smaller[part].filter((_, j) => j !== i) };
          if (!this.check(without)) continue;
          smaller = without;
          changed = true;
        }
    }
    return smaller;
  }
}
