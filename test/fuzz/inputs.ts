// What the fuzzers start from, good messages of ours and of other speakers, and what they do to them.
import { KEEPALIVE, message } from "../../bgp/wire/message.ts";
import { encodeNotification } from "../../bgp/wire/notification.ts";
import { encodeOpen } from "../../bgp/wire/open.ts";
import { MessageType } from "../../bgp/wire/registry.ts";
import { encodeRouteRefresh } from "../../bgp/wire/route-refresh.ts";
import { encodeEndOfRib } from "../../bgp/wire/update.ts";
import { hex } from "../support/hex.ts";
import { attributeVectors } from "../vectors/attributes.ts";
import { recordings } from "../vectors/recordings.ts";

/** xorshift32: the same inputs for the same seed. */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function update(withdrawn: string, attributes: string, nlri: string): Uint8Array {
  const part = (text: string) => {
    const bytes = hex(text);
    return [bytes.length >>> 8, bytes.length & 255, ...bytes];
  };
  return message(MessageType.UPDATE, Uint8Array.from([...part(withdrawn), ...part(attributes), ...hex(nlri)]));
}

export const corpus: Uint8Array[] = [
  KEEPALIVE,
  encodeNotification(6, 2, hex("05 68656c6c6f")),
  encodeRouteRefresh(1, 1),
  encodeEndOfRib(4),
  encodeEndOfRib(6),
  ...[3, 300].map((length) =>
    encodeOpen({
      version: 4,
      asn: 65001,
      holdTime: 90,
      routerId: 1,
      capabilities: [
        { kind: "multiprotocol", afi: 1, safi: 1 },
        { kind: "as4", asn: 70000 },
        { kind: "extendedNextHop", entries: [{ afi: 1, safi: 1, nextHopAfi: 2 }] },
        {
          kind: "gracefulRestart",
          restarting: false,
          notification: true,
          time: 120,
          families: [{ afi: 2, safi: 1, forwarding: false }],
        },
        { kind: "unknown", code: 73, value: new Uint8Array(Math.min(length, 250)) },
      ],
    }),
  ),
  ...recordings.flatMap(({ messages }) => messages.map((text) => hex(`${"ff".repeat(16)}${text}`))),
  ...recordings.map(({ messages }) =>
    Buffer.concat(messages.slice(0, 4).map((text) => hex(`${"ff".repeat(16)}${text}`))),
  ),
  ...attributeVectors.map(({ bytes }) => update("10 0a00 18 c0a801", bytes, "18 0a0000 20 0a000001 00")),
];

/** One to four changes of a good message; often with the header's length made right again, so that the body is reached. */
export function mutate(original: Uint8Array, random: (below: number) => number): Uint8Array {
  if (random(20) === 0) return Uint8Array.from({ length: random(80) }, () => random(256));
  let bytes = Uint8Array.from(original);
  const place = () =>
    random(8) === 0 ? random(bytes.length) : Math.min(bytes.length - 1, 19 + random(Math.max(1, bytes.length - 19)));
  for (let changes = 1 + random(4); changes > 0 && bytes.length > 0; changes--) {
    const at = place();
    switch (random(6)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] ^= 1 << random(8);
        break;
      case 2:
        bytes[at] += random(2) === 0 ? 1 : -1;
        break;
      case 3:
        bytes = bytes.slice(0, at);
        break;
      case 4:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(Math.max(0, at - random(40)))]);
        break;
      default:
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          ...bytes.subarray(Math.min(bytes.length, at + 1 + random(4))),
        ]);
    }
  }
  if (bytes.length >= 19 && random(4) !== 0) {
    bytes[16] = bytes.length >>> 8;
    bytes[17] = bytes.length;
  }
  return bytes;
}
