// A peer whose neighbour is found by somebody else, over loopback: it waits, connects, follows and says so.
import { afterEach, describe, expect, it } from "vitest";
import type {
  FoundNeighbour,
  NeighbourChange,
  NeighbourFinder,
  NeighbourUser,
} from "../../../../bgp/session/found-neighbour.ts";
import { SessionManager } from "../../../../bgp/session/session-manager.ts";
import { fastClock, peerOptions, waitFor } from "./support.ts";
import { RecordingHandler, RecordingLog, type Speaker, startSpeaker, stopSpeakers } from "./support-sessions.ts";

class Finder implements NeighbourFinder {
  address: Uint8Array | null = null;
  failures = 0;
  closed = false;
  user: NeighbourUser | null = null;

  find(_device: string, _options: object, user: NeighbourUser): FoundNeighbour {
    this.user = user;
    const here = this;
    return {
      get address() {
        return here.address;
      },
      awaited: "nobody heard yet",
      spoke: () => false,
      failed: () => here.failures++,
      view: () => ({
        interface: "lo",
        ifindex: 1,
        localAddresses: [],
        neighbours: [],
        advertisements: { enabled: true, sent: 0, received: 0, ignored: 0 },
        lastIgnored: null,
        lastSendError: null,
      }),
      close: () => {
        here.closed = true;
      },
    };
  }

  set(address: Uint8Array | null, kind: NeighbourChange["kind"], reason: string = kind): void {
    this.address = address;
    this.user?.changed({ kind, reason });
  }
}

const local = (last: number) => Uint8Array.of(127, 0, 0, last);
const managers: SessionManager[] = [];

afterEach(async () => {
  await Promise.all(managers.splice(0).map((manager) => manager.stop("restart")));
  await stopSpeakers();
});

/** One that finds, and two neighbours that wait for it. */
async function fabric() {
  const clock = fastClock(1);
  const finder = new Finder();
  const handler = new RecordingHandler();
  const seen: (string | undefined)[] = [];
  const manager = new SessionManager({
    handler,
    clock,
    log: new RecordingLog(),
    listenPort: null,
    listenAddresses: [],
    neighbours: finder,
  });
  managers.push(manager);
  const neighbours: Speaker[] = [];
  for (const last of [4, 5]) {
    const neighbour = await startSpeaker(local(last), { clock });
    neighbour.manager.addPeer(
      peerOptions({ name: "us", address: local(1), passive: true, localAsn: 65000 + last, routerId: last }),
    );
    neighbours.push(neighbour);
  }
  const add = (port: number) =>
    manager.addPeer(peerOptions({ name: "tor", address: null, interface: "lo", port, routerId: 99 }));
  manager.onNeighbour((_peer, address) => seen.push(address?.join(".")));
  await manager.start();
  const status = () => manager.status()[0];
  return { finder, handler, manager, neighbours, add, status, seen };
}

const isUp = (speaker: Speaker) => speaker.status().state === "Established";

describe("a peer without an address", () => {
  it("waits without trying, says what for, and connects as soon as the neighbour is found", async () => {
    const { finder, handler, neighbours, add, status, seen } = await fabric();
    add(neighbours[0].port);
    expect(status()).toMatchObject({ state: "Active", address: null, lastError: "nobody heard yet" });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(handler.states).toEqual(["tor Idle>Active"]);
    finder.set(local(4), "found");
    await waitFor(() => status().state === "Established" && isUp(neighbours[0]), "Established");
    expect(status()).toMatchObject({ address: "127.0.0.4", asn: 65004, lastError: null });
    expect(seen).toEqual(["127.0.0.4"]);
  });

  it("knows by its TCP whether the neighbour is there", async () => {
    const { finder, neighbours, add, status } = await fabric();
    add(neighbours[0].port);
    expect(finder.user?.heardWithin(60_000)).toBe(false);
    finder.set(local(4), "found");
    await waitFor(() => status().state === "Established", "Established");
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(finder.user?.heardWithin(100)).toBe(false);
    expect(finder.user?.heardWithin(60_000)).toBe(true);
    finder.user?.provoke();
    await waitFor(() => finder.user?.heardWithin(100) ?? false, "an acknowledgement");
  });

  it("leaves a neighbour that is gone for the one that is there", async () => {
    const { finder, handler, neighbours, add, status } = await fabric();
    add(neighbours[0].port);
    finder.set(local(4), "found");
    await waitFor(() => status().state === "Established", "Established");
    finder.set(local(5), "moved", "127.0.0.4 is gone");
    expect(handler.downs).toMatchObject([{ graceful: false, reason: expect.stringContaining("127.0.0.4 is gone") }]);
    await waitFor(() => !isUp(neighbours[0]), "the old session to end");
    expect(status().address).toBe("127.0.0.5");
    finder.set(null, "lost", "interface lo went down");
    expect(status()).toMatchObject({ state: "Active", address: null, lastError: "nobody heard yet" });
  });

  it("does not touch its session when it is merely another one's turn, and says when an attempt has failed", async () => {
    const { finder, neighbours, add, status } = await fabric();
    add(1);
    finder.set(local(4), "found");
    await waitFor(() => finder.failures > 0, "a failed attempt");
    expect(status().lastError).toContain("connection refused");
    finder.set(local(5), "turned");
    expect(status().state).not.toBe("Idle");
    expect(neighbours.map(isUp)).toEqual([false, false]);
  });

  it("is looked for no more when the peer is removed, and one interface has one such peer", async () => {
    const { finder, manager, add, handler } = await fabric();
    add(1);
    const again = peerOptions({ name: "b", address: null, interface: "lo" });
    expect(() => manager.addPeer(again)).toThrow("peers tor and b have the same interface lo");
    manager.removePeer("tor", "gone");
    expect(finder.closed).toBe(true);
    finder.set(local(4), "found");
    expect(handler.sessions).toEqual([]);
  });

  it("cannot be added where nobody finds neighbours", async () => {
    const { manager } = await startSpeaker(local(6));
    expect(() => manager.addPeer(peerOptions({ address: null, interface: "lo" }))).toThrow(
      "peer peer has no address, and nobody to find it",
    );
  });
});
