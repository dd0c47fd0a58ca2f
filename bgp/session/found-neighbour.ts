// The neighbour of a peer without an address, as its sessions see it: the router found on the peer's interface.
// bgp/unnumbered/ implements it.

/**
 * `found`: after there was none. `moved`: the old one is gone, this one is there. `lost`: the old one is gone.
 * `turned`: another one of several, while no session was up.
 */
export interface NeighbourChange {
  readonly kind: "found" | "moved" | "lost" | "turned";
  /** One line for the operator. */
  readonly reason: string;
}

export interface FoundNeighbour {
  /** A link-local address; null: none is known. */
  readonly address: Uint8Array | null;
  /** What is awaited while there is no address, for the operator. */
  readonly awaited: string;
  /**
   * A connection has come in from this address, or a session with it is up. True: it is the neighbour, from now on if it
   * was not before. While `engaged` in a session with another one, the other one is given up only if it is dead.
   */
  spoke(address: Uint8Array, engaged: boolean): boolean;
  /** No session came about with the present one: it is another one's turn, if there is another. */
  failed(): void;
  view(): InterfaceNeighbours;
  /** Nothing is sent or heard any more. */
  close(): void;
}

/** The peer that a neighbour is looked for. */
export interface NeighbourUser {
  changed(change: NeighbourChange): void;
  /** Is the neighbour still there? Makes a session that is up send something, which TCP has to acknowledge. */
  provoke(): void;
  /** A session is up, and its neighbour's TCP has answered within so many milliseconds. */
  heardWithin(milliseconds: number): boolean;
}

export interface NeighbourFinder {
  find(device: string, options: { readonly advertise: boolean }, user: NeighbourUser): FoundNeighbour;
}

/** What is known of an interface's routers, as the API and the CLI show it. */
export interface InterfaceNeighbours {
  readonly interface: string;
  /** 0: the interface is not there. */
  readonly ifindex: number;
  /** Our own link-local addresses on it that are in use. */
  readonly localAddresses: readonly string[];
  readonly neighbours: readonly {
    readonly address: string;
    readonly mac: string | null;
    /** How it was found. */
    readonly via: "advertisement" | "connection";
    /** Seconds since it was last heard. */
    readonly heard: number;
    /** The one that the session is with. */
    readonly present: boolean;
  }[];
  readonly advertisements: {
    /** Whether we send any. */
    readonly enabled: boolean;
    readonly sent: number;
    readonly received: number;
    readonly ignored: number;
  };
  /** Why the last packet was ignored, or could not be sent; null: none. */
  readonly lastIgnored: string | null;
  readonly lastSendError: string | null;
}
