// The alias of a host veth: who it belongs to, so that pods survive the loss of the allocation store. A link alias
// holds 255 bytes (IFALIASZ, with its end); what does not fit is left out, the most dispensable first, and the
// addresses always stay, because those must not be given to anyone else.
//
//   underlay ["network","container id","eth0","pool",["10.0.0.1","2001:db8::1"],"02:00:00:00:00:01",7]
//
// Also read: an object with the same names, as earlier builds wrote it.

const MARK = "underlay ";
const LIMIT = 255;

export interface AliasContent {
  readonly network?: string;
  readonly containerId?: string;
  readonly ifname?: string;
  readonly pool?: string;
  readonly addresses: readonly string[];
  readonly mac?: string;
  readonly sequence?: number;
}

export function encodeAlias(content: AliasContent & { readonly network: string; readonly mac: string }): string {
  const { network, containerId, ifname, pool, addresses, mac, sequence } = content;
  const short = `${MARK}${JSON.stringify({ addresses })}`;
  // The owner was lost with the store, because an earlier alias had no room for it.
  if (network === "") return short;
  const forms = [
    [network, containerId, ifname, pool, addresses, mac, sequence ?? 0],
    [network, containerId, ifname, pool, addresses, mac],
    // The host's neighbour entry has the MAC, and the addresses are in one pool's blocks.
    [network, containerId, ifname, "", addresses],
  ];
  for (const form of forms) {
    const text = `${MARK}${JSON.stringify(form)}`;
    if (Buffer.byteLength(text) <= LIMIT) return text;
  }
  return short;
}

export function isOurAlias(alias: string | null): alias is string {
  return alias?.startsWith(MARK) ?? false;
}

/** The addresses, and the owner unless it was too long. Null when it is not one of ours, or damaged. */
export function decodeAlias(alias: string | null): AliasContent | null {
  if (!isOurAlias(alias)) return null;
  try {
    return contentOf(JSON.parse(alias.slice(MARK.length)));
  } catch {
    return null;
  }
}

/** Whether an alias is the one of this attachment, in whatever form it was written. */
export function isAliasOf(alias: string | null, owner: AliasContent): boolean {
  const content = decodeAlias(alias);
  if (!content || content.addresses.join() !== owner.addresses.join()) return false;
  return (["network", "containerId", "ifname"] as const).every(
    (part) => content[part] === undefined || content[part] === owner[part],
  );
}

function contentOf(value: unknown): AliasContent | null {
  const parts = Array.isArray(value)
    ? namedParts(value)
    : typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : {};
  const { network, containerId, ifname, pool, addresses, mac, sequence } = parts;
  const texts = { network, containerId, ifname, pool, mac };
  if (!Object.values(texts).every((text) => text === undefined || typeof text === "string")) return null;
  if (sequence !== undefined && typeof sequence !== "number") return null;
  if (!Array.isArray(addresses) || !addresses.every((text) => typeof text === "string")) return null;
  const given = Object.entries({ ...texts, sequence }).filter(([, part]) => part !== undefined);
  return { ...Object.fromEntries(given), addresses };
}

function namedParts([network, containerId, ifname, pool, addresses, mac, sequence]: unknown[]): Record<
  string,
  unknown
> {
  return { network, containerId, ifname, pool, addresses, mac, sequence };
}
