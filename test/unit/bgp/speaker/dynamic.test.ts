// Neighbours out of a listen range as the speaker has them: routes come with them and go with them, and a churn of
// addresses leaves nothing behind.
import { createServer } from "node:net";
import { afterEach, expect, it } from "vitest";
import { usualBestPath } from "../../../../bgp/loc-rib/best-path-options.ts";
import { Speaker } from "../../../../bgp/speaker.ts";
import type { SpeakerGroup } from "../../../../bgp/speaker-types.ts";
import { systemClock } from "../../../../net/clock.ts";
import { silentLog } from "../../../../net/log.ts";
import { prefix } from "../../../../net/prefix.ts";
import { waitFor } from "../session/support.ts";
import { message, openMessage, RawPeer, stopSpeakers } from "../session/support-sessions.ts";
import { LOCAL_ASN, peer, resolveAll } from "../support.ts";

let speaker: Speaker | null = null;
afterEach(async () => {
  await speaker?.stop("restart");
  await stopSpeakers();
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}

const group = (options: Partial<SpeakerGroup> = {}): SpeakerGroup => {
  const { address, interface: device, group: _, dynamic, passive, ...common } = peer("rack", "127.0.0.1", 65002, {});
  return {
    ...common,
    listen: [{ prefix: prefix("127.0.0.0/8"), interface: null }],
    listenLimit: 20,
    listenPods: false,
    extendedNextHop: null,
    gracefulRestart: null,
    ...options,
  };
};

it("a churn of addresses, each with a route, leaves nothing behind", async () => {
  const listenPort = await freePort();
  const options = {
    asn: LOCAL_ASN,
    routerId: 0x0a000001,
    tables: [{ name: "fabric", id: 7100 }],
    clusterId: 0x0a000001,
    bestPath: usualBestPath,
    listenPort,
    listenAddresses: [Uint8Array.of(127, 0, 0, 1)],
  };
  speaker = new Speaker(options, { clock: systemClock, log: silentLog, resolver: resolveAll });
  const present = new Set<string>();
  let seen = 0;
  speaker.onDynamicPeer(({ name }, there) => {
    if (there) seen++;
    if (there) present.add(name);
    else present.delete(name);
  });
  speaker.addGroup(group());
  await speaker.start();
  const ours = { port: listenPort } as Parameters<typeof RawPeer.connect>[0];
  for (let round = 0; round < 4; round++) {
    const from = Array.from({ length: 20 }, (_, i) => [127, 1, round, i + 1]);
    const peers = await Promise.all(
      from.map((octets) => RawPeer.established(ours, openMessage({ routerId: octets }), octets.join("."))),
    );
    for (const [i, raw] of peers.entries())
      raw.send(
        message(2, [
          0,
          0,
          0,
          20,
          64,
          1,
          1,
          0,
          64,
          2,
          6,
          2,
          1,
          0,
          0,
          253,
          234,
          64,
          3,
          4,
          192,
          0,
          2,
          i + 1,
          24,
          20,
          round,
          i,
        ]),
      );
    await waitFor(() => speaker?.counts().total === 20, `the routes of round ${round}`);
    if (round === 0) {
      expect(speaker.peerNames().sort()[0]).toBe("rack/127.1.0.1");
      speaker.changeGroup(group({ import: "none" }), "live");
      await waitFor(() => speaker?.counts().total === 0, "the policy to count for those that are there");
      expect(speaker.peers().every(({ import: policy, state }) => policy === "none" && state === "Established")).toBe(
        true,
      );
      speaker.changeGroup(group(), "live");
    }
    for (const raw of peers) raw.close();
    await waitFor(() => speaker?.peerNames().length === 0, `the peers of round ${round} to be gone`);
  }
  expect(seen).toBeGreaterThanOrEqual(80);
  expect(present.size).toBe(0);
  await waitFor(() => speaker?.counts().total === 0, "the routes to be gone");
  // Nobody waits for neighbours like these.
  await new Promise<void>((resolve) => speaker?.onConverged(resolve));
});
