// What people call a setting: `net.ipv4.conf.eth1/100.rp_filter` for net/ipv4/conf/eth1.100/rp_filter below /proc/sys.

/** As sysctl(8) takes it: a dot in an interface's name becomes a slash. */
export function sysctlName(path: string): string {
  return path
    .split("/")
    .map((part) => part.replaceAll(".", "/"))
    .join(".");
}
