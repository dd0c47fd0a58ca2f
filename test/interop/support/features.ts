// What is to be proven against real daemons: the rows of docs/interop.md. A test says what it has proven with proves().
export const daemons = { frr: "FRR", bird: "BIRD", gobgp: "GoBGP", openbgpd: "OpenBGPD", exabgp: "ExaBGP" } as const;
export type Daemon = keyof typeof daemons;

/** `without`: the daemon, in the version that Debian 12 has, does not have it. */
interface FeatureRow {
  readonly title: string;
  readonly without?: readonly Daemon[];
}

export const features = {
  // Sessions
  active: { title: "Sessions opened by us" },
  passive: { title: "Sessions opened by the neighbour" },
  ipv6: { title: "IPv6 unicast (RFC 4760)" },
  as4: { title: "4-octet AS numbers (RFC 6793)" },
  ibgp: { title: "iBGP" },
  "route-exchange": { title: "Routes both ways, withdrawn again" },
  // GoBGP and OpenBGPD close one of the two unread, whatever the identifiers.
  collision: { title: "Connection collision (RFC 4271 §6.8)", without: ["gobgp", "openbgpd"] },
  "bgp-identifier": { title: "BGP identifier checks (RFC 6286)" },
  "hold-time": { title: "Hold time negotiated, keepalives in time" },
  md5: { title: "TCP MD5 (RFC 2385)" },
  // The others reset the session to change their own.
  "md5-change": { title: "A key that is changed without a reset", without: ["gobgp", "openbgpd", "exabgp"] },
  gtsm: { title: "GTSM (RFC 5082)" },
  multihop: { title: "More than one hop away" },
  "other-port": { title: "Another port than 179" },
  "listen-range": { title: "Neighbours out of a range" },
  "route-refresh": { title: "Route refresh (RFC 2918)" },
  "enhanced-refresh": { title: "Enhanced route refresh (RFC 7313)", without: ["gobgp"] },
  "extended-message": { title: "Extended messages (RFC 8654)", without: ["openbgpd"] },
  "extended-parameters": { title: "Extended optional parameters (RFC 9072)", without: ["gobgp", "exabgp"] },
  "cease-subcodes": { title: "Cease subcodes (RFC 4486)" },
  "shutdown-communication": { title: "Shutdown communication (RFC 9003)" },
  "local-as": { title: "Local AS" },
  "allow-as-in": { title: "Our own AS in the path" },
  "reflector-client": { title: "Client of a route reflector (RFC 4456)", without: ["exabgp"] },
  reflector: { title: "Route reflector for it (RFC 4456)" },
  roles: { title: "Roles and OTC (RFC 9234)", without: ["gobgp", "exabgp"] },
  "prefix-limit": { title: "Prefix limit" },
  "prefix-limit-out": { title: "Outbound prefix limit" },
  "as-sets": { title: "AS_SET refused (RFC 9774)" },
  "graceful-shutdown": { title: "Graceful shutdown (RFC 8326)" },
  // Unnumbered
  unnumbered: {
    title: "Unnumbered: neighbour found by router advertisements",
    without: ["gobgp", "openbgpd", "exabgp"],
  },
  "link-local": { title: "Session over IPv6 link-local" },
  "extended-next-hop": { title: "IPv4 with IPv6 next hops (RFC 8950)", without: ["openbgpd"] },
  // Graceful restart
  "gr-helper": { title: "Graceful restart: it restarts (RFC 4724)", without: ["openbgpd"] },
  "gr-restarting": { title: "Graceful restart: we restart (RFC 4724)", without: ["exabgp"] },
  "gr-notification": { title: "N bit and hard reset (RFC 8538)", without: ["bird", "openbgpd", "exabgp"] },
  llgr: { title: "Long-lived graceful restart (RFC 9494)", without: ["openbgpd", "exabgp"] },
  // Routes
  communities: { title: "Communities (RFC 1997)" },
  "extended-communities": { title: "Extended communities (RFC 4360)" },
  "large-communities": { title: "Large communities (RFC 8092)" },
  "add-path-receive": { title: "ADD-PATH, several paths from it (RFC 7911)" },
  "add-path-send": { title: "ADD-PATH, several paths to it (RFC 7911)" },
  multipath: { title: "ECMP over it and another neighbour" },
  "link-bandwidth": { title: "Link bandwidth to weights", without: ["bird", "openbgpd"] },
  policy: { title: "Import and export policies" },
  "policy-change": { title: "A policy changed under a running session" },
  "default-deny": { title: "Nothing without a policy (RFC 8212)" },
  "unknown-attributes": { title: "Unknown attributes passed on, partial (RFC 4271 §5)" },
  "revised-errors": { title: "Malformed attributes treated as RFC 7606 says" },
  // BFD
  bfd: { title: "BFD (RFC 5880, 5881)", without: ["gobgp", "openbgpd", "exabgp"] },
  "bfd-multihop": { title: "Multihop BFD (RFC 5883)", without: ["gobgp", "openbgpd", "exabgp"] },
  "bfd-link-local": { title: "BFD over IPv6 link-local", without: ["gobgp", "openbgpd", "exabgp"] },
} as const satisfies Record<string, FeatureRow>;
export type Feature = keyof typeof features;
