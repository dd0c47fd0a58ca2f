// What two speakers may send each other beyond RFC 4271 once their OPENs say so: messages of 65535 octets (RFC 8654), the
// marks of RFC 7313 and its error, names.
import { afterEach, describe, expect, it } from "vitest";
import type { PeerOptions } from "../../../../bgp/session/types.ts";
import { peerOptions, waitFor } from "./support.ts";
import { bothUp, message, openMessage, RawPeer, type Speaker, startSpeaker, stopSpeakers } from "./support-sessions.ts";

afterEach(stopSpeakers);

async function pair(left: Partial<PeerOptions>, right: Partial<PeerOptions>): Promise<[Speaker, Speaker]> {
  const a = await startSpeaker(Uint8Array.of(127, 0, 0, 1));
  const b = await startSpeaker(Uint8Array.of(127, 0, 0, 2));
  b.manager.addPeer(
    peerOptions({ name: "a", address: a.address, passive: true, localAsn: 65002, routerId: 0x0a000002, ...right }),
  );
  a.manager.addPeer(
    peerOptions({ name: "b", address: b.address, localAddress: a.address, port: b.port, passive: false, ...left }),
  );
  await bothUp(a, b);
  return [a, b];
}

/** An UPDATE of that many octets: withdrawals of /8s, whatever they are. */
const update = (length: number) => {
  const routes = Array.from({ length: (length - 23) >> 1 }, (_, i) => [8, 1 + (i % 200)]).flat();
  if (length % 2 === 0) routes.splice(0, 2, 16, 10, 0);
  return message(2, [routes.length >> 8, routes.length & 255, ...routes, 0, 0]);
};

describe("extended messages (RFC 8654)", () => {
  it("65535 octets arrive whole where both offer them", async () => {
    const [a, b] = await pair({ extendedMessages: true }, { extendedMessages: true });
    expect(a.handler.sessions[0].negotiated.maxMessage).toBe(65535);
    expect(a.status().capabilities).toContain("extended message");
    const longest = update(65535);
    a.handler.sessions[0].send(longest);
    a.handler.sessions[0].send(update(4097));
    await waitFor(() => b.handler.updates.length === 2, "both messages");
    expect(b.handler.updates[0]).toEqual(longest.subarray(19));
    expect(b.handler.downs).toEqual([]);
  });

  it.each([
    ["only here", true, false, 65535],
    ["only there", false, true, 4096],
    ["nowhere", false, false, 4096],
  ] as const)("offered %s: 4096 are sent, and taken up to %i", async (_, ours, theirs, taken) => {
    const [a, b] = await pair({ extendedMessages: ours }, { extendedMessages: theirs });
    expect(a.handler.sessions[0].negotiated.maxMessage).toBe(4096);
    expect(b.handler.sessions[0].negotiated.maxMessage).toBe(4096);
    b.handler.sessions[0].send(update(4097));
    if (taken > 4096) {
      await waitFor(() => a.handler.updates.length === 1, "the long message");
      expect(a.handler.downs).toEqual([]);
    } else {
      await waitFor(() => b.handler.downs.length === 1, "the end");
      expect(b.handler.downs[0].notification).toMatchObject({ sent: false, code: 1, subcode: 2 });
    }
  });

  it("an OPEN never has more than 4096", async () => {
    const a = await startSpeaker(Uint8Array.of(127, 0, 0, 1));
    a.manager.addPeer(peerOptions({ address: Uint8Array.of(127, 0, 0, 3), passive: true, extendedMessages: true }));
    const peer = await RawPeer.connect(a);
    peer.send(message(1, new Array(29 - 19).fill(0), 4097));
    expect(await peer.notification()).toBe("1/2");
  });
});

describe("enhanced route refresh (RFC 7313)", () => {
  const capabilities = [1, 4, 0, 1, 0, 1, 2, 0, 70, 0, 65, 4, 0, 0, 253, 234];
  async function raw(open = openMessage({ capabilities })): Promise<[Speaker, RawPeer]> {
    const a = await startSpeaker(Uint8Array.of(127, 0, 0, 1));
    a.manager.addPeer(peerOptions({ address: Uint8Array.of(127, 0, 0, 3), passive: true }));
    const peer = await RawPeer.established(a, open);
    await waitFor(() => a.status().state === "Established", "Established");
    return [a, peer];
  }

  it("BoRR and EoRR are passed on; families and subtypes that are not known are ignored", async () => {
    const [a, peer] = await raw();
    expect(a.handler.sessions[0].negotiated).toMatchObject({ enhancedRefresh: true, routeRefresh: true });
    peer.send(message(5, [0, 1, 1, 1]), message(5, [0, 2, 1, 1]), message(5, [0, 1, 7, 1]), message(5, [0, 1, 1, 2]));
    peer.send(message(5, [0, 1, 2, 1]), message(5, [0, 1, 0, 1]));
    await waitFor(() => a.handler.refreshes.length === 1, "the refresh");
    expect(a.handler.refreshMarkers).toEqual(["begin 4", "end 4"]);
    expect(a.status().state).toBe("Established");
  });

  it("nothing is passed on where it was not agreed", async () => {
    const [a, peer] = await raw(openMessage());
    peer.send(message(5, [0, 1, 1, 1]), message(5, [0, 1, 2, 1]), message(5, [0, 1, 0, 1]));
    await waitFor(() => a.handler.refreshes.length === 1, "the refresh");
    expect(a.handler.refreshMarkers).toEqual([]);
  });

  it.each([
    ["a BoRR that is too long", [0, 1, 1, 1, 0]],
    ["an EoRR that is too short", [0, 1, 2]],
    ["no body", []],
  ])("%s ends the session with 7/1 and the message", async (_, body) => {
    const [a, peer] = await raw();
    const bad = message(5, body);
    peer.send(bad);
    expect(await peer.notification()).toBe("7/1");
    expect(peer.received.at(-1)?.body.slice(2)).toEqual(bad);
    expect(a.status().lastError).toContain("ROUTE-REFRESH Message Error/Invalid Message Length");
  });
});

it("names are told when asked to (draft-walton-bgp-hostname-capability)", async () => {
  const [a, b] = await pair({ hostname: "node1.rack7.example.net" }, {});
  expect(b.status().capabilities).toContain("hostname node1");
  expect(a.status().capabilities.join()).not.toContain("hostname");
});
