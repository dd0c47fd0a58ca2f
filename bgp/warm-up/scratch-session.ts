// A session without sockets, made of the same parts as a real one: objects that only look alike would have the RIB compiled
// for something else.
import { noRestart } from "../session/graceful-restart.ts";
import { LiveSession } from "../session/live-session.ts";
import { buildOpen, negotiate } from "../session/negotiate.ts";
import type { SpeakerPeer } from "../speaker-types.ts";

export interface ScratchPeer {
  readonly peer: SpeakerPeer;
  readonly asn: number;
  establish(): LiveSession;
}

/** `sent` hears how many octets the neighbour is told. */
export function scratchPeer(
  template: SpeakerPeer,
  host: number,
  policies: Pick<SpeakerPeer, "import" | "export">,
  sent: (octets: number) => void,
): ScratchPeer {
  const asn = template.localAsn === host ? host + 256 : host;
  const address = Uint8Array.of(192, 0, 2, host);
  const peer: SpeakerPeer = {
    ...template,
    ...policies,
    name: `warm-up ${host}`,
    address,
    remoteAsn: asn,
    families: [4, 6],
    table: 0,
    maxPrefixes: null,
    maxPrefixesOut: null,
  };
  const neighbour = { ...peer, localAsn: asn, routerId: 0xc000_0200 + host };
  const endpoints = {
    localAddress: Uint8Array.of(192, 0, 2, 254),
    remoteAddress: address,
    localLinkLocal: null,
    localAddress6: Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 254),
    localAddress4: null,
    ifindex: 1,
  };
  const none = new Uint8Array(0);
  const handshake = { sentOpen: none, receivedOpen: none, localPort: 179, remotePort: 179 };
  const ends = {
    send(messages: Uint8Array) {
      sent(messages.length);
      return true;
    },
    reset() {},
    hold() {},
  };
  return {
    peer,
    asn,
    establish: () =>
      new LiveSession(peer, negotiate(peer, buildOpen(neighbour, noRestart), endpoints), handshake, ends),
  };
}
