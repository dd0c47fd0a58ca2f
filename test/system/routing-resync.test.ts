// When the kernel's word is lost, cut short or contradicted under way, everything is read anew, within bounds.
import { type ChildProcess, spawn } from "node:child_process";
import { afterEach, beforeEach, expect, it } from "vitest";
import { formatAddress } from "../../net/address.ts";
import { native } from "../../net/native.ts";
import { encodeNextHopDump } from "../../routing/netlink/nexthop.ts";
import { NetlinkSocket } from "../../routing/netlink/socket.ts";
import { batch, eventually, member, Namespace, owned } from "./routing-namespace.ts";

let ns: Namespace;
let up0: number;
const children: ChildProcess[] = [];
beforeEach(() => {
  ns = new Namespace();
  up0 = ns.ifindex("up0");
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await ns.remove();
});

const routes = (count: number, set: number, family: 4 | 6 = 4) =>
  batch(
    7100,
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [
        family === 4 ? `10.${i >> 8}.${i & 255}.0/24` : `2001:db8:${i.toString(16)}::/48`,
        set,
      ]),
    ),
  );
const inKernel = (family = 4) => ns.run(`ip -${family} route show table 7100 proto 201`).match(/nhid/g)?.length ?? 0;

/** A program that never stops doing this. */
function endlessly(lines: string): void {
  const script = `while :; do printf '${lines}'; done | ip -force -batch -`;
  const child = spawn("ip", ["netns", "exec", ns.name, "sh", "-c", script], { stdio: "ignore", detached: true });
  children.push(child);
  const kill = child.kill.bind(child);
  // The whole pipeline.
  child.kill = (signal) => {
    process.kill(-child.pid!, signal);
    return kill(signal);
  };
}

it("answers that do not fit the receive buffer: the routes are listed, and tried again", async () => {
  const fib = ns.client({}, { answerBuffer: 1 });
  await fib.start();
  await fib.setOwned(owned);
  // IPv6 routes cannot use an IPv4 next hop: 400 refusals are more than the smallest buffer takes.
  fib.setNextHopSet(1, [member(`192.0.0.2%${up0}`)]);
  fib.apply(routes(400, 1, 6));
  await fib.flush();
  const { failed } = await fib.status();
  expect(failed).toHaveLength(400);
  expect(failed[0]).toMatchObject({ prefix: "2001:db8::/48", error: "the kernel's answer was lost" });
  expect(ns.events.filter(({ kind }) => kind === "error").map(({ message }) => message)).toContainEqual(
    expect.stringContaining("ENOBUFS"),
  );
  await eventually(() => expect(ns.events.some(({ kind }) => kind === "resync")).toBe(true));
  fib.setNextHopSet(1, [member(`fe80::2%${up0}`)]);
  await eventually(() => expect(inKernel(6)).toBe(400));
  await eventually(async () => expect(await fib.status()).toMatchObject({ installed: 400, failed: [] }));
  // Three times at most: once for each write that failed, and a look at the end.
  expect((await fib.status()).resyncs).toBeLessThan(6);
});

it("links are told by what changed, and are the kernel's, also when notifications were lost", async () => {
  const well = ns.client({ install: false });
  // Every burst is too much for it.
  const hard = ns.client({ install: false }, { receiveBuffer: 1 });
  await Promise.all([well.start(), hard.start()]);
  const known = (fib: typeof well) =>
    fib
      .links()
      .map(({ ifindex, name, up, mtu, mac, addresses }) => {
        const own = addresses.map(({ address, length }) => `${formatAddress(address)}/${length}`);
        return [ifindex, name, up, mtu, Buffer.from(mac).toString("hex"), ...own.sort()].join(" ");
      })
      .sort();
  interface Shown {
    ifindex: number;
    ifname: string;
    flags: string[];
    mtu: number;
    address: string;
    addr_info: { local: string; prefixlen: number }[];
  }
  const present = () =>
    ns
      .json<Shown>("address")
      .map(({ ifindex, ifname, flags, mtu, address, addr_info }) => {
        const own = addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
        const up = flags.includes("LOWER_UP") && flags.includes("UP");
        return [ifindex, ifname, up, mtu, address.replaceAll(":", ""), ...own.sort()].join(" ");
      })
      .sort();
  const same = () =>
    eventually(() => {
      const links = present();
      for (const fib of [well, hard]) expect(known(fib)).toEqual(links);
    });
  await same();

  const lo = well.links().find(({ name }) => name === "lo");
  ns.run("ip link set up0 name fabric0; ip link set up1 mtu 1400; ip addr add 198.51.100.1/24 dev up1");
  await same();
  // Had all of them been sent, it would be a copy.
  expect(well.links().find(({ name }) => name === "lo")).toBe(lo);

  const { resyncs } = await hard.status();
  const many = Array.from({ length: 15 }, (_, i) => `link add a${i} group ${i % 2} type veth peer name b${i}\n`);
  ns.run("ip -batch -", `${many.join("")}link set group 1 up\n`);
  ns.run("i=$(ip -o link show a1 | cut -d: -f1); ip link del a1; ip link add again index $i type veth peer name other");
  ns.run("ip link del group 1");
  await eventually(async () => expect((await hard.status()).resyncs).toBeGreaterThan(resyncs));
  await same();
});

it("dumps that another program's writes interrupt: what is there is not taken for gone, and what is gone comes back", async () => {
  ns.run("ip -batch -", Array.from({ length: 3000 }, (_, i) => `nexthop add id ${i + 1} blackhole`).join("\n"));
  const fib = ns.client();
  await fib.start();
  await fib.setOwned(owned);
  fib.setNextHopSet(1, [member(`192.0.0.2%${up0}`)]);
  fib.apply(routes(300, 1));
  await fib.flush();
  const group = ns.run("ip nexthop show proto 201");
  endlessly("nexthop add id 5000 blackhole\\nnexthop del id 5000\\n");

  // It really happens: a dump of that many objects takes several datagrams.
  const there = native().open(ns.path, 0);
  const socket = new NetlinkSocket({ netnsFd: there });
  let interrupted = 0;
  await eventually(() => {
    if (!socket.dumpEach(encodeNextHopDump, () => {})) interrupted++;
    expect(interrupted).toBeGreaterThan(2);
  });
  socket.close();
  native().close(there);

  ns.run("ip link set far0 down");
  await eventually(() => expect(fib.links().find(({ name }) => name === "up0")?.up).toBe(false));
  ns.run("ip link set far0 up; ip rule del pref 1000; ip route del 10.0.7.0/24 table 7100; true");
  await eventually(() => expect(inKernel()).toBe(300));
  await eventually(() => expect(ns.run("ip rule show pref 1000")).toContain("lookup 7000"));
  expect(ns.run("ip nexthop show proto 201")).toBe(group);
  for (const child of children) child.kill("SIGKILL");
  await eventually(() => expect(inKernel()).toBe(300));
  expect((await fib.status()).failed).toEqual([]);
});
