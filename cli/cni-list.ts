// The network configuration list (CNI specification, section 1) by which runtimes call the plugin. libcni before 1.2 reads
// `cniVersion` alone, and cannot read results of 1.1.0: it stays at 1.0.0, and `cniVersions` tells the others of the rest.
//
// Later ones take the highest version for the whole list: what a plugin behind ours does not speak is not offered. The
// reference plugins that do not speak 1.1.0 fail CHECK without a reason (bandwidth: no limits given; portmap: one family
// only), and CRI-O asks for CHECK after every ADD: with them it is switched off.

/** Reference plugins of which all that is to be said is known. */
export const chainable = ["portmap", "bandwidth"] as const;
export type ChainedPlugin = (typeof chainable)[number];

const chained: Readonly<Record<ChainedPlugin, object>> = {
  portmap: { type: "portmap", capabilities: { portMappings: true }, snat: true },
  bandwidth: { type: "bandwidth", capabilities: { bandwidth: true } },
};

const COMMON = "1.0.0";
const NEWEST = "1.1.0";
const versions: readonly string[] = ["0.3.1", "0.4.0", COMMON, NEWEST];

export interface NetworkListOptions {
  readonly network: string;
  /** Null: the only pool, or the one called default. */
  readonly pool: string | null;
  /** Null: the default one. */
  readonly socket: string | null;
  /** What is called after us, and the versions that it speaks. */
  readonly chain: readonly { readonly name: ChainedPlugin; readonly versions: readonly string[] }[];
}

/** The file's text. Throws RangeError for a plugin that is too old for any list of ours. */
export function networkList({ network, pool, socket, chain }: NetworkListOptions): string {
  const spoken = versions.filter((version) => chain.every((plugin) => plugin.versions.includes(version)));
  const old = chain.find((plugin) => !plugin.versions.includes(COMMON));
  if (old) throw new RangeError(`${old.name} speaks ${old.versions.join(", ") || "nothing"}: ${COMMON} is needed`);
  const underlay = {
    type: "underlay",
    ...(pool === null ? {} : { pool }),
    ...(socket === null ? {} : { socket }),
    capabilities: { ips: true, mac: true, "io.kubernetes.cri.pod-annotations": true },
  };
  const list = {
    cniVersion: COMMON,
    cniVersions: spoken,
    name: network,
    ...(spoken.includes(NEWEST) ? {} : { disableCheck: true }),
    plugins: [underlay, ...chain.map(({ name }) => chained[name])],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}
