// A network namespace with two uplinks, and a fib worker inside it. Everything kernel happens there.
import { execFileSync } from "node:child_process";
import { parseAddress } from "../../net/address.ts";
import { FibClient, type FibClientDeps } from "../../routing/fib/client.ts";
import type { KernelEvent, NextHopMember, OwnedState, RouteBatch, RoutingOptions } from "../../routing/types.ts";

export const options: RoutingOptions = {
  install: true,
  protocol: 201,
  localTable: 7000,
  rulePriority: { local: 1000, hostRoutes: 1005, block: 1010, host: 1090 },
  nextHopIds: { base: 20_100_000, count: 10_000 },
  staleTime: 3600,
  sysctls: true,
};

export const owned: OwnedState = {
  blocks: [
    { prefix: "10.244.1.0/26", table: 7100 },
    { prefix: "2001:db8:244:1::/122", table: 7100 },
  ],
  tables: [{ name: "fabric", id: 7100, host: false, fallback: "host", hostRoutes: "first" }],
};

let counter = 0;

export class Namespace {
  readonly name = `ul-rt-${process.pid}-${++counter}`;
  readonly path = `/run/netns/${this.name}`;
  readonly clients: FibClient[] = [];
  readonly events: KernelEvent[] = [];

  constructor() {
    execFileSync("ip", ["netns", "add", this.name]);
    // Forwarding adds addresses and routes of the kernel's own; they should not appear in the midst of a test.
    this.run(
      "ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding;" +
        "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad",
    );
    const links = [0, 1].flatMap((i) => [
      `link add up${i} type veth peer name far${i}`,
      `addr add 192.0.${i}.1/24 dev up${i}`,
      `addr add 2001:db8:${i}::1/64 dev up${i} nodad`,
      `link set up${i} up`,
      `link set far${i} up`,
    ]);
    this.run("ip -batch -", links.join("\n"));
    this.run("until [ $(ip -6 route show table local | grep -c '^local fe80:') = 4 ]; do sleep 0.01; done");
  }

  /** Output of one command line run inside. */
  run(command: string, input = ""): string {
    return execFileSync("ip", ["netns", "exec", this.name, "sh", "-c", command], {
      encoding: "utf8",
      input,
      stdio: ["pipe", "pipe", "pipe"],
      maxBuffer: 1 << 28,
    });
  }

  /** What `ip -j ...` says. */
  json<T = Record<string, unknown>>(command: string): T[] {
    return JSON.parse(this.run(`ip -j ${command}`) || "[]") as T[];
  }

  /** Rules of ours, as `ip rule` prints them. */
  rules(family: 4 | 6 = 4): string[] {
    const lines = this.run(`ip -${family} rule show`).split("\n");
    return lines.filter((line) => line.endsWith(" proto 201")).map((line) => line.slice(0, -10).replace(":\t", ": "));
  }

  ifindex(name: string): number {
    return this.json<{ ifindex: number }>(`link show ${name}`)[0].ifindex;
  }

  client(changes: Partial<RoutingOptions> = {}, deps: Partial<FibClientDeps> = {}): FibClient {
    const client = new FibClient({ ...options, ...changes }, { netns: this.path, ...deps });
    client.onEvent((event) => this.events.push(event));
    this.clients.push(client);
    return client;
  }

  async remove(): Promise<void> {
    for (const client of this.clients) await client.stop("keep").catch(() => {});
    execFileSync("ip", ["netns", "del", this.name]);
  }
}

/** `gateway%ifindex[*weight]`. */
export function member(text: string): NextHopMember {
  const [, gateway, ifindex, weight] = /^(.*)%(\d+)(?:\*(\d+))?$/.exec(text)!;
  return { gateway: parseAddress(gateway)!, ifindex: Number(ifindex), weight: Number(weight ?? 1) };
}

/** Routes of one family: prefix -> set; 0 withdraws. */
export function batch(table: number, routes: Readonly<Record<string, number>>): RouteBatch {
  const entries = Object.entries(routes).map(([text, set]) => {
    const [address, length] = text.split("/");
    return { address: parseAddress(address)!, length: Number(length), set };
  });
  const size = entries[0].address.length;
  const addresses = new Uint8Array(entries.length * size);
  entries.forEach((entry, i) => {
    addresses.set(entry.address, i * size);
  });
  return {
    family: size === 4 ? 4 : 6,
    table,
    count: entries.length,
    addresses,
    lengths: Uint8Array.from(entries, (entry) => entry.length),
    nextHopSets: Uint32Array.from(entries, (entry) => entry.set),
  };
}

export async function eventually(what: () => void | Promise<void>, timeout = 5000): Promise<void> {
  for (const end = Date.now() + timeout; ; ) {
    try {
      await what();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
