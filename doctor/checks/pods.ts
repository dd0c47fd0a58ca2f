// Pods: both ends of each cable, the host's way to each address, and the books.
import { decodeAlias, isOurAlias } from "../../cni/attach/alias.ts";
import { formatMac, GATEWAY_IPV4, GATEWAY_IPV6, HOST_MAC } from "../../cni/attach/gateway.ts";
import { parseRange } from "../../cni/ipam/range.ts";
import { RangeSet } from "../../cni/ipam/range-set.ts";
import type { PodLook } from "../../cni/types.ts";
import { formatAddress, parseAddress } from "../../net/address.ts";
import { contains, hostPrefix, prefix } from "../../net/prefix.ts";
import { LinkFlag, NeighbourState } from "../../routing/netlink/constants.ts";
import type { Link } from "../../routing/netlink/link.ts";
import { indexOf, neighbourKey } from "../kernel-index.ts";
import { type Check, check, type Facts, type Observation } from "../types.ts";
import { blocksOf } from "./foreign.ts";

const anew = "recreate the pod: the runtime then attaches it anew";

function nameOf({ pod, containerId, ifname }: PodLook): string {
  return `${pod ?? containerId} (${ifname})`;
}

function hostEnd({ kernel }: Pick<Facts, "kernel">, pod: PodLook): Link | undefined {
  const link = indexOf(kernel.state).linkNamed.get(pod.hostInterface);
  return link && isOurAlias(link.alias) ? link : undefined;
}

/** Pods whose cable is there at both ends. */
function* whole(facts: Pick<Facts, "kernel" | "pods">) {
  for (const pod of facts.pods) {
    const host = hostEnd(facts, pod);
    if (host && pod.end?.link) yield { pod, host, end: pod.end, link: pod.end.link };
  }
}

/** One observation per address for which `text` has one. */
function* perAddress(
  facts: Pick<Facts, "kernel" | "pods">,
  text: (address: string, pod: PodLook, host: Link) => string | null,
): Iterable<Observation> {
  for (const pod of facts.pods) {
    const host = hostEnd(facts, pod);
    if (!host) continue;
    for (const address of pod.addresses) {
      const said = text(address, pod, host);
      if (said !== null) yield { subject: nameOf(pod), text: said };
    }
  }
}

function localRoute({ kernel }: Pick<Facts, "kernel">, address: string) {
  return indexOf(kernel.state).localRoute.get(address);
}

export const podChecks: readonly Check[] = [
  check({
    id: "pod-cut-off",
    severity: "fault",
    title: "The host interface of a pod is gone, and the pod is still there: somebody deleted the interface.",
    cure: anew,
    needs: ["pods", "kernel"],
    settles: true,
    *run(facts) {
      for (const pod of facts.pods)
        if (!hostEnd(facts, pod) && (pod.end !== null || !pod.namespaceKnown))
          yield { subject: nameOf(pod), text: `its host interface ${pod.hostInterface} is gone` };
    },
  }),
  check({
    id: "pod-namespace-gone",
    severity: "fault",
    title:
      "The network namespace of a pod cannot be found at its path, and its interface is still there: the runtime lost track of the pod, or is about to remove it. When nobody is in it or keeps it, it is released after cni.vanishedAfter; the log says who does.",
    cure: "ask the runtime whether the pod runs; a DEL for it frees its addresses (crictl stopp, podman rm)",
    needs: ["pods", "kernel"],
    settles: true,
    *run({ pods }) {
      for (const pod of pods)
        if (pod.namespaceKnown && pod.end === null)
          yield { subject: nameOf(pod), text: `its network namespace is not at ${pod.netns} any more` };
    },
  }),
  check({
    id: "pod-interface-missing",
    severity: "fault",
    title: "The interface is missing inside a pod: renamed, or moved to another namespace.",
    cure: anew,
    needs: ["pods", "kernel"],
    settles: true,
    *run(facts) {
      for (const pod of facts.pods)
        if (pod.end && pod.end.link === null && hostEnd(facts, pod))
          yield { subject: nameOf(pod), text: `there is no interface ${pod.ifname} in its namespace` };
    },
  }),
  check({
    id: "pod-interface-down",
    severity: "fault",
    title: "The interface inside a pod is down.",
    cure: "ip link set up inside of the pod, or recreate it",
    needs: ["pods", "kernel"],
    settles: true,
    *run(facts) {
      for (const { pod, link } of whole(facts))
        if (!link.up) yield { subject: nameOf(pod), text: `its interface ${pod.ifname} is down` };
    },
  }),
  check({
    id: "pod-host-end-down",
    severity: "fault",
    title: "The host's end of a pod's cable is down.",
    cure: "ip link set INTERFACE up",
    needs: ["pods", "kernel"],
    settles: true,
    *run(facts) {
      for (const pod of facts.pods) {
        const host = hostEnd(facts, pod);
        if (host && (host.flags & LinkFlag.up) === 0)
          yield {
            subject: nameOf(pod),
            text: `its host interface ${host.name} is down`,
            cure: `ip link set ${host.name} up`,
          };
      }
    },
  }),
  check({
    id: "pod-route-missing",
    severity: "fault",
    title: "The host has no route to a pod in the local table: packets to it end in the block's blackhole.",
    cure: "the daemon puts it back while the pod's interface is up; underlayctl watch --types kernel tells who takes it away",
    needs: ["pods", "kernel", "config"],
    settles: true,
    *run(facts) {
      if (!facts.config.routing.install) return;
      yield* perAddress(facts, (address, _pod, host) =>
        localRoute(facts, address) || (host.flags & LinkFlag.up) === 0 ? null : `the host has no route to ${address}`,
      );
    },
  }),
  check({
    id: "pod-route-elsewhere",
    severity: "fault",
    title: "The host's route to a pod leads to another interface than the pod's.",
    cure: "ip route show table LOCAL (7000) has it with its protocol: remove it, and the pod's own comes back",
    needs: ["pods", "kernel", "config"],
    settles: true,
    run: (facts) =>
      perAddress(facts, (address, _pod, host) => {
        const route = localRoute(facts, address);
        if (!route || route.hops[0]?.ifindex === host.ifindex) return null;
        const to = indexOf(facts.kernel.state).linkAt.get(route.hops[0]?.ifindex)?.name;
        return `the host's route to ${address} (protocol ${route.protocol}) leads to ${to ?? "nowhere"} instead of ${host.name}`;
      }),
  }),
  check({
    id: "pod-neighbour",
    severity: "fault",
    title:
      "The permanent neighbour entry for a pod is missing on the host, or has another MAC: packets to the pod may be dropped.",
    cure: "ip neigh replace ADDRESS lladdr MAC dev INTERFACE nud permanent, or recreate the pod",
    needs: ["pods", "kernel"],
    settles: true,
    *run(facts) {
      for (const { pod, host, link } of whole(facts))
        for (const address of pod.addresses) {
          const entry = indexOf(facts.kernel.state).neighbour.get(neighbourKey(host.ifindex, address));
          const cure = `ip neigh replace ${address} lladdr ${link.mac} dev ${host.name} nud permanent`;
          if (!entry || (entry.state & NeighbourState.permanent) === 0)
            yield { subject: nameOf(pod), text: `no permanent neighbour entry for ${address} on ${host.name}`, cure };
          else if (formatMac(entry.mac) !== link.mac && link.mac === pod.mac)
            yield {
              subject: nameOf(pod),
              text: `the host sends packets for ${address} to ${formatMac(entry.mac)}, its MAC is ${link.mac}`,
              cure,
            };
        }
    },
  }),
  check({
    id: "pod-mac-changed",
    severity: "fault",
    title: "The interface inside a pod has another MAC than it was attached with, and the host sends to the old one.",
    cure: "ip neigh replace ADDRESS lladdr MAC dev INTERFACE nud permanent on the host, or recreate the pod; request a MAC with runtimeConfig.mac",
    needs: ["pods", "kernel"],
    *run(facts) {
      for (const { pod, host, link } of whole(facts)) {
        const { neighbour } = indexOf(facts.kernel.state);
        const [sent] = pod.addresses.flatMap((address) => neighbour.get(neighbourKey(host.ifindex, address)) ?? []);
        if (pod.mac !== "" && link.mac !== pod.mac && sent && formatMac(sent.mac) !== link.mac)
          yield { subject: nameOf(pod), text: `its interface has MAC ${link.mac} instead of ${pod.mac}` };
      }
    },
  }),
  check({
    id: "pod-address-missing",
    severity: "fault",
    title: "An address of a pod is not on its interface any more.",
    cure: anew,
    needs: ["pods", "kernel"],
    settles: true,
    *run(facts) {
      for (const { pod, end } of whole(facts))
        for (const address of pod.addresses)
          if (!end.addresses.includes(address))
            yield { subject: nameOf(pod), text: `${address} is not on ${pod.ifname}` };
    },
  }),
  check({
    id: "pod-default-route",
    severity: "fault",
    title: "A pod has no default route through its interface: it reaches nobody.",
    cure: "put it back inside of the pod (ip route add default via 169.254.1.1 dev eth0 onlink; ip -6 route add default via fe80::1 dev eth0), or recreate the pod",
    needs: ["pods", "kernel"],
    settles: true,
    *run(facts) {
      for (const { pod, end, link } of whole(facts))
        for (const family of familiesOf(pod))
          if (link.up && !end.defaultRoutes.includes(family))
            yield { subject: nameOf(pod), text: `it has no IPv${family} default route through ${pod.ifname}` };
    },
  }),
  check({
    id: "pod-gateway",
    severity: "fault",
    title: "The permanent neighbour entry for the gateway is missing inside a pod: it cannot send.",
    cure: "ip neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent inside of the pod (fe80::1 likewise), or recreate the pod",
    needs: ["pods", "kernel"],
    settles: true,
    *run(facts) {
      const mac = formatMac(HOST_MAC);
      for (const { pod, end, link } of whole(facts))
        for (const family of familiesOf(pod)) {
          const gateway = family === 4 ? GATEWAY_IPV4 : GATEWAY_IPV6;
          if (link.up && !end.neighbours.some((entry) => entry.address === gateway && entry.mac === mac))
            yield { subject: nameOf(pod), text: `it has no neighbour entry for its gateway ${gateway}` };
        }
    },
  }),
  check({
    id: "pod-forwarding-off",
    severity: "fault",
    title: "The kernel does not forward what arrives from a pod, or IPv6 is off on the pod's host interface.",
    cure: "set the setting, and find out what changes it",
    needs: ["pods", "kernel"],
    *run(facts) {
      for (const pod of facts.pods)
        for (const family of familiesOf(pod)) {
          const [key, bad] = family === 4 ? ["forwarding", "0"] : ["disable_ipv6", "1"];
          const path = `net/ipv${family}/conf/${pod.hostInterface}/${key}`;
          if (facts.kernel.settings[path] === bad)
            yield {
              subject: nameOf(pod),
              text: `${path.replaceAll("/", ".")} is ${bad}`,
              cure: `sysctl -w ${path.replaceAll("/", ".")}=${bad === "0" ? 1 : 0}`,
            };
        }
    },
  }),
  check({
    id: "address-twice",
    severity: "fault",
    title: "An address of a pod is in a second place: another pod's, or an interface of the host.",
    cure: "take it away from where it does not belong",
    needs: ["pods", "kernel"],
    *run({ pods, kernel }) {
      const owners = new Map<string, PodLook>();
      for (const pod of pods)
        for (const address of pod.addresses) {
          const other = owners.get(address);
          if (other) yield { subject: address, text: `belongs to ${nameOf(other)} and to ${nameOf(pod)}` };
          owners.set(address, pod);
        }
      for (const { local, ifindex } of kernel.state.addresses) {
        const pod = owners.get(formatAddress(local));
        const device = indexOf(kernel.state).linkAt.get(ifindex)?.name;
        if (pod)
          yield {
            subject: formatAddress(local),
            text: `belongs to ${nameOf(pod)}, and is on ${device} of the host too`,
          };
      }
    },
  }),
  check({
    id: "block-address-on-host",
    severity: "fault",
    title:
      "An interface of the host has an address out of a block: a pod may be given the same one, and packets to it do not leave the host.",
    cure: "give the interface another address, or exclude the address from the pool",
    needs: ["config", "kernel", "pods"],
    *run({ config, kernel, pods }) {
      const blocks = blocksOf(config).map(prefix);
      const known = new Set(pods.flatMap(({ addresses }) => addresses));
      const ranges = config.pools.flatMap(({ exclude }) => exclude.flatMap((text) => parseRange(text) ?? []));
      const exclusions = [4, 16].map((bytes) => new RangeSet(ranges.filter(({ first }) => first.length === bytes)));
      for (const { local, ifindex } of kernel.state.addresses) {
        const block = blocks.find((one) => contains(one, hostPrefix(local)));
        const address = formatAddress(local);
        const excluded = exclusions.some((one) => one.has(local));
        if (!block || known.has(address) || excluded) continue;
        const device = indexOf(kernel.state).linkAt.get(ifindex)?.name;
        yield { subject: address, text: `is on ${device} of the host, and out of a block` };
      }
    },
  }),
  check({
    id: "pod-address-outside",
    severity: "fault",
    title: "A pod has an address that is in no block: nobody announces it, other nodes cannot reach the pod.",
    cure: "recreate the pod, or put the block back into the configuration",
    needs: ["pods", "blocks"],
    *run({ pods, blocks: views }) {
      // Those that are in no pool any more, too: they are announced until their last pod is gone.
      const blocks = views.map((view) => prefix(view.prefix));
      for (const pod of pods)
        for (const address of pod.addresses)
          if (!blocks.some((block) => contains(block, hostPrefix(parseAddress(address)!))))
            yield { subject: nameOf(pod), text: `${address} is in no block` };
    },
  }),
  check({
    id: "host-interface-stray",
    severity: "fault",
    title: "An interface looks like a pod's host end, and belongs to no pod that the daemon knows.",
    cure: "ip link del it, if no pod uses it; a restart of the daemon takes it over with its addresses",
    needs: ["pods", "kernel"],
    settles: true,
    *run({ pods, kernel }) {
      const known = new Set(pods.map(({ hostInterface }) => hostInterface));
      for (const { name, alias, kind } of kernel.state.links)
        if (kind === "veth" && isOurAlias(alias) && !known.has(name)) {
          const addresses = decodeAlias(alias)?.addresses.join(", ");
          yield { subject: name, text: `belongs to no pod${addresses ? ` (its alias says ${addresses})` : ""}` };
        }
    },
  }),
];

function familiesOf(pod: PodLook): (4 | 6)[] {
  return [...new Set(pod.addresses.map((address): 4 | 6 => (address.includes(":") ? 6 : 4)))];
}
