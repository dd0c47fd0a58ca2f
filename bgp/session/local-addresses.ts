// Which interface a session runs over, and which other addresses of ours are there: next hops for the family the session
// itself does not run over (RFC 2545 §3, RFC 4760 §3). Reads the interfaces of the process's own network namespace.
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { isLinkLocal, parseAddress, sameBytes } from "../../net/address.ts";
import { native } from "../../net/native.ts";
import { contains, hostPrefix, maskBytes } from "../../net/prefix.ts";
import type { SessionEndpoints } from "./negotiate.ts";
import type { SocketAddress } from "./socket-options.ts";

interface LocalAddress {
  readonly bytes: Uint8Array;
  readonly prefixLength: number;
  readonly scope: number;
}

export type Interfaces = ReturnType<typeof networkInterfaces>;

/** `device`: the interface the peer is configured on, or null. */
export function findEndpoints(
  local: SocketAddress,
  remote: SocketAddress,
  device: string | null,
  interfaces: Interfaces = networkInterfaces(),
  indexOf: (name: string) => number = (name) => native().ifNameToIndex(name),
): SessionEndpoints {
  const found = findInterface(local, device, interfaces);
  const addresses = found ? found.addresses : [];
  const scope = local.scope || remote.scope;
  const connected = found !== null && (device !== null || scope !== 0 || isOnLink(addresses, local, remote));
  const pick = (wanted: (address: LocalAddress) => boolean) => addresses.find(wanted)?.bytes ?? null;
  const own = (length: number) => (local.address.length === length && scope === 0 ? local.address : null);
  return {
    localAddress: local.address,
    remoteAddress: remote.address,
    localLinkLocal: !connected
      ? null
      : local.address.length === 16 && isLinkLocal(local.address)
        ? local.address
        : pick(({ bytes }) => bytes.length === 16 && isLinkLocal(bytes)),
    localAddress6: own(16) ?? pick(({ bytes }) => bytes.length === 16 && !isLinkLocal(bytes)),
    localAddress4: own(4) ?? pick(({ bytes }) => bytes.length === 4),
    ifindex: connected && found ? scope || Math.max(0, indexOf(found.name)) : 0,
  };
}

function findInterface(
  local: SocketAddress,
  device: string | null,
  interfaces: Interfaces,
): { name: string; addresses: LocalAddress[] } | null {
  for (const [name, entries] of Object.entries(interfaces)) {
    const addresses = (entries ?? []).flatMap(parseEntry);
    const here = addresses.some(
      ({ bytes, scope }) => sameBytes(bytes, local.address) && (local.scope === 0 || scope === local.scope),
    );
    if (device === null ? here : name === device) return { name, addresses };
  }
  return null;
}

function parseEntry(entry: NetworkInterfaceInfo): LocalAddress[] {
  const bytes = parseAddress(entry.address);
  if (!bytes) return [];
  const length = Number(entry.cidr?.split("/")[1] ?? bytes.length * 8);
  return [{ bytes, prefixLength: length, scope: entry.family === "IPv6" ? (entry.scopeid ?? 0) : 0 }];
}

/** The neighbour is in a subnet of the local address. */
function isOnLink(addresses: LocalAddress[], local: SocketAddress, remote: SocketAddress): boolean {
  return addresses.some(
    ({ bytes, prefixLength }) =>
      sameBytes(bytes, local.address) &&
      contains(
        { family: bytes.length === 4 ? 4 : 6, bytes: maskBytes(bytes, prefixLength), length: prefixLength },
        hostPrefix(remote.address),
      ),
  );
}
