// What a session keeps of how it came about and how it ended, octet by octet: a monitor passes it on (RFC 7854 §4.9, §4.10).
import { afterEach, expect, it } from "vitest";
import { peerOptions, waitFor } from "./support.ts";
import { isUp, message, openMessage, RawPeer, type Speaker, startSpeaker, stopSpeakers } from "./support-sessions.ts";

afterEach(stopSpeakers);

async function established(): Promise<[Speaker, RawPeer]> {
  const us = await startSpeaker(Uint8Array.of(127, 0, 0, 1));
  us.manager.addPeer(peerOptions({ name: "raw", address: Uint8Array.of(127, 0, 0, 3), passive: true }));
  const raw = await RawPeer.established(us);
  await waitFor(isUp(us), "Established");
  return [us, raw];
}

it("both OPENs and the ports", async () => {
  const [us, raw] = await established();
  const { handshake } = us.handler.sessions[0];
  const open = raw.received.find(({ type }) => type === 1);
  expect(handshake.receivedOpen).toEqual(openMessage());
  expect(handshake.sentOpen).toEqual(message(1, [...(open?.body ?? [])]));
  expect([handshake.localPort, handshake.remotePort]).toEqual([us.port, raw.socket.localPort]);
});

it("a NOTIFICATION received, with its data", async () => {
  const [us, raw] = await established();
  raw.send(message(3, [6, 2, 3, 98, 121, 101]));
  await waitFor(() => us.handler.downs.length > 0, "the end");
  const notification = { sent: false, code: 6, subcode: 2, data: Uint8Array.of(3, 98, 121, 101) };
  expect(us.handler.downs[0]).toMatchObject({ local: false, notification });
});

it("a NOTIFICATION sent, with its data", async () => {
  const [us] = await established();
  us.handler.sessions[0].reset(6, 1, Uint8Array.of(0, 1, 1, 0, 0, 0, 9), "too many");
  await waitFor(() => us.handler.downs.length > 0, "the end");
  const notification = { sent: true, code: 6, subcode: 1, data: Uint8Array.of(0, 1, 1, 0, 0, 0, 9) };
  expect(us.handler.downs[0]).toMatchObject({ local: true, notification });
});

it("a connection that the neighbour closed, and one that we did without a word", async () => {
  const [us, raw] = await established();
  raw.close();
  await waitFor(() => us.handler.downs.length > 0, "the end");
  expect(us.handler.downs[0]).toMatchObject({ local: false, notification: null });

  const [again] = await established();
  await again.manager.stop("restart");
  expect(again.handler.downs[0]).toMatchObject({ local: true, notification: null });
});
