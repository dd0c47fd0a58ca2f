// The network configuration list (CNI specification, section 1) by which runtimes call the plugin. libcni before 1.2 reads
// `cniVersion` alone, and cannot read results of 1.1.0: it stays at 1.0.0, and `cniVersions` tells the others of the rest.

/** Reference plugins of which all that is to be said is known. */
export const chainable = ["portmap", "bandwidth"] as const;
export type ChainedPlugin = (typeof chainable)[number];

const chained: Readonly<Record<ChainedPlugin, object>> = {
  portmap: { type: "portmap", capabilities: { portMappings: true }, snat: true },
  bandwidth: { type: "bandwidth", capabilities: { bandwidth: true } },
};

export interface NetworkListOptions {
  readonly network: string;
  /** Null: the only pool, or the one called default. */
  readonly pool: string | null;
  /** Null: the default one. */
  readonly socket: string | null;
  readonly chain: readonly ChainedPlugin[];
}

/** The file's text. */
export function networkList({ network, pool, socket, chain }: NetworkListOptions): string {
  const underlay = {
    type: "underlay",
    ...(pool === null ? {} : { pool }),
    ...(socket === null ? {} : { socket }),
    capabilities: { ips: true, mac: true, "io.kubernetes.cri.pod-annotations": true },
  };
  const list = {
    cniVersion: "1.0.0",
    cniVersions: ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    name: network,
    plugins: [underlay, ...chain.map((name) => chained[name])],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}
