// The alias of a host veth: who it belongs to, so that pods survive the loss of the allocation store. A link alias holds
// 255 bytes; when all does not fit, the addresses alone stay, because those must not be given to anyone else.

const MARK = "underlay ";
const LIMIT = 255;

export interface AliasContent {
  readonly network?: string;
  readonly containerId?: string;
  readonly ifname?: string;
  readonly pool?: string;
  readonly addresses: readonly string[];
}

export function encodeAlias(content: Required<AliasContent>): string {
  const { network, containerId, ifname, pool, addresses } = content;
  const short = `${MARK}${JSON.stringify({ addresses })}`;
  // The owner was lost with the store, because an earlier alias had no room for it.
  if (network === "") return short;
  const full = `${MARK}${JSON.stringify({ network, containerId, ifname, pool, addresses })}`;
  return Buffer.byteLength(full) <= LIMIT ? full : short;
}

export function isOurAlias(alias: string | null): alias is string {
  return alias?.startsWith(MARK) ?? false;
}

/** The addresses, and the owner unless it was too long. Null when it is not one of ours, or damaged. */
export function decodeAlias(alias: string | null): AliasContent | null {
  if (!isOurAlias(alias)) return null;
  try {
    const value = JSON.parse(alias.slice(MARK.length)) as Partial<AliasContent>;
    const strings = [value.network, value.containerId, value.ifname, value.pool];
    if (!strings.every((text) => text === undefined || typeof text === "string")) return null;
    if (!Array.isArray(value.addresses) || !value.addresses.every((text) => typeof text === "string")) return null;
    return value as AliasContent;
  } catch {
    return null;
  }
}
