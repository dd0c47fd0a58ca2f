// The requests that do something to a session: who may make them, and what is said about what they lack.
import { afterEach, describe, expect, it } from "vitest";
import { Harness } from "./harness.ts";

let harness: Harness;
afterEach(() => harness.stop());

describe("POST /v1/refresh and /v1/reset", () => {
  it.each([
    ["/v1/refresh?peer=tor-a", 200, { peer: "tor-a", families: ["ipv4", "ipv6"] }],
    ["/v1/refresh?peer=tor%2Fb&family=ipv6", 200, { peer: "tor/b", families: ["ipv6"] }],
    ["/v1/refresh?peer=nobody", 404, { error: "no peer nobody" }],
    ["/v1/refresh", 400, { error: "?peer= must be the name of a peer" }],
    ["/v1/refresh?peer=tor-a&family=ipx", 400, { error: "family=ipx: write ipv4 or ipv6" }],
    ["/v1/refresh?peer=tor-a&soft=in", 400, { error: "unknown parameter soft; there is peer, family" }],
    ["/v1/reset?peer=tor-a&reason=moving+racks", 200, { peer: "tor-a", reason: "moving racks" }],
    ["/v1/reset?peer=nobody", 404, { error: "no peer nobody" }],
    ["/v1/reset?peer=", 400, { error: "?peer= must be the name of a peer" }],
  ])("%s: %i", async (path, status, body) => {
    harness = new Harness();
    await harness.server.start();
    const answer = await harness.fetch(path, { method: "POST" });
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toEqual(body);
  });

  it("are refused by GET", async () => {
    harness = new Harness();
    await harness.server.start();
    for (const path of ["/v1/refresh?peer=tor-a", "/v1/reset?peer=tor-a"])
      expect((await harness.fetch(path)).status).toBe(405);
  });
});
