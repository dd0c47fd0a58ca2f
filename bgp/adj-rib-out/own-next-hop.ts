// Our own address as next hop on a session (RFC 4271 §5.1.3, RFC 2545 §3, RFC 8950).
import { type Family, isLinkLocal6 } from "../../net/address.ts";

/** The addresses of our end, as session/types.ts Negotiated has them. */
export interface SessionAddresses {
  readonly localAddress: Uint8Array;
  readonly localLinkLocal: Uint8Array | null;
  readonly localAddress6: Uint8Array | null;
  readonly localAddress4: Uint8Array | null;
  readonly extendedNextHop: boolean;
}

export type OwnNextHop =
  | { readonly form: "attribute"; readonly address: Uint8Array }
  /** 16 octets, or 32: global and link-local. */
  | { readonly form: "mp"; readonly address: Uint8Array }
  | { readonly form: "none" };

/** What a peer is told to send traffic for our routes of this family to. */
export function ownNextHop(family: Family, session: SessionAddresses): OwnNextHop {
  if (family === 6) return ipv6NextHop(session);
  const { localAddress, localAddress4, extendedNextHop } = session;
  // Nobody says that the neighbour of a link-local session has an address in our IPv4 network.
  if (extendedNextHop && isLinkLocal6(localAddress)) return ipv6NextHop(session);
  const address = localAddress.length === 4 ? localAddress : localAddress4;
  if (address) return { form: "attribute", address };
  return extendedNextHop ? ipv6NextHop(session) : { form: "none" };
}

function ipv6NextHop({ localAddress, localLinkLocal, localAddress6 }: SessionAddresses): OwnNextHop {
  const session = localAddress.length === 16 ? localAddress : null;
  const sessionIsLinkLocal = isLinkLocal6(localAddress);
  const linkLocal = localLinkLocal ?? (sessionIsLinkLocal ? session : null);
  // Without a global address the link-local one stands in its place, as FRR does and everybody understands.
  const global = (sessionIsLinkLocal ? null : session) ?? localAddress6 ?? linkLocal;
  if (!global) return { form: "none" };
  if (!linkLocal) return { form: "mp", address: global };
  const both = new Uint8Array(32);
  both.set(global);
  both.set(linkLocal, 16);
  return { form: "mp", address: both };
}
