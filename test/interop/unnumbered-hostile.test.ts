// A hostile host on the link of an unnumbered neighbour: it floods router advertisements from thousands of addresses, sends
// broken ones, and connects. The session, the neighbour and the memory stay as they are.
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseAddress } from "../../net/address.ts";
import { check, native } from "../../net/native.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { Underlay } from "./support/underlay.ts";
import { sleep, waitFor } from "./support/wait.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_IPV6 = 0x86dd;
const ALL_NODES = parseAddress("ff02::1") as Uint8Array;

const yaml = (asn: number, device: string, block: string) => `
node: { name: as${asn}, asn: ${asn}, routerId: 10.0.0.${asn & 255} }
pools: { default: { blocks: [${block}] } }
routing: { install: false }
peers: { tor: { interface: ${device}, asn: external, import: all, export: blocks, connectRetry: 1s, holdTime: 6s } }
`;

let lab: Lab;
let us: Node;
let tor: Node;
let underlay: Underlay;
let other: Underlay;

beforeAll(async () => {
  lab = new Lab("unnumh");
  us = lab.addNode("us");
  tor = lab.addNode("tor");
  lab.link({ node: us, name: "eth1" }, { node: tor, name: "swp1" });
  // What the kernel would do with thousands of routers is not what is tested.
  await us.exec("sysctl", "-qw", "net.ipv6.conf.eth1.accept_ra=0");
  await tor.exec("sysctl", "-qw", "net.ipv6.conf.swp1.accept_ra=0");
  [underlay, other] = await Promise.all([
    Underlay.start(us, yaml(65101, "eth1", "10.244.1.0/26")),
    Underlay.start(tor, yaml(65001, "swp1", "10.244.2.0/26")),
  ]);
});

afterAll(async () => {
  await Promise.all([underlay?.stop(), other?.stop()]);
  await lab.close();
});

/** An Ethernet frame with an ICMPv6 message to all nodes. */
function frame(source: Uint8Array, message: Uint8Array, hopLimit = 255): Uint8Array {
  const packet = Buffer.alloc(14 + 40 + message.length);
  packet.set([0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60]);
  packet.writeUInt16BE(message.length, 18);
  packet.set([58, hopLimit], 20);
  packet.set(source, 22);
  packet.set(ALL_NODES, 38);
  packet.set(message, 54);
  // RFC 4443 §2.3: over addresses, length and next header too.
  let sum = message.length + 58;
  for (let at = 22; at < packet.length; at += 2) sum += (packet[at] << 8) | (packet[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  packet.writeUInt16BE(~sum & 0xffff, 56);
  return packet;
}

const linkLocalOf = (n: number) => Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 0, n >>> 16, n >>> 8, n);
const advertisement = Uint8Array.of(134, 0, 0, 0, 64, 0, 0x23, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9);

async function flood(count: number, build: (n: number) => Uint8Array): Promise<void> {
  const leave = tor.enter({ tested: false });
  const system = native();
  const fd = check(system.socket(AF_PACKET, SOCK_RAW, 0), "socket");
  const link = Buffer.alloc(20);
  link.writeUInt16LE(AF_PACKET, 0);
  link.writeUInt16BE(ETH_P_IPV6, 2);
  link.writeInt32LE(system.ifNameToIndex("swp1"), 4);
  leave();
  try {
    for (let n = 0; n < count; n++) {
      system.sendto(fd, build(n), link, 0);
      // The senders of this process share one thread with the questions that it asks.
      if (n % 500 === 499) await sleep(1);
    }
  } finally {
    system.close(fd);
  }
}

const memory = async () => {
  const { pid } = await underlay.status();
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
};

it("holds through 20,000 advertisements from as many addresses, and as many broken ones", async () => {
  await underlay.waitEstablished("tor", 60_000);
  const before = await underlay.peer("tor");
  const resident = await memory();
  await flood(20_000, (n) => frame(linkLocalOf(n), advertisement));
  const broken = [
    (n: number) => frame(linkLocalOf(n), advertisement, 64),
    (n: number) =>
      frame(
        linkLocalOf(n),
        Uint8Array.from(advertisement, (byte, at) => (at === 17 ? 0 : byte)),
      ),
    (n: number) => frame(linkLocalOf(n), advertisement.subarray(0, 8 + (n % 16))),
    (n: number) => frame(Uint8Array.of(0x20, 1, ...linkLocalOf(n).subarray(2)), advertisement),
  ];
  await flood(20_000, (n) => broken[n % broken.length](n));
  const after = await underlay.peer("tor");
  expect(after).toMatchObject({ state: "Established", establishedCount: 1, address: before.address });
  const { neighbours, advertisements, lastIgnored } = after.unnumbered ?? {};
  expect(neighbours).toHaveLength(8);
  expect(neighbours?.[0]).toMatchObject({ present: true, address: before.address?.split("%")[0] });
  // How many of them are read is bounded by the second, and a flood may be over in less.
  expect(advertisements?.received).toBeGreaterThan(10);
  expect(advertisements?.ignored).toBeGreaterThan(10);
  expect(lastIgnored).toMatch(/hop limit 64|length 0|cut short|not a link-local/);
  expect((await memory()) - resident).toBeLessThan(60);
  // Its hold time is six seconds: nothing was late.
  await sleep(7_000);
  expect((await underlay.peer("tor")).establishedCount).toBe(1);
}, 120_000);

it("does not let a stranger on the link take the place of the neighbour that it has", async () => {
  const { address, establishedCount } = await underlay.peer("tor");
  tor.addAddress("swp1", "fe80::bad/64");
  const ours = (await underlay.peer("tor")).unnumbered?.localAddresses[0];
  const leave = tor.enter({ tested: false });
  const socket = connect({ host: `${ours}%swp1`, port: 179, localAddress: "fe80::bad%swp1" });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  let connected = false;
  socket.on("connect", () => {
    connected = true;
  });
  socket.on("error", () => {});
  await closed;
  leave();
  expect(connected).toBe(true);
  await waitFor(
    async () => (await underlay.peer("tor")).unnumbered?.neighbours.some((entry) => entry.address === "fe80::bad"),
    "the stranger to be shown",
  );
  await sleep(5_000);
  expect(await underlay.peer("tor")).toMatchObject({ state: "Established", address, establishedCount });
});
