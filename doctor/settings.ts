// Kernel settings that checks look at, by their path below /proc/sys.

export const nodeSettings: readonly string[] = [
  "net/ipv4/nexthop_compat_mode",
  "net/ipv4/fib_multipath_hash_policy",
  "net/ipv6/fib_multipath_hash_policy",
];

/** Of a pod's host interface. */
export function hostEndSettings(name: string): string[] {
  return [`net/ipv4/conf/${name}/forwarding`, `net/ipv6/conf/${name}/disable_ipv6`];
}
