// Settings of an interface that decide what becomes of a packet that arrives by it, from /proc/sys/net of the calling
// thread's namespace. The kernel combines some of them with those of `all`, and so is done here (IN_DEV_ORCONF and others).
import { readFileSync } from "node:fs";
import type { Family } from "../../net/address.ts";
import type { InterfaceSettings } from "./types.ts";

/** One setting as a number; 0 where the kernel does not have it. */
export type ReadSetting = (family: Family, name: string, setting: string) => number;

const readSetting: ReadSetting = (family, name, setting) => {
  try {
    return Number(readFileSync(`/proc/sys/net/ipv${family}/conf/${name}/${setting}`, "utf8").trim());
  } catch {
    return 0;
  }
};

export function interfaceSettings(family: Family, name: string, read: ReadSetting = readSetting): InterfaceSettings {
  const own = (setting: string) => read(family, name, setting);
  const all = (setting: string) => read(family, "all", setting);
  const either = (setting: string) => own(setting) !== 0 || all(setting) !== 0;
  const forwarding = own("forwarding") !== 0;
  if (family === 6)
    return {
      forwarding,
      rpFilter: 0,
      acceptLocal: true,
      routeLocalnet: false,
      sourceValidMark: false,
      sendRedirects: false,
      broadcastForwarding: false,
    };
  return {
    forwarding,
    rpFilter: Math.max(own("rp_filter"), all("rp_filter")),
    acceptLocal: either("accept_local"),
    routeLocalnet: either("route_localnet"),
    sourceValidMark: either("src_valid_mark"),
    sendRedirects: either("send_redirects"),
    broadcastForwarding: own("bc_forwarding") !== 0 && all("bc_forwarding") !== 0,
  };
}
