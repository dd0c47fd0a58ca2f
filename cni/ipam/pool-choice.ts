// Which pools serve a pod, in order of preference: those that it or its network names; else those meant for its
// namespace; else `default`, or the only one that is not meant for certain namespaces.
import { CniError, CniErrorCode } from "../protocol/error.ts";
import type { PoolOptions } from "../types.ts";

/** `requested`: none when nobody names a pool. Throws code 7. */
export function choosePools(
  pools: readonly PoolOptions[],
  requested: readonly string[],
  namespace: string | null,
): string[] {
  const names = pools.map(({ name }) => name);
  for (const name of requested)
    if (!names.includes(name))
      throw new CniError(
        CniErrorCode.invalidConfig,
        `pool "${name}" is unknown; configured pools: ${names.join(", ") || "none"}`,
      );
  if (requested.length > 0) return [...new Set(requested)];
  const meant = pools.filter(({ namespaces = [] }) => namespace !== null && namespaces.some(matcher(namespace)));
  if (meant.length > 0) return meant.map(({ name }) => name);
  const open = pools.filter(({ namespaces = [] }) => namespaces.length === 0).map(({ name }) => name);
  if (open.includes("default")) return ["default"];
  if (open.length === 1) return open;
  const known = `configured pools: ${names.join(", ") || "none"}`;
  const why =
    namespace === null ? "the network names no pool" : `none is for namespace ${namespace}, and nobody names one`;
  throw new CniError(CniErrorCode.invalidConfig, `pool "default" is unknown; ${known}; ${why}`);
}

/** `*` stands for any number of characters. */
function matcher(namespace: string): (pattern: string) => boolean {
  return (pattern) => {
    const parts = pattern.split("*").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    return new RegExp(`^${parts.join(".*")}$`, "s").test(namespace);
  };
}
