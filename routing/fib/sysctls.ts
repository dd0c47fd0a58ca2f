// The settings of the network namespace that routing depends on, through /proc/sys.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const IPV6_FORWARDING = "net/ipv6/conf/all/forwarding";

const SETTINGS: readonly (readonly [name: string, value: string, why: string])[] = [
  ["net/ipv4/ip_forward", "1", "pods' IPv4 packets are not forwarded"],
  [IPV6_FORWARDING, "1", "pods' IPv6 packets are not forwarded"],
  ["net/ipv4/nexthop_compat_mode", "0", "replacing a next-hop group takes time for every route that uses it"],
  ["net/ipv4/fib_multipath_hash_policy", "1", "flows between two hosts all take the same uplink"],
  ["net/ipv6/fib_multipath_hash_policy", "1", "flows between two hosts all take the same uplink"],
];

/**
 * An interface with accept_ra 1 loses its router-advertised default route, perhaps the host's only one, when forwarding
 * is switched on; 2 means the same with forwarding. Interfaces yet to come (pods) keep the kernel's default.
 */
function keepAdvertisedRoutes(): void {
  for (const name of readdirSync("/proc/sys/net/ipv6/conf")) {
    if (name === "all" || name === "default") continue;
    const path = `/proc/sys/net/ipv6/conf/${name}/accept_ra`;
    if (readFileSync(path, "utf8").trim() === "1") writeFileSync(path, "2");
  }
}

/** Writes what differs. Returns one line for each that could not be set: which, why, what follows, what to do. */
export function applySysctls(): string[] {
  const problems: string[] = [];
  for (const [name, value, consequence] of SETTINGS) {
    const path = `/proc/sys/${name}`;
    try {
      if (readFileSync(path, "utf8").trim() === value) continue;
      if (name === IPV6_FORWARDING) keepAdvertisedRoutes();
      writeFileSync(path, value);
    } catch (error) {
      const key = name.replaceAll("/", ".");
      const reason = (error as NodeJS.ErrnoException).code;
      if (reason === "ENOENT" && name.startsWith("net/ipv6/")) continue; // a kernel without IPv6
      problems.push(`cannot set ${key} (${reason}): ${consequence}. Set it with: sysctl -w ${key}=${value}`);
    }
  }
  return problems;
}
