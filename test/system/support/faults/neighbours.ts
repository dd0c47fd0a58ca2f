// Neighbours, and the uplinks that they are on. Sessions that end come last: it takes a moment until they are back.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Fault, fault, nope, reloaded, torConfigured } from "./fault.ts";

export const neighboursFaults: readonly Fault[] = [
  fault(
    "peer-silent",
    "a neighbour that announces nothing",
    /tor: has announced no prefix/,
    torConfigured({ export: "none" }),
  ),
  fault(
    "peer-all-rejected",
    "an import policy that rejects everything",
    /tor: all \d+ prefixes received are rejected/,
    reloaded({ peer: "import: nope", more: nope }),
  ),
  fault(
    "peer-told-nothing",
    "an export policy that rejects everything",
    /tor: was told of none of the blocks 10\.244\.1\.0\/26/,
    reloaded({ peer: "import: all, export: nope", more: nope }),
  ),
  fault(
    "block-not-announced",
    "blocks that nobody is told of",
    /10\.244\.1\.0\/26: is pending/,
    reloaded({ peer: "import: all, export: nope", more: nope }),
  ),
  fault(
    "peer-near-limit",
    "nearly too many prefixes",
    /tor: 4 of at most 5 prefixes/,
    reloaded({ peer: "import: all, maxPrefixes: { limit: 5, warnAt: 80, action: warn }" }),
  ),
  fault(
    "peer-over-limit",
    "too many prefixes",
    /tor: 4 prefixes received/,
    reloaded({ peer: "import: all, maxPrefixes: { limit: 2, action: warn }" }),
  ),
  fault(
    "peer-without-bfd",
    "a neighbour without BFD",
    /tor: Established, but BFD is Down/,
    reloaded({ peer: "import: all, bfd: true" }),
  ),
  fault(
    "next-hop-unresolved",
    "a next hop out of the blue",
    /tor: \d+ routes have a next hop .* via 10\.66\.0\.1/,
    torConfigured({ export: "filter { if net.type = NET_IP4 then bgp_next_hop = 10.66.0.1; accept; }" }),
  ),
  fault(
    "peer-unreachable",
    "a neighbour in no network of ours",
    /far: is \w+ with 10\.77\.0\.1/,
    reloaded({ peers: "  far: { address: 10.77.0.1, asn: 65002, import: all, export: none, connectRetry: 1s }" }),
  ),
  fault(
    "peer-refused",
    "a neighbour without BGP",
    /deaf: is \w+ with 10\.0\.0\.5: connection refused/,
    reloaded({
      peers: "  deaf: { address: 10.0.0.5, port: 1179, asn: 65002, import: all, export: none, connectRetry: 1s }",
    }),
  ),
  fault("peer-key", "a neighbour without the key", /locked: is \w+ with 10\.0\.0\.5: no answer/, async (sick) => {
    writeFileSync(join(sick.underlay.directory, "locked.key"), "secret", { mode: 0o600 });
    return reloaded({
      peers: "  locked: { address: 10.0.0.5, asn: 65002, import: all, export: none, password: { file: locked.key } }",
    })(sick);
  }),
  fault("peer-timeout", "a neighbour behind a firewall", /walled: is \w+ with 10\.0\.0\.5: no answer/, async (sick) => {
    const rules =
      "add table ip wall; add chain ip wall in { type filter hook input priority 0; }; add rule ip wall in ip daddr 10.0.0.5 drop";
    await sick.tor.exec("nft", rules);
    const undo = await reloaded({ peers: "  walled: { address: 10.0.0.5, asn: 65002, import: all, export: none }" })(
      sick,
    );
    return async () => {
      await undo();
      await sick.tor.exec("nft", "delete table ip wall");
    };
  }),
  fault("uplink-down", "an uplink without a carrier", /eth1: has no carrier; side cannot be reached/, async (sick) => {
    sick.tor.ip("link", "set", "eth1", "down");
    const undo = await reloaded({
      peers: "  side: { address: 10.1.0.1, asn: 65002, import: all, export: none, connectRetry: 1s }",
    })(sick);
    return async () => {
      await undo();
      sick.tor.ip("link", "set", "eth1", "up");
    };
  }),
  fault(
    "uplink-without-address",
    "no address in a neighbour's network",
    /far: no interface .* 10\.77\.0\.1/,
    reloaded({ peers: "  far: { address: 10.77.0.1, asn: 65002, import: all, export: none, connectRetry: 1s }" }),
  ),
  fault(
    "uplink-missing",
    "a peer on an interface that is not there",
    /eth9: does not exist; peer ghost/,
    reloaded({ peers: "  ghost: { interface: eth9, asn: external, import: all, export: none }" }),
  ),
  fault(
    "neighbour-unresolved",
    "a neighbour that does not answer ARP",
    /10\.0\.0\.77: does not answer on eth0/,
    reloaded({ peers: "  mute: { address: 10.0.0.77, asn: 65002, import: all, export: none, connectRetry: 1s }" }),
  ),
  fault(
    "peer-without-graceful-restart",
    "a neighbour without graceful restart",
    /tor: does not offer graceful restart/,
    torConfigured({ gracefulRestart: "off" }),
  ),
  fault(
    "peer-shut-by-neighbour",
    "a session that the neighbour's operator ends",
    /tor: is \w+ with 10\.0\.0\.1: .*Administrative Shutdown/,
    async (sick) => {
      await sick.bird.birdc("disable node");
      return () => sick.bird.birdc("enable node");
    },
  ),
  fault("peer-wrong-as", "a neighbour in another AS", /tor: .*(Bad Peer AS|AS 65009)/, torConfigured({ asn: 65009 })),
];
