// What a configuration brings about for blocks, beside what its keys say: which of them go at once, which stay for the
// sake of pods, which are claimed in etcd for them. In: the configuration, pods, what is claimed by now. Out: words,
// for `underlayctl plan` and reload.
import type { CniServer } from "../cni/server.ts";
import type { Config } from "../config/types.ts";
import { placed } from "./blocks/placement.ts";
import type { Sharing } from "./shared/sharing.ts";

export interface ForeseeDependencies {
  readonly cni: Pick<CniServer, "foresee">;
  readonly sharing: Pick<Sharing, "foresee" | "placement">;
}

export function foresee(next: Config, { cni, sharing }: ForeseeDependencies): string[] {
  const taken = sharing.foresee(next);
  const placement = sharing.placement();
  const claimed = [...placement.claimed, ...taken.map((block) => ({ ...block, exclude: [] }))];
  return [
    ...taken.map(
      ({ prefix, pool }) =>
        `block ${prefix} has pods, and is in a range that pool ${pool} shares with other nodes: it is claimed in etcd before anything changes, and its pods notice nothing; if another node has it, the reload is refused`,
    ),
    ...cni.foresee(placed(next, { ...placement, claimed }).pools),
  ];
}
