// Sessions without sockets, for tests of everything behind the session: what the RIB sends is recorded, what it
// receives are real UPDATE octets.
import type { NextHopResolver, ResolvedNextHop } from "../../../bgp/next-hop-resolver.ts";
import { plainRules } from "../../../bgp/route-rules.ts";
import { noRestart } from "../../../bgp/session/graceful-restart.ts";
import { buildOpen } from "../../../bgp/session/negotiate.ts";
import type { EstablishedSession, GracefulRestartOptions, Handshake, Negotiated } from "../../../bgp/session/types.ts";
import type { SpeakerPeer } from "../../../bgp/speaker-types.ts";
import { encodeOpen } from "../../../bgp/wire/open.ts";
import type { Family } from "../../../net/address.ts";
import { parseAddress } from "../../../net/address.ts";

export const LOCAL_ASN = 65000;

export function address(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (!bytes) throw new Error(`not an address: ${text}`);
  return bytes;
}

export const gracefulRestartOptions: GracefulRestartOptions = {
  time: 120,
  staleTime: 360,
  notification: true,
  longLived: null,
  partialDeployment: false,
};

/** What a neighbour that keeps both families has agreed on with us. */
export const negotiatedRestart: NonNullable<Negotiated["gracefulRestart"]> = {
  restarting: false,
  time: 120,
  families: new Map([
    [4, true],
    [6, true],
  ]),
  notification: false,
  takesLongLived: false,
  longLived: new Map(),
};

/** Prefix limits to begin with. */
export const unlimited = {
  total: null,
  ipv4: null,
  ipv6: null,
  restartAfter: null,
  warnAt: 75,
  action: "close" as const,
};

export function peer(name: string, at: string, asn: number, options: Partial<SpeakerPeer>): SpeakerPeer {
  return {
    name,
    address: address(at),
    group: null,
    dynamic: false,
    interface: null,
    localAsn: LOCAL_ASN,
    routerId: 0x0a000001,
    remoteAsn: asn,
    port: 179,
    passive: false,
    localAddress: null,
    holdTime: 90,
    connectRetry: 10,
    families: [4, 6],
    extendedNextHop: true,
    password: null,
    acceptedPasswords: [],
    ttlSecurity: false,
    multihop: null,
    extendedMessages: false,
    hostname: null,
    gracefulRestart: gracefulRestartOptions,
    import: "all",
    export: "all",
    table: 7100,
    maxPrefixes: null,
    maxPrefixesOut: null,
    role: null,
    requireRole: false,
    ...plainRules,
    ...options,
  };
}

/** Every address is on a connected network of interface 1. */
export const resolveAll: NextHopResolver = {
  resolve: (gateway, ifindex) => ({ ifindex: ifindex || 1, gateway }),
  onChange() {},
};

/** Answers from a table that tests change. */
export class FakeResolver implements NextHopResolver {
  readonly unreachable = new Set<string>();
  readonly interfaces = new Map<string, number>();
  readonly #listeners: (() => void)[] = [];

  resolve(gateway: Uint8Array, ifindex: number): ResolvedNextHop | null {
    const key = String(gateway);
    return this.unreachable.has(key) ? null : { ifindex: this.interfaces.get(key) ?? (ifindex || 1), gateway };
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  set(gateway: string, state: "reachable" | "unreachable" | number): void {
    const key = String(address(gateway));
    if (state === "unreachable") this.unreachable.add(key);
    else this.unreachable.delete(key);
    if (typeof state === "number") this.interfaces.set(key, state);
    for (const listener of this.#listeners) listener();
  }
}

export class FakeSession implements EstablishedSession {
  readonly peer: SpeakerPeer;
  readonly negotiated: Negotiated;
  readonly handshake: Handshake;
  readonly sent: Uint8Array[] = [];
  readonly holds: (number | null)[] = [];
  readonly resets: { code: number; subcode: number; data: Uint8Array; reason: string }[] = [];
  readonly #take: ((messages: Uint8Array) => boolean) | null;

  constructor(
    options: SpeakerPeer,
    take: ((messages: Uint8Array) => boolean) | null = null,
    negotiated: Partial<Negotiated> = {},
  ) {
    this.peer = options;
    this.#take = take;
    const remoteAsn = typeof options.remoteAsn === "number" ? options.remoteAsn : 65001;
    const remote = options.address ?? address("fe80::1");
    const ipv4 = remote.length === 4;
    this.negotiated = {
      as4: true,
      ebgp: remoteAsn !== options.localAsn,
      families: [4, 6] satisfies Family[],
      extendedNextHop: false,
      maxMessage: 4096,
      localAsn: options.localAsn,
      remoteAsn,
      remoteRouterId: remote[remote.length - 1],
      localAddress: ipv4 ? address("192.0.2.254") : address("2001:db8::fe"),
      remoteAddress: remote,
      localLinkLocal: address("fe80::fe"),
      localAddress6: ipv4 ? address("2001:db8::fe") : null,
      localAddress4: null,
      ifindex: 1,
      holdTime: 90,
      keepaliveTime: 30,
      routeRefresh: true,
      enhancedRefresh: false,
      gracefulRestart: null,
      ...negotiated,
    };
    const sent = buildOpen(options, noRestart);
    // What we take is what the neighbour sends.
    const capabilities = sent.capabilities.map((capability) =>
      capability.kind === "addPath"
        ? { ...capability, entries: capability.entries.map((of) => ({ ...of, send: of.receive, receive: of.send })) }
        : capability,
    );
    const received = { ...sent, asn: remoteAsn, routerId: this.negotiated.remoteRouterId, capabilities };
    this.handshake = {
      sentOpen: encodeOpen(sent),
      receivedOpen: encodeOpen(received),
      localPort: 179,
      remotePort: 40179,
    };
  }

  send(messages: Uint8Array): boolean {
    if (this.#take) return this.#take(messages);
    this.sent.push(messages);
    return true;
  }

  hold(code: number, subcode: number, data: Uint8Array, reason: string, seconds: number | null): void {
    this.reset(code, subcode, data, reason);
    this.holds.push(seconds);
  }

  reset(code: number, subcode: number, data: Uint8Array, reason: string): void {
    this.resets.push({ code, subcode, data, reason });
  }
}
