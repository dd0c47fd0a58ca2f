// Failover with BFD, measured in lost packets:
//
//            /--[wire a]-- tor a --\
//   node1 --<                       >-- host 198.51.100.1      1,000 packets/s from node1 to the host
//            \--[wire b]-- tor b --/
//
// node1 runs underlayd, the ToRs run BIRD with BGP and BFD, the host's prefix is learned from both (ECMP). In the
// middle of the stream the bridge of wire a drops everything both ways: no link goes down, nobody is told. What does
// not arrive is counted by its number. One flow through the wire that dies is the worst case; 64 flows are spread over
// both.
import type { ChildProcess } from "node:child_process";
import { Bird } from "../interop/support/bird.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { sleep, waitFor } from "../interop/support/wait.ts";

const HOST = "198.51.100.1";
const PORT = 7777;
const RATE = 1000;
const SECONDS = 4;
/** When the wire dies, milliseconds after the first packet. */
const CUT_AFTER = 1000;
const FLOWS = 64;
const tors = ["a", "b"] as const;
type Tor = (typeof tors)[number];

/** Sends numbered packets, `count` of them at RATE, each from the next of the ports. */
const sender = `
  const dgram = require("dgram");
  const [host, port, rate, count, ...ports] = process.argv.slice(1);
  const sockets = ports.map((from) => dgram.createSocket("udp4").bind(Number(from)));
  const start = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.min(Number(count), Math.floor(((performance.now() - start) * rate) / 1000));
    for (; sent < due; sent++) {
      const packet = Buffer.alloc(64);
      packet.writeUInt32BE(sent);
      sockets[sent % sockets.length].send(packet, Number(port), host);
    }
    if (sent < Number(count)) return;
    clearInterval(timer);
    setTimeout(() => process.exit(), 200);
  }, 1);`;

/** Prints the number of each packet that arrives. */
const receiver = `
  const socket = require("dgram").createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
  socket.on("message", (packet) => process.stdout.write(packet.readUInt32BE() + "\\n"));
  socket.bind(Number(process.argv[1]), () => process.stdout.write("ready\\n"));`;

export async function run(runs: number): Promise<void> {
  for (const interval of [50, 300]) {
    const rack = await Rack.build(interval);
    try {
      for (const flows of [1, FLOWS]) {
        const lost: number[] = [];
        for (let i = 0; i < runs; i++) lost.push(await rack.measure(flows));
        lost.sort((a, b) => a - b);
        const line = { bfd: `3 x ${interval} ms`, flows, median: lost[lost.length >> 1], most: lost.at(-1), lost };
        console.log(JSON.stringify(line));
      }
    } finally {
      await rack.close();
    }
  }
}

class Rack {
  readonly #lab = new Lab("failover");
  readonly #node: Node;
  readonly #host: Node;
  readonly #wires = new Map<Tor, Node>();
  readonly #birds: Bird[] = [];
  #underlay: Underlay | null = null;

  private constructor() {
    this.#node = this.#lab.addNode("node1");
    this.#host = this.#lab.addNode("host");
    this.#node.addAddress("lo", "10.244.1.1/32");
    this.#host.addAddress("lo", `${HOST}/32`);
    // Flows, not only pairs of addresses, are spread.
    this.#node.ip("link", "set", "lo", "up");
  }

  static async build(interval: number): Promise<Rack> {
    const rack = new Rack();
    await rack.#node.exec("sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1");
    for (const [index, tor] of tors.entries()) await rack.#addTor(tor, index + 1, interval);
    rack.#host.ip("route", "add", "10.244.1.0/26", "nexthop", "via", "10.9.1.1", "nexthop", "via", "10.9.2.1");
    const peers = tors.map(
      (tor, index) =>
        `  ${tor}: { address: 10.0.${index + 1}.2, asn: 65001, families: [ipv4], import: all, export: blocks, connectRetry: 1s, bfd: { interval: ${interval}ms, multiplier: 3 } }`,
    );
    rack.#underlay = await Underlay.start(
      rack.#node,
      `node: { name: node1, asn: 65101, routerId: 10.0.0.11 }\npools: { default: { blocks: [10.244.1.0/26] } }\ntables: { fabric: { id: 7100, host: true } }\npeers:\n${peers.join("\n")}\n`,
    );
    return rack;
  }

  /** How many packets do not arrive. */
  async measure(flows: number): Promise<number> {
    await this.#whole();
    const ports = await this.#ports(flows);
    const arrived = new Set<number>();
    let ready = false;
    const listening = this.#host.spawn(process.execPath, ["-e", receiver, String(PORT)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let rest = "";
    listening.stdout?.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines)
        if (line === "ready") ready = true;
        else arrived.add(Number(line));
    });
    await waitFor(() => ready, "the receiver");
    const count = RATE * SECONDS;
    const sending = this.#node.spawn(process.execPath, [
      "-e",
      sender,
      HOST,
      String(PORT),
      String(RATE),
      String(count),
      ...ports.map(String),
    ]);
    await waitFor(() => arrived.size > 0, "the first packet");
    await sleep(CUT_AFTER);
    await this.#wire("a").exec(
      "nft",
      "add table bridge t; add chain bridge t c { type filter hook forward priority 0; }; add rule bridge t c drop",
    );
    await ended(sending);
    await sleep(200);
    listening.kill();
    await this.#wire("a").exec("nft", "flush", "ruleset");
    return count - arrived.size;
  }

  async close(): Promise<void> {
    await this.#underlay?.stop();
    await Promise.all(this.#birds.map((bird) => bird.close()));
    await this.#lab.close();
  }

  async #addTor(tor: Tor, n: number, interval: number): Promise<void> {
    const node = this.#lab.addNode(`tor-${tor}`);
    const wire = this.#lab.addNode(`wire-${tor}`);
    this.#wires.set(tor, wire);
    this.#lab.link({ node: this.#node, name: `eth${n}`, addresses: [`10.0.${n}.1/24`] }, { node: wire, name: "left" });
    this.#lab.link({ node, name: "south", addresses: [`10.0.${n}.2/24`] }, { node: wire, name: "right" });
    this.#lab.link(
      { node, name: "north", addresses: [`10.9.${n}.1/24`] },
      { node: this.#host, name: `eth${n}`, addresses: [`10.9.${n}.2/24`] },
    );
    wire.ip("link", "add", "bridge", "type", "bridge");
    for (const port of ["left", "right"]) wire.ip("link", "set", port, "master", "bridge");
    wire.ip("link", "set", "bridge", "up");
    await node.exec("sysctl", "-qw", "net.ipv4.ip_forward=1");
    node.ip("route", "add", `${HOST}/32`, "via", `10.9.${n}.2`);
    this.#birds.push(
      await Bird.start(
        node,
        `router id 10.0.0.${n};
protocol device {}
protocol kernel { ipv4 { export all; }; }
protocol static { ipv4; route 198.51.100.0/24 blackhole; }
protocol bfd { interface "*" { interval ${interval} ms; multiplier 3; }; }
protocol bgp node1 {
  local as 65001; neighbor 10.0.${n}.1 as 65101; bfd on;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}`,
      ),
    );
  }

  #wire(tor: Tor): Node {
    const wire = this.#wires.get(tor);
    if (!wire) throw new Error(`no wire ${tor}`);
    return wire;
  }

  /** Both sessions up, BFD with them, the route through both. */
  async #whole(): Promise<void> {
    const underlay = this.#underlay;
    if (!underlay) throw new Error("not built");
    const up = async () => {
      for (const tor of tors) {
        const { state, bfd } = await underlay.peer(tor);
        if (state !== "Established" || bfd?.state !== "Up") return false;
      }
      const route = (await underlay.kernel(4)).find(({ dst }) => dst === "198.51.100.0/24");
      return route?.gateways.length === 2;
    };
    await waitFor(up, "both ToRs", { timeout: 60_000 });
  }

  /** Source ports: of a single flow one that leads through the wire that will die. */
  async #ports(flows: number): Promise<number[]> {
    const all = Array.from({ length: FLOWS }, (_, i) => 20_000 + i);
    if (flows > 1) return all.slice(0, flows);
    for (const port of all) {
      const query = [
        "route",
        "get",
        HOST,
        "from",
        "10.0.1.1",
        "ipproto",
        "udp",
        "sport",
        String(port),
        "dport",
        String(PORT),
      ];
      if (this.#node.ip(...query).includes("dev eth1")) return [port];
    }
    throw new Error("no flow leads through wire a");
  }
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => (child.exitCode === null ? child.once("exit", () => resolve()) : resolve()));
