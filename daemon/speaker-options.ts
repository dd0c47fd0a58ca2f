// What the speaker is told of the configuration, beside its peers.
import { release, type } from "node:os";
import type { MonitoringOptions } from "../bgp/monitor/types.ts";
import type { SpeakerOptions } from "../bgp/speaker-types.ts";
import type { Config } from "../config/types.ts";
import { version } from "./version.ts";

export function speakerOptionsOf(config: Config): SpeakerOptions {
  return {
    asn: config.node.asn,
    routerId: config.node.routerId,
    tables: config.tables,
    bestPath: {
      ...config.bgp.bestPath,
      maxPaths: config.bgp.maxPaths,
      maxPathsIbgp: config.bgp.maxPathsIbgp,
    },
    clusterId: config.bgp.clusterId ?? config.node.routerId,
    listenPort: config.bgp.listenPort,
    listenAddresses: config.bgp.listenAddresses,
    monitoring: monitoringOf(config),
  };
}

/** With how we introduce ourselves. */
export function monitoringOf({ monitoring, node }: Config): MonitoringOptions {
  const sysDescr = `underlayd ${version} on ${type()} ${release()}`;
  return { ...monitoring, sysName: node.name, sysDescr };
}
