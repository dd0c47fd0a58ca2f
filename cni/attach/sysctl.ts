// Interface settings that rtnetlink has no word for. /proc/sys/net shows the namespace of the calling thread.
import { writeFileSync } from "node:fs";
import { constants } from "node:os";
import { check, native } from "../../net/native.ts";

const CLONE_NEWNET = 0x40000000;

/** The host end: forwards, takes no addresses from advertisements, makes none up. Before it is raised. */
export function prepareHostEnd(name: string, ipv6: boolean): void {
  set("ipv4", name, "forwarding", "1");
  if (!ipv6) return;
  set("ipv6", name, "addr_gen_mode", "1");
  set("ipv6", name, "accept_ra", "0");
  set("ipv6", name, "disable_ipv6", "0");
}

/** Runtimes may switch IPv6 off in new namespaces; a pod with an IPv6 address needs it on this interface. */
export function enableIpv6Inside(netnsFd: number, ifname: string): void {
  const n = native();
  const self = check(n.open("/proc/thread-self/ns/net", 0), "open", "/proc/thread-self/ns/net");
  try {
    check(n.setns(netnsFd, CLONE_NEWNET), "setns");
    try {
      set("ipv6", ifname, "disable_ipv6", "0");
    } finally {
      if (n.setns(self, CLONE_NEWNET) < 0) process.kill(process.pid, constants.signals.SIGABRT);
    }
  } finally {
    n.close(self);
  }
}

function set(family: "ipv4" | "ipv6", name: string, key: string, value: string): void {
  const path = `/proc/sys/net/${family}/conf/${name}/${key}`;
  try {
    writeFileSync(path, value);
  } catch (error) {
    throw new Error(`cannot set ${path} to ${value}: ${(error as Error).message}`);
  }
}
