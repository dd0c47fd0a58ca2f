// Pods kept to their own addresses. In: the configuration. Out: the tables in the kernel (routing/isolation) as long as
// there is a pool; where they cannot be had, the kernel's own check of IPv4 sources for the pods to come.
import { HOST_PREFIX } from "../cni/host-name.ts";
import type { Config } from "../config/types.ts";
import { isLinkLocal } from "../net/address.ts";
import { contains, hostPrefix, prefix } from "../net/prefix.ts";
import type { FibClient } from "../routing/fib/client.ts";
import type { LinkInfo } from "../routing/types.ts";

export class PodIsolation {
  readonly #fib: Pick<FibClient, "isolate">;
  #wanted: string | null | undefined;
  /** The tables are not to be had. */
  strictSource = false;

  constructor(fib: Pick<FibClient, "isolate">) {
    this.#fib = fib;
  }

  /** Once wanted they stay until the daemon is started anew: pods of a pool that has left the configuration may be there. */
  async want({ cni, pools, routing }: Pick<Config, "cni" | "pools" | "routing">): Promise<void> {
    const wanted = cni.sourceValidation && pools.length > 0 ? HOST_PREFIX : null;
    if (!routing.install || this.#wanted === HOST_PREFIX || wanted === this.#wanted) return;
    this.#wanted = wanted;
    const { state } = await this.#fib.isolate(wanted);
    this.strictSource = state === "unavailable";
  }
}

/** Whether an address is one of this node's blocks, or a link-local one on the interface of a pod. */
export function isPod(
  address: Uint8Array,
  ifindex: number,
  links: readonly LinkInfo[],
  blocks: readonly { readonly prefix: string }[],
): boolean {
  if (address.length === 16 && isLinkLocal(address))
    return links.some((link) => link.ifindex === ifindex && link.name.startsWith(HOST_PREFIX));
  const host = hostPrefix(address);
  return blocks.some((block) => contains(prefix(block.prefix), host));
}
