// Other programs, settings, and what they do to our rules and routes.
import { type Fault, fault, ip, settings } from "./fault.ts";

export const kernelFaults: readonly Fault[] = [
  fault(
    "foreign-rule-first",
    "a rule of another program before ours",
    /rule 100: from all lookup 99/,
    ip("rule add pref 100 lookup 99 protocol static", "rule del pref 100"),
  ),
  fault(
    "foreign-rule-into-table",
    "a rule of another program into our table",
    /5000: from all lookup 7100/,
    ip("rule add pref 5000 lookup 7100 protocol static", "rule del pref 5000"),
  ),
  fault(
    "foreign-route",
    "a route of another program in our table",
    /table 7100.*10\.99\.0\.0\/16 of protocol 4/,
    ip("route add 10.99.0.0/16 dev lo table 7100 proto static", "route del 10.99.0.0/16 table 7100"),
  ),
  fault(
    "dead-default-first",
    "a default route in main that ends the lookup",
    /IPv4 route "unreachable 0\.0\.0\.0\/0 metric 9000"/,
    ip("route add unreachable default metric 9000", "route del unreachable default metric 9000"),
  ),
  fault(
    "foreign-next-hop",
    "a nexthop id of our range",
    /nexthop id 2010000900: belongs to protocol 4/,
    ip("nexthop add id 2010000900 blackhole proto static", "nexthop del id 2010000900"),
  ),
  fault(
    "protocol-shared",
    "our protocol number in another table",
    /10\.98\.0\.0\/16 in table 500/,
    ip("route add 10.98.0.0/16 dev lo table 500 proto 201", "route del 10.98.0.0/16 table 500"),
  ),
  fault(
    "forwarding-off",
    "forwarding off for interfaces to come",
    /new interfaces: net\.ipv4\.conf\.default\.forwarding is 0/,
    settings("net.ipv4.conf.default.forwarding", 0, 1),
  ),
  fault("bgp-port-shared", "a second program on port 179", /MainThread|node.*listens on 127\.0\.0\.1:179/, (sick) => {
    const child = sick.node.spawn(process.execPath, ["-e", 'require("net").createServer().listen(179, "127.0.0.1")']);
    return () => child.kill("SIGKILL");
  }),
  fault(
    "firewall-drops-pods",
    "a firewall that drops what it does not know",
    /ip filter FORWARD: drops by default/,
    async (sick) => {
      await sick.node.exec(
        "nft",
        "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }",
      );
      // Not taken away, but with a rule for all nodes' blocks.
      return () => sick.node.exec("nft", "add rule ip filter FORWARD ip saddr 10.244.0.0/16 accept");
    },
  ),
  fault(
    "blackhole-missing",
    "a route in the place of a blackhole",
    /10\.244\.1\.0\/26: .* a route of protocol 4 is in its place/,
    ip(
      "route replace unreachable 10.244.1.0/26 metric 65535 proto static table 7000",
      "route del 10.244.1.0/26 metric 65535 proto static table 7000",
    ),
  ),
  fault(
    "block-failed",
    "a block that cannot be announced without its blackhole",
    /10\.244\.9\.0\/31: is not announced: .*EEXIST/,
    ip(
      "route replace unreachable 10.244.9.0/31 metric 65535 proto static table 7000",
      "route del 10.244.9.0/31 metric 65535 proto static table 7000",
    ),
  ),
  fault(
    "route-refused",
    "a route in the place of a learned one",
    /10\.9\.0\.0\/16: refused by the kernel in table 7100 \(fabric\): .*EEXIST/,
    ip(
      "route replace 10.9.0.0/16 dev lo metric 201 proto static table 7100",
      "route del 10.9.0.0/16 metric 201 proto static table 7100",
    ),
  ),
  fault(
    "route-stray",
    "a route with our number that nobody wants",
    /10\.97\.0\.0\/16: has our protocol number/,
    ip(
      "route add 10.97.0.0/16 dev lo table 7100 proto 201 metric 5",
      "route del 10.97.0.0/16 table 7100 proto 201 metric 5",
    ),
  ),
  fault(
    "uplink-mtu",
    "an uplink with a small MTU",
    /eth0: has MTU 1400, and pods have up to 1500/,
    ip("link set eth0 mtu 1400", "link set eth0 mtu 1500"),
  ),
];
