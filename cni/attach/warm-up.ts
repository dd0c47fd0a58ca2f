// The worker's part of a call, run before the first one comes. Nothing is written: what would be sent is encoded and put into
// words, and answers come from questions about the loopback device.
import { prefix } from "../../net/prefix.ts";
import { decodeLink, encodeGetLink, encodeNewVeth } from "../../routing/netlink/link.ts";
import { decodeIpv6Settings } from "../../routing/netlink/link-settings.ts";
import { NetlinkSocket } from "../../routing/netlink/socket.ts";
import { WriteLog } from "../../routing/netlink/write-log.ts";
import { encode, type Step, sendEncoded } from "./batch.ts";
import { HOST_MAC } from "./gateway.ts";
import { LaterLog } from "./later-log.ts";
import type { AttachRequest } from "./messages.ts";
import { inNamespace } from "./pod-namespace.ts";

const ROUNDS = 60;

/** `stepsOf`: what is sent for a pod. */
export function warmUpWiring(host: NetlinkSocket, stepsOf: (request: AttachRequest) => readonly Step[]): void {
  const still = { now: () => 0, after: () => ({ cancel() {} }) };
  const log = new WriteLog(still, { operations() {}, routes() {} });
  const later = new LaterLog(log);
  const silent = new NetlinkSocket(null);
  silent.onWritten = (bytes, failures) => later.written(bytes, failures, { netns: "", nameOf: () => "warm-up" });
  for (let round = 0; round < ROUNDS; round++) {
    inNamespace("/proc/thread-self/ns/net", "", (_fd, own) => {
      for (const socket of [host, own]) {
        const { out } = socket;
        out.reset();
        encodeGetLink(out, { name: "lo" });
        socket.flush((buffer, start, end) => {
          decodeLink(buffer, start, end);
          decodeIpv6Settings(buffer, start, end);
        });
      }
    });
    silent.request((out) => {
      const end = { name: request.hostInterface, mac: HOST_MAC, mtu: request.mtu, queues: 1 };
      encodeNewVeth(out, end, { ...end, netnsFd: 0 }, false);
    });
    sendEncoded(silent, encode(silent, stepsOf(request)));
  }
  later.flush();
}

const request: AttachRequest = {
  netns: "",
  netnsId: "",
  ifname: "eth0",
  hostInterface: "ul0123456789abc",
  alias: "",
  mac: HOST_MAC,
  mtu: 1500,
  addresses: [Uint8Array.of(192, 0, 2, 1), Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)],
  destinations: [prefix("0.0.0.0/0"), prefix("::/0")],
  routes: [],
  strictSource: true,
};
