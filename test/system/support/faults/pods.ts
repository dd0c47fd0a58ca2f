// Pods: both ends of their cables, the way to them, the pool.
import { execFileSync } from "node:child_process";
import { waitFor } from "../../../interop/support/wait.ts";
import { type Fault, fault, ip, withPod } from "./fault.ts";

export const podsFaults: readonly Fault[] = [
  fault(
    "pod-route-elsewhere",
    "a pod's route that leads elsewhere",
    /c-a \(eth0\): the host's route to 10\.244\.1\.\d+ \(protocol 4\) leads to lo/,
    (sick) => {
      const [ipv4] = sick.address("a");
      sick.ip("route", "add", `${ipv4}/32`, "dev", "lo", "metric", "1", "proto", "static", "table", "7000");
      return () => sick.ip("route", "del", `${ipv4}/32`, "metric", "1", "table", "7000");
    },
  ),
  fault(
    "pod-cut-off",
    "a pod's interface deleted on the host",
    /c-victim \(eth0\): its host interface ul\w+ is gone/,
    withPod(async (sick, pod) => sick.ip("link", "del", await sick.hostEnd(pod))),
  ),
  fault(
    "pod-host-end-down",
    "a pod's host interface down",
    /c-victim \(eth0\): its host interface ul\w+ is down/,
    withPod(async (sick, pod) => sick.ip("link", "set", await sick.hostEnd(pod), "down")),
  ),
  fault(
    "pod-interface-down",
    "a pod's own interface down",
    /c-victim \(eth0\): its interface eth0 is down/,
    withPod((sick, pod) => sick.inPod(pod, "link", "set", "eth0", "down")),
  ),
  fault(
    "pod-interface-missing",
    "a pod's interface renamed",
    /c-victim \(eth0\): there is no interface eth0/,
    withPod((sick, pod) => {
      sick.inPod(pod, "link", "set", "eth0", "down");
      sick.inPod(pod, "link", "set", "eth0", "name", "net0");
    }),
  ),
  fault(
    "pod-address-missing",
    "a pod's address taken away",
    /c-victim \(eth0\): 2001:db8:244:1::\w+ is not on eth0/,
    withPod((sick, pod) => sick.inPod(pod, "addr", "del", `${sick.address(pod)[1]}/128`, "dev", "eth0")),
  ),
  fault("pod-default-route", "a pod's default route deleted", /c-a \(eth0\): it has no IPv4 default route/, (sick) => {
    sick.inPod("a", "route", "del", "default");
    return () => sick.inPod("a", "route", "add", "default", "via", "169.254.1.1", "dev", "eth0", "onlink");
  }),
  fault(
    "pod-gateway",
    "a pod's neighbour entry for the gateway deleted",
    /c-a \(eth0\): it has no neighbour entry for its gateway 169\.254\.1\.1/,
    (sick) => {
      sick.inPod("a", "neigh", "del", "169.254.1.1", "dev", "eth0");
      return () =>
        sick.inPod(
          "a",
          "neigh",
          "add",
          "169.254.1.1",
          "lladdr",
          "ee:ee:ee:ee:ee:ee",
          "dev",
          "eth0",
          "nud",
          "permanent",
        );
    },
  ),
  fault(
    "pod-neighbour",
    "the host's neighbour entry of a pod deleted",
    /c-victim \(eth0\): no permanent neighbour entry for 10\.244\.1\.\d+/,
    withPod(async (sick, pod) => sick.ip("neigh", "del", sick.address(pod)[0], "dev", await sick.hostEnd(pod))),
  ),
  fault(
    "pod-mac-changed",
    "another MAC inside of a pod, and the host made to send to the old one",
    /c-victim \(eth0\): its interface has MAC 02:00:00:00:00:99 instead of/,
    withPod(async (sick, pod) => {
      const device = await sick.hostEnd(pod);
      const [ipv4] = sick.address(pod);
      sick.inPod(pod, "link", "set", "eth0", "address", "02:00:00:00:00:99");
      const entry = () => sick.ip("neigh", "show", ipv4, "dev", device);
      // The daemon follows by itself, once.
      await waitFor(() => entry().includes("02:00:00:00:00:99"), "the entry to follow", { interval: 10 });
      sick.ip("neigh", "replace", ipv4, "lladdr", "02:00:00:00:00:98", "dev", device, "nud", "permanent");
    }),
  ),
  fault(
    "pod-forwarding-off",
    "forwarding off on a pod's host interface",
    /c-a \(eth0\): net\.ipv4\.conf\.ul\w+\.forwarding is 0/,
    async (sick) => {
      const name = `net.ipv4.conf.${await sick.hostEnd("a")}.forwarding`;
      await sick.sysctl(name, 0);
      return () => sick.sysctl(name, 1);
    },
  ),
  fault(
    "pod-namespace-gone",
    "a pod's namespace unlinked",
    /c-victim \(eth0\): its network namespace is not at /,
    withPod((sick, pod) => {
      const holder = sick.node.spawn("ip", ["netns", "exec", sick.pods.namespace(pod), "sleep", "60"]);
      execFileSync("sh", [
        "-c",
        `until [ "$(readlink /proc/${holder.pid}/exe)" = "$(readlink -f $(which sleep))" ]; do sleep 0.01; done`,
      ]);
      execFileSync("umount", [`/run/netns/${sick.pods.namespace(pod)}`]);
    }),
  ),
  fault(
    "address-twice",
    "a pod's address on the host, too",
    /10\.244\.1\.\d+: belongs to c-a \(eth0\), and is on lo of the host too/,
    (sick) => {
      sick.ip("addr", "add", `${sick.address("a")[0]}/32`, "dev", "lo");
      return () => sick.ip("addr", "del", `${sick.address("a")[0]}/32`, "dev", "lo");
    },
  ),
  fault(
    "block-address-on-host",
    "an address out of a block on the host",
    /10\.244\.1\.60: is on lo of the host/,
    ip("addr add 10.244.1.60/32 dev lo", "addr del 10.244.1.60/32 dev lo"),
  ),
  fault(
    "host-interface-stray",
    "an interface that says it is a pod's",
    /ulfeed: belongs to no pod .*10\.244\.1\.50/,
    (sick) => {
      sick.ip("link", "add", "ulfeed", "type", "veth", "peer", "name", "ulfood");
      sick.ip("link", "set", "ulfeed", "alias", 'underlay {"addresses":["10.244.1.50"]}');
      return () => sick.ip("link", "del", "ulfeed");
    },
  ),
  fault("pool-exhausted", "a pool without a free address", /tiny: all 2 IPv4 addresses are in use/, async (sick) => {
    for (const name of ["t1", "t2"]) await sick.attach(name, "tiny");
    return async () => {
      for (const name of ["t1", "t2"]) await sick.detach(name);
    };
  }),
];
