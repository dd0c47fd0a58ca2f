// A session's status in memory that both threads see: the worker writes numbers, the main thread reads them when it is
// asked. Nothing is queued for it, however long the main thread is busy. A reader may see a value of the next packet
// beside one of the last: harmless for what is shown to people.

import { errnoName } from "../../net/native.ts";
import { describeDiagnostic, discards, states } from "./packet.ts";
import type { BfdSession } from "./session.ts";
import type { BfdStatus } from "./types.ts";

const WORDS = 17;
const Word = {
  STATE: 0,
  REMOTE_STATE: 1,
  DIAGNOSTIC: 2,
  REMOTE_DIAGNOSTIC: 3,
  TRANSMIT_INTERVAL: 4,
  DETECTION_TIME: 5,
  REMOTE_MULTIPLIER: 6,
  LOCAL_DISCRIMINATOR: 7,
  REMOTE_DISCRIMINATOR: 8,
  REMOTE_INDEPENDENT: 9,
  SENT: 10,
  RECEIVED: 11,
  DISCARDED: 12,
  SEND_ERRORS: 13,
  LAST_DISCARD: 14,
  LAST_SEND_ERROR: 15,
  TIMES_UP: 16,
} as const;

export type StatusWords = Uint32Array<SharedArrayBuffer>;

export function createStatusWords(): StatusWords {
  const words = new Uint32Array(new SharedArrayBuffer(WORDS * 4));
  words[Word.STATE] = words[Word.REMOTE_STATE] = states.indexOf("Down");
  return words;
}

export function writeSession(words: StatusWords, session: BfdSession): void {
  words[Word.STATE] = states.indexOf(session.state);
  words[Word.REMOTE_STATE] = states.indexOf(session.remoteState);
  words[Word.DIAGNOSTIC] = session.diagnostic;
  words[Word.REMOTE_DIAGNOSTIC] = session.remoteDiagnostic;
  words[Word.TRANSMIT_INTERVAL] = session.transmitInterval;
  words[Word.DETECTION_TIME] = Math.min(session.detectionTime, 0xffffffff);
  words[Word.REMOTE_MULTIPLIER] = session.remoteMultiplier;
  words[Word.LOCAL_DISCRIMINATOR] = session.localDiscriminator;
  words[Word.REMOTE_DISCRIMINATOR] = session.remoteDiscriminator;
  words[Word.REMOTE_INDEPENDENT] = session.remoteIndependent ? 1 : 0;
}

export function countUp(words: StatusWords): void {
  words[Word.TIMES_UP]++;
}

export function countReceived(words: StatusWords): void {
  words[Word.RECEIVED]++;
}

export function countDiscarded(words: StatusWords, reason: (typeof discards)[number]): void {
  words[Word.DISCARDED]++;
  words[Word.LAST_DISCARD] = discards.indexOf(reason);
}

/** `errno`: 0 for a packet that went out. */
export function countSent(words: StatusWords, errno: number): void {
  words[errno === 0 ? Word.SENT : Word.SEND_ERRORS]++;
  words[Word.LAST_SEND_ERROR] = errno;
}

export function readStatus(words: StatusWords, multiplier: number): Omit<BfdStatus, "uptime"> {
  const milliseconds = (word: number) => (words[word] === 0 ? null : words[word] / 1000);
  const { LAST_DISCARD, LAST_SEND_ERROR } = Word;
  return {
    state: states[words[Word.STATE]],
    remoteState: states[words[Word.REMOTE_STATE]],
    upCount: words[Word.TIMES_UP],
    diagnostic: describeDiagnostic(words[Word.DIAGNOSTIC]),
    remoteDiagnostic: describeDiagnostic(words[Word.REMOTE_DIAGNOSTIC]),
    interval: milliseconds(Word.TRANSMIT_INTERVAL),
    detectionTime: milliseconds(Word.DETECTION_TIME),
    multiplier,
    remoteMultiplier: words[Word.REMOTE_MULTIPLIER],
    localDiscriminator: words[Word.LOCAL_DISCRIMINATOR],
    remoteDiscriminator: words[Word.REMOTE_DISCRIMINATOR],
    remoteIndependent: words[Word.REMOTE_INDEPENDENT] === 1,
    packets: {
      sent: words[Word.SENT],
      received: words[Word.RECEIVED],
      discarded: words[Word.DISCARDED],
      sendErrors: words[Word.SEND_ERRORS],
    },
    lastDiscard: words[LAST_DISCARD] === 0 ? null : discards[words[LAST_DISCARD]],
    lastSendError: words[LAST_SEND_ERROR] === 0 ? null : errnoName(words[LAST_SEND_ERROR]),
  };
}
