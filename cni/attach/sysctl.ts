// Interface settings that rtnetlink has no word for. /proc/sys/net shows the namespace of the calling thread.
import { writeFileSync } from "node:fs";
import { constants } from "node:os";
import { check, native } from "../../net/native.ts";
import { CLONE_NEWNET } from "../../net/network-namespace.ts";
import type { Ipv6Settings } from "../../routing/netlink/link-settings.ts";

/** Told of each setting that was written. */
type Written = (name: string, value: string) => void;

/**
 * The host end's IPv6: takes nothing from advertisements. What is so already (`now`) is not written. Before it is raised.
 * `used`: the pod has an IPv6 address; without one the host's defaults stay, unless they take advertisements on a router.
 */
export function prepareHostEnd(name: string, used: boolean, now: Ipv6Settings | null, written: Written): void {
  if (!used) {
    if (now?.acceptRa === 2) set("ipv6", name, "accept_ra", "0", written);
    return;
  }
  if (now?.acceptRa !== 0) set("ipv6", name, "accept_ra", "0", written);
  if (now?.disabled !== 0) set("ipv6", name, "disable_ipv6", "0", written);
}

/** Runtimes may switch IPv6 off in new namespaces; a pod with an IPv6 address needs it on this interface. */
export function enableIpv6Inside(netnsFd: number, ifname: string, written: Written): void {
  const n = native();
  const self = check(n.open("/proc/thread-self/ns/net", 0), "open", "/proc/thread-self/ns/net");
  try {
    check(n.setns(netnsFd, CLONE_NEWNET), "setns");
    try {
      set("ipv6", ifname, "disable_ipv6", "0", written);
    } finally {
      if (n.setns(self, CLONE_NEWNET) < 0) process.kill(process.pid, constants.signals.SIGABRT);
    }
  } finally {
    n.close(self);
  }
}

function set(family: "ipv6", name: string, key: string, value: string, written: Written): void {
  const path = `/proc/sys/net/${family}/conf/${name}/${key}`;
  try {
    writeFileSync(path, value);
    written(`net.${family}.conf.${name}.${key}`, value);
  } catch (error) {
    throw new Error(`cannot set ${path} to ${value}: ${(error as Error).message}`);
  }
}
