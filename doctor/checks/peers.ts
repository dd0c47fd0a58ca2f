// Sessions: which are down and why, and what Established ones do not do.
import type { PeerView } from "../../bgp/views.ts";
import { type Check, check, type Facts, type Observation } from "../types.ts";

interface Cause extends Pick<Check, "id" | "title" | "cure"> {
  readonly fits: RegExp;
  /** Only of a peer with TCP MD5. */
  readonly withPassword?: boolean;
}

const UNANSWERED = /timed out|ETIMEDOUT|no answer|^$/;

/** Why a session is down, told by its last error; the first that fits. */
const causes: readonly Cause[] = [
  {
    id: "peer-refused",
    fits: /connection refused/,
    title: "The neighbour is there, but nothing listens on the BGP port at the configured address.",
    cure: "start BGP at the neighbour, and have it accept this node's address; compare `port`",
  },
  {
    id: "peer-unreachable",
    fits: /unreach|ENETDOWN|EHOSTDOWN|does not exist|ENODEV|EADDRNOTAVAIL/i,
    title:
      "There is no way to the neighbour's address: no connected network has it, the link is down, or nobody answers there.",
    cure: "ip route get ADDRESS, ip link, ip neigh: is the uplink up, does it have an address of the neighbour's network, is the cable in the right port?",
  },
  {
    id: "peer-wrong-as",
    fits: /Bad Peer AS|is in AS/,
    title: "The neighbour is in another AS than configured, or takes this node for one of another AS.",
    cure: "compare `asn` of the peer here and the neighbour's own, and `node.asn` with what the neighbour expects",
  },
  {
    id: "peer-wrong-id",
    fits: /Bad BGP Identifier|router id/i,
    title: "The neighbour has the same router id as this node, or one that is not allowed.",
    cure: "give every router an id of its own: node.routerId",
  },
  {
    id: "peer-hold-expired",
    fits: /hold timer expired|Hold Timer Expired/,
    title: "The neighbour went silent, or heard nothing of us, for the whole hold time.",
    cure: "look at the link's errors and MTU, and at the neighbour's CPU; underlayctl status has our own event loop delay",
  },
  {
    id: "peer-shut-by-neighbour",
    fits: /received.*(Administrative Shutdown|Peer De-configured|Connection Rejected|Administrative Reset)/,
    title: "The neighbour's operator has ended the session, or the neighbour does not know this node.",
    cure: "ask whoever runs the neighbour: is this node configured there, and not shut down?",
  },
  {
    id: "peer-limit-exceeded",
    fits: /down until|more than \d+ .*prefixes/,
    title: "The session was ended because of a prefix limit, and stays down.",
    cure: "find out why there are so many; then underlayctl reset PEER, or raise maxPrefixes and reload",
  },
  {
    id: "peer-not-found",
    fits: /router advertisement/,
    title: "No neighbour was found on the interface of an unnumbered peer.",
    cure: "is the neighbour configured for unnumbered, and do ICMPv6 133 to 136 pass?",
  },
  {
    id: "peer-role-mismatch",
    fits: /Role Mismatch/i,
    title: "The roles that both ends say do not fit together (RFC 9234).",
    cure: "compare `role` with the neighbour's local role",
  },
  {
    id: "peer-key",
    fits: UNANSWERED,
    withPassword: true,
    title:
      "A neighbour with a password does not answer: TCP drops in silence what is signed with another key, or signed at one end only.",
    cure: "compare the keys, and whether the neighbour has one for this node's address; nstat -az TcpExtTCPMD5Failure TcpExtTCPMD5NotFound TcpExtTCPMD5Unexpected counts at both ends",
  },
  {
    id: "peer-timeout",
    fits: UNANSWERED,
    title: "The neighbour does not answer. With ttlSecurity this is also what a closed port looks like.",
    cure: "ping the neighbour; does a firewall drop TCP 179, does the neighbour want a password?",
  },
];

/** Without those that an operator has taken out of service. */
const down = ({ peers, outOfService }: Pick<Facts, "peers" | "outOfService">) =>
  peers.filter(({ name, state, dynamic }) => state !== "Established" && !dynamic && !outOfService.peers.includes(name));
const established = ({ peers }: Pick<Facts, "peers">) => peers.filter(({ state }) => state === "Established");
const words = ({ lastError }: PeerView) => lastError ?? "";

function causeOf({ config }: Pick<Facts, "config">, peer: PeerView): Cause | undefined {
  const signed = config.peers.some(({ name, password }) => name === peer.name && password !== null);
  return causes.find(({ fits, withPassword }) => fits.test(words(peer)) && (signed || !withPassword));
}

const clockTime = (seconds: number) => new Date(seconds * 1000).toISOString().replace(".000", "");

/** Why there was an end to the session that there was, where that is not the last error. */
function lastSession({ lastReset, lastError }: PeerView): string {
  if (lastReset === null || lastReset.reason === lastError) return "";
  return `; its last session ended at ${clockTime(lastReset.time)}: ${lastReset.reason}`;
}

function isDown(peer: PeerView): Observation {
  const why = peer.lastError === null ? "no answer yet" : peer.lastError;
  const who = peer.address ?? "a neighbour yet to be found";
  return { subject: peer.name, text: `is ${peer.state} with ${who}: ${why}${lastSession(peer)}` };
}

const downChecks = causes.map(({ id, title, cure }) =>
  check({
    id,
    title,
    cure,
    severity: "fault",
    needs: ["peers", "config", "outOfService"],
    run: (facts) =>
      down(facts)
        .filter((peer) => causeOf(facts, peer)?.id === id)
        .map(isDown),
  }),
);

export const peerChecks: readonly Check[] = [
  ...downChecks,
  check({
    id: "peer-down",
    severity: "fault",
    title: "A session is down for another reason, which the finding has in words.",
    cure: "underlayctl peers PEER has why its last session ended, and what has gone wrong since",
    needs: ["peers", "config", "outOfService"],
    run: (facts) =>
      down(facts)
        .filter((peer) => causeOf(facts, peer) === undefined)
        .map(isDown),
  }),
  check({
    id: "peer-without-bfd",
    severity: "fault",
    title:
      "A session is Established, but BFD beside it is not Up: a path that dies in silence is noticed by the hold timer only.",
    cure: "is BFD configured at the neighbour, and does UDP 3784 (4784 with multihop) pass?",
    needs: ["peers"],
    *run(facts) {
      for (const { name, bfd } of established(facts))
        if (bfd && bfd.state !== "Up")
          yield { subject: name, text: `Established, but BFD is ${bfd.state} (at the neighbour ${bfd.remoteState})` };
    },
  }),
  check({
    id: "peer-silent",
    severity: "fault",
    title: "A session is Established with a policy that takes routes, but the neighbour has announced none.",
    cure: "what does the neighbour announce to this node: an export policy, default-originate, the address families?",
    needs: ["peers"],
    settles: true,
    *run(facts) {
      for (const peer of established(facts))
        if (peer.import !== "none" && peer.received === 0)
          yield { subject: peer.name, text: `has announced no prefix (import: ${peer.import})` };
    },
  }),
  check({
    id: "peer-all-rejected",
    severity: "fault",
    title: "A neighbour announces routes, and not one of them is accepted.",
    cure: "underlayctl received PEER says why each is not used; underlayctl policy test --import PEER PREFIX --received PEER goes through the policy",
    needs: ["peers"],
    settles: true,
    *run(facts) {
      for (const { name, received, accepted, import: policy } of established(facts))
        if (policy !== "none" && received > 0 && accepted === 0)
          yield { subject: name, text: `all ${received} prefixes received are rejected (import: ${policy})` };
    },
  }),
  check({
    id: "peer-near-limit",
    severity: "warning",
    title:
      "A neighbour has announced nearly as many prefixes as maxPrefixes allows; with one too many the session ends.",
    cure: "raise maxPrefixes, or have the neighbour announce less",
    needs: ["peers", "config"],
    *run(facts) {
      for (const { name, prefixes } of established(facts)) {
        const limits = facts.config.peers.find((peer) => peer.name === name)?.maxPrefixes;
        if (!limits) continue;
        const counts = { total: prefixes.received.total, ipv4: prefixes.received.ipv4, ipv6: prefixes.received.ipv6 };
        for (const family of ["total", "ipv4", "ipv6"] as const) {
          const limit = limits[family];
          if (limit !== null && counts[family] >= (limit * limits.warnAt) / 100 && counts[family] <= limit)
            yield {
              subject: name,
              text: `${counts[family]} of at most ${limit} ${family === "total" ? "" : `${family} `}prefixes received`,
            };
        }
      }
    },
  }),
  check({
    id: "peer-over-limit",
    severity: "fault",
    title: "A neighbour announces more than maxPrefixes; what is too much is dropped, or (action: warn) only told.",
    cure: "find out why there are so many; raise maxPrefixes, or have the neighbour announce less",
    needs: ["peers", "config"],
    *run(facts) {
      for (const { name, prefixes, errors } of established(facts)) {
        const limits = facts.config.peers.find((peer) => peer.name === name)?.maxPrefixes;
        const over =
          limits &&
          (["total", "ipv4", "ipv6"] as const).some((of) => limits[of] !== null && prefixes.received[of] > limits[of]);
        if (over || errors.prefixesDropped > 0)
          yield {
            subject: name,
            text: `${prefixes.received.total} prefixes received, ${errors.prefixesDropped} more dropped`,
          };
      }
    },
  }),
  check({
    id: "peer-told-nothing",
    severity: "fault",
    title:
      "This node has blocks and an export policy, but the neighbour was told of no prefix: pods cannot be reached through it.",
    cure: "underlayctl policy test --export PEER BLOCK; is the peer in the table of the pool?",
    needs: ["peers", "config", "outOfService"],
    settles: true,
    *run(facts) {
      for (const { name, advertised, export: policy, table } of established(facts)) {
        if (facts.outOfService.peers.includes(name)) continue;
        const id = facts.config.tables.find((entry) => entry.name === table)?.id;
        const blocks = facts.config.pools.filter((pool) => pool.table === id).flatMap((pool) => pool.blocks);
        if (policy !== "none" && blocks.length > 0 && advertised === 0)
          yield { subject: name, text: `was told of none of the blocks ${blocks.join(", ")} (export: ${policy})` };
      }
    },
  }),
  check({
    id: "peer-without-graceful-restart",
    severity: "warning",
    title:
      "This node offers graceful restart, the neighbour does not: a restart of the daemon interrupts traffic through it.",
    cure: "switch it on at the neighbour (FRR: bgp graceful-restart; BIRD: graceful restart), or set gracefulRestart: false",
    needs: ["peers", "config"],
    *run(facts) {
      for (const { name, capabilities } of established(facts)) {
        const offered = facts.config.peers.find((peer) => peer.name === name)?.gracefulRestart;
        if (offered && !capabilities.some((capability) => capability.startsWith("graceful restart")))
          yield { subject: name, text: "does not offer graceful restart" };
      }
    },
  }),
  check({
    id: "peer-stale-routes",
    severity: "warning",
    title:
      "Routes of a neighbour that was lost are still in use, until it is back or their time is over (RFC 4724, RFC 9494).",
    cure: "bring the neighbour back; underlayctl peers PEER says how long they may stay",
    needs: ["peers"],
    *run({ peers }) {
      for (const { name, stale, helper } of peers)
        if (stale > 0)
          yield {
            subject: name,
            text: `${stale} routes are stale${helper ? ` (${helper.phase}, ${helper.left} s left)` : ""}`,
          };
    },
  }),
  check({
    id: "peer-malformed-routes",
    severity: "warning",
    title:
      "A neighbour has sent malformed attributes: routes were treated as withdrawn, or attributes left out (RFC 7606).",
    cure: "the log has the attribute; have the neighbour's software looked at",
    needs: ["peers"],
    *run({ peers }) {
      for (const { name, errors } of peers)
        if (errors.treatedAsWithdrawn + errors.attributesDiscarded > 0)
          yield {
            subject: name,
            text: `${errors.treatedAsWithdrawn} routes treated as withdrawn, ${errors.attributesDiscarded} attributes discarded`,
          };
    },
  }),
  check({
    id: "next-hop-unresolved",
    severity: "fault",
    title: "Routes are not used because their next hop is on no connected network of this node.",
    cure: "have the neighbour announce itself as next hop (next-hop-self), or connect this node to the next hop's network",
    needs: ["unresolved"],
    settles: true,
    run: ({ unresolved }) =>
      unresolved.map(({ peer, count, examples }) => ({
        subject: peer,
        text: `${count} routes have a next hop that is on no connected network: ${examples
          .map(({ prefix, nextHops }) => `${prefix} via ${nextHops.join(" ")}`)
          .join(", ")}`,
      })),
  }),
  check({
    id: "out-of-service",
    severity: "info",
    title: "An operator has drained the node, or a neighbour: what is down because of that is no fault.",
    cure: "underlayctl undrain brings it back",
    needs: ["outOfService"],
    *run({ outOfService: { since, peers } }) {
      if (since !== null) yield { subject: "node", text: `is out of service since ${since}` };
      else
        for (const name of peers)
          yield { subject: name, text: "is out of service", cure: `underlayctl undrain ${name}` };
    },
  }),
  check({
    id: "single-neighbour",
    severity: "info",
    title: "Everything depends on one neighbour: when it fails, or is taken down for maintenance, the node is cut off.",
    cure: "connect the node to a second top-of-rack switch",
    needs: ["peers", "config"],
    *run(facts) {
      const up = established(facts);
      if (up.length === 1 && facts.config.pools.length > 0)
        yield { subject: up[0].name, text: "is the only neighbour with an Established session" };
    },
  }),
  check({
    id: "no-neighbours",
    severity: "warning",
    title: "No peers are configured: nothing is announced, nothing learned.",
    cure: "add peers to the configuration",
    needs: ["config"],
    *run({ config }) {
      if (config.peers.length + config.peerGroups.length === 0)
        yield { subject: config.file, text: "no peers are configured" };
    },
  }),
];
