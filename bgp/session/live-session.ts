// What the RIB holds of a session: one object per time the session was Established. It goes dead with the session, so that
// whoever still holds it can neither send into the next session nor end that one.
import type { EstablishedSession, Handshake, Negotiated, PeerOptions } from "./types.ts";

export interface LiveSessionEnds {
  send(messages: Uint8Array): boolean;
  reset(code: number, subcode: number, data: Uint8Array, reason: string): void;
  hold(code: number, subcode: number, data: Uint8Array, reason: string, seconds: number | null): void;
}

export class LiveSession implements EstablishedSession {
  readonly peer: PeerOptions;
  readonly negotiated: Negotiated;
  readonly handshake: Handshake;
  #ends: LiveSessionEnds | null;

  constructor(peer: PeerOptions, negotiated: Negotiated, handshake: Handshake, ends: LiveSessionEnds) {
    this.peer = peer;
    this.negotiated = negotiated;
    this.handshake = handshake;
    this.#ends = ends;
  }

  send(messages: Uint8Array): boolean {
    return this.#ends?.send(messages) ?? false;
  }

  reset(code: number, subcode: number, data: Uint8Array, reason: string): void {
    this.#ends?.reset(code, subcode, data, reason);
  }

  hold(code: number, subcode: number, data: Uint8Array, reason: string, seconds: number | null): void {
    this.#ends?.hold(code, subcode, data, reason, seconds);
  }

  /** The session is over: nothing goes through any more. */
  end(): void {
    this.#ends = null;
  }
}
