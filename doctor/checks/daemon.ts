// The daemon itself and how it is run; and what is there when it is not.
import { type Check, check, type Facts } from "../types.ts";

const LATE = { fault: 1000, warning: 100 };
/** Percent of the memory that there is. */
const MUCH_MEMORY = 80;
const CLOCK_JUMP = 5_000;

const mebibytes = (bytes: number) => `${Math.round(bytes / (1 << 20))} MiB`;

export const daemonChecks: readonly Check[] = [
  check({
    id: "daemon-not-running",
    severity: "fault",
    title:
      "The daemon is not running: the kernel goes on with what it has, but nothing is learned or announced, and no pod attached.",
    cure: "systemctl start underlayd; journalctl -u underlayd says why it ended",
    needs: ["absent"],
    *run({ absent }) {
      if (absent.lockedBy === null) yield { subject: "underlayd", text: `the daemon is not running: ${absent.reason}` };
    },
  }),
  check({
    id: "daemon-elsewhere",
    severity: "fault",
    title:
      "A daemon holds the state directory and does not answer on the socket: it hangs, starts, stops, or has another socket.",
    cure: "compare api.socket; look into its log; systemctl restart underlayd",
    needs: ["absent", "config"],
    *run({ absent, config }) {
      if (absent.lockedBy !== null)
        yield {
          subject: config.paths.state,
          text: `process ${absent.lockedBy || "unknown"} holds it, and does not answer: ${absent.reason}`,
        };
    },
  }),
  check({
    id: "kernel-leftovers",
    severity: "warning",
    title:
      "Rules and routes of a daemon that is gone are in the kernel. They keep pods going, and are taken over at the next start.",
    cure: "start the daemon; or, for good: docs/operations.md says how to remove every trace",
    needs: ["absent", "kernel", "config"],
    *run({ kernel, config }) {
      const ours = (list: readonly { readonly protocol: number }[]) =>
        list.filter(({ protocol }) => protocol === config.routing.protocol).length;
      const { rules, local, fixed, learned, nextHops } = kernel.state;
      const routes = ours(local) + ours(fixed) + learned;
      if (ours(rules) + routes + ours(nextHops) > 0)
        yield {
          subject: `protocol ${config.routing.protocol}`,
          text: `${ours(rules)} rules, ${routes} routes and ${ours(nextHops)} nexthop objects are in the kernel without a daemon`,
        };
    },
  }),
  check({
    id: "worker-silent",
    severity: "fault",
    title: "A part of the daemon does not answer, and what it knows could not be looked at.",
    cure: "restart the daemon, which keeps forwarding; its log may say more",
    needs: ["daemon"],
    run: ({ daemon }) =>
      daemon.silent.map(({ part, reason }) => ({ subject: part, text: `does not answer: ${reason}` })),
  }),
  check({
    id: "version-differs",
    severity: "warning",
    title: "underlayctl is of another version than the daemon that runs: an upgrade without a restart, or half of one.",
    cure: "systemctl restart underlayd, which keeps forwarding",
    needs: ["versions"],
    *run({ versions: { daemon, client } }) {
      if (daemon !== client) yield { subject: "underlayd", text: `runs as ${daemon}, and underlayctl is ${client}` };
    },
  }),
  check({
    id: "event-loop-late",
    severity: "warning",
    title:
      "The daemon's main thread was late in the last minute: keepalives and answers are. Beyond a second it is a fault.",
    cure: "does the machine have CPU time to spare, and is the daemon's priority too low? top -H, systemd's CPUQuota",
    needs: ["daemon"],
    *run({ daemon }) {
      const { p99, max } = daemon.eventLoopDelay;
      const text = `the event loop was late by ${p99} ms (p99) and ${max} ms (worst) in the last minute`;
      if (p99 >= LATE.fault || max >= 10 * LATE.fault) yield { subject: "underlayd", text, severity: "fault" };
      else if (p99 >= LATE.warning) yield { subject: "underlayd", text };
    },
  }),
  check({
    id: "memory-short",
    severity: "warning",
    title: `The daemon uses more than ${MUCH_MEMORY} % of the memory that the machine, or its control group, has.`,
    cure: "raise MemoryMax of the unit, limit what neighbours may announce (maxPrefixes), or import less",
    needs: ["daemon"],
    *run({ daemon }) {
      const { rss, limit } = daemon.memory;
      if (limit !== null && rss * 100 > limit * MUCH_MEMORY)
        yield { subject: "underlayd", text: `uses ${mebibytes(rss)} of ${mebibytes(limit)}` };
    },
  }),
  check({
    id: "clock-jumped",
    severity: "warning",
    title:
      "The wall clock was set by seconds since the daemon's start. Sessions do not mind; times in logs and MRT files do.",
    cure: "let chrony or systemd-timesyncd slew the clock, and set it before underlayd starts",
    needs: ["daemon"],
    *run({ daemon: { clockDrift } }) {
      if (Math.abs(clockDrift) >= CLOCK_JUMP)
        yield {
          subject: "clock",
          text: `was set ${clockDrift > 0 ? "forward" : "back"} by ${Math.round(Math.abs(clockDrift) / 1000)} s since the start`,
        };
    },
  }),
  check({
    id: "monitoring-away",
    severity: "warning",
    title: "A BMP collector cannot be reached, or MRT files cannot be written.",
    cure: "the finding has the reason; take what is not wanted any more out of monitoring",
    needs: ["daemon"],
    run: ({ daemon }) => daemon.monitoring.map((text) => ({ subject: "monitoring", text })),
  }),
  check({
    id: "history-paused",
    severity: "warning",
    title: "The flight recorder cannot write: what happens now will not be known afterwards.",
    cure: "the finding has the reason, usually a full disk",
    needs: ["daemon"],
    *run({ daemon: { historyProblem } }) {
      if (historyProblem !== null) yield { subject: "history", text: historyProblem };
    },
  }),
  check({
    id: "kernel-overruns",
    severity: "warning",
    title: "The kernel had more to tell than the daemon could take, and everything had to be read anew.",
    cure: "find the program that changes so much: ip monitor; raise net.core.rmem_max when the daemon has no CAP_NET_ADMIN on the host",
    needs: ["fib"],
    *run({ fib }) {
      if (fib.overruns > 0)
        yield { subject: "kernel notifications", text: `were lost ${fib.overruns} times since the start` };
    },
  }),
  check({
    id: "unit-missing",
    severity: "warning",
    title: "systemd runs this host, and has no unit for the daemon: it does not come back after a crash or a boot.",
    cure: "install -m 644 daemon/systemd/underlayd.service /etc/systemd/system/ && systemctl enable underlayd",
    needs: ["system"],
    *run({ system }) {
      if (system.systemd && !system.systemd.unit) yield { subject: "underlayd.service", text: "there is no such unit" };
    },
  }),
  check({
    id: "unit-disabled",
    severity: "warning",
    title: "The daemon's unit is not enabled: after a boot it does not start.",
    cure: "systemctl enable underlayd",
    needs: ["system"],
    *run(facts) {
      const unit = unitOf(facts);
      if (unit && !unit.enabled)
        yield { subject: unit.path, text: "is not enabled: the daemon does not start with the host" };
    },
  }),
  check({
    id: "shutdown-unit",
    severity: "warning",
    title:
      "The unit that withdraws before a reboot is not there or not enabled: neighbours with graceful restart send packets to a host that is off.",
    cure: "install -m 644 daemon/systemd/underlay-shutdown.service /etc/systemd/system/ && systemctl enable underlay-shutdown",
    needs: ["system"],
    *run({ system }) {
      const { systemd } = system;
      if (systemd?.unit && !systemd.shutdownEnabled)
        yield {
          subject: "underlay-shutdown.service",
          text: "is not enabled: a reboot is not told to neighbours before",
        };
    },
  }),
  check({
    id: "unit-settings",
    severity: "warning",
    title: "The daemon's unit lacks a setting that the shipped one has for a reason.",
    cure: "compare with daemon/systemd/underlayd.service",
    needs: ["system"],
    *run(facts) {
      const unit = unitOf(facts);
      if (!unit) return;
      for (const [key, wanted, why] of unitSettings)
        if (unit.service[key] !== wanted)
          yield { subject: unit.path, text: `${key}=${unit.service[key] ?? "(default)"} instead of ${wanted}: ${why}` };
    },
  }),
];

const unitSettings: readonly (readonly [key: string, value: string, why: string])[] = [
  ["Type", "notify", "what is ordered after the daemon starts before it is ready"],
  ["RuntimeDirectoryPreserve", "yes", "DELs spooled while the daemon is away are lost"],
];

function unitOf({ system }: Pick<Facts, "system">) {
  return system.systemd?.unit ?? null;
}
