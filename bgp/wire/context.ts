// The facts of a session that the codecs need; session/negotiate.ts produces it from the two OPENs.
import type { Family } from "../../net/address.ts";

export interface AddPathFamilies {
  /** From the neighbour. */
  readonly receive: readonly Family[];
  /** To the neighbour. */
  readonly send: readonly Family[];
}

export interface WireContext {
  /** AS numbers are four octets in AS_PATH and AGGREGATOR (RFC 6793). */
  readonly as4: boolean;
  /** The neighbour is in another AS: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST from it are discarded (RFC 7606 §7). */
  readonly ebgp: boolean;
  /** Families negotiated by the multiprotocol capability (RFC 4760). */
  readonly families: readonly Family[];
  /** IPv4 prefixes may come and go with an IPv6 next hop (RFC 8950). */
  readonly extendedNextHop: boolean;
  /** Largest message in bytes, header included: 4096, or 65535 (RFC 8654). */
  readonly maxMessage: number;
  /** Families whose prefixes carry path identifiers (RFC 7911 §3), by direction; absent: none. */
  readonly addPath?: AddPathFamilies;
}
