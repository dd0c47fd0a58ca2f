import { afterEach, describe, expect, it } from "vitest";
import { Harness } from "./harness.ts";

let harness: Harness;
afterEach(() => harness.stop());

const since = "2026-01-02T03:04:05.000Z";

describe("POST /v1/drain and /v1/undrain", () => {
  it.each([
    ["", 200, { state: "drained", since, peers: [] }, { peer: null, wait: null }],
    ["?wait=2.5", 200, { state: "drained", since, peers: [] }, { peer: null, wait: 2500 }],
    [
      "?peer=tor%2Fb&wait=0",
      200,
      { state: "serving", since: null, peers: [{ name: "tor/b", state: "drained", since }] },
      { peer: "tor/b", wait: 0 },
    ],
    ["?peer=nobody", 404, { error: "no peer nobody" }, undefined],
    ["?wait=soon", 400, { error: "wait=soon: write seconds, 0 to 3600" }, undefined],
    ["?wait=3601", 400, { error: "wait=3601: write seconds, 0 to 3600" }, undefined],
    ["?wait=-1", 400, { error: "wait=-1: write seconds, 0 to 3600" }, undefined],
    ["?node=all", 400, { error: "unknown parameter node; there is peer, wait" }, undefined],
  ])("drain%s: %i", async (query, status, body, asked) => {
    harness = new Harness();
    await harness.server.start();
    const answer = await harness.fetch(`/v1/drain${query}`, { method: "POST" });
    expect({ status: answer.status, body: JSON.parse(answer.body) }).toEqual({ status, body });
    expect(harness.backend.drains.at(-1)).toEqual(asked);
  });

  it("bring back what was drained, and say so when nothing was", async () => {
    harness = new Harness();
    await harness.server.start();
    const post = async (path: string) => (await harness.fetch(path, { method: "POST" })).status;
    expect(await post("/v1/undrain")).toBe(409);
    expect(await post("/v1/drain")).toBe(200);
    expect(await post("/v1/undrain")).toBe(200);
    expect(await post("/v1/undrain?wait=1")).toBe(400);
  });

  it("are refused by GET, as a shutdown is", async () => {
    harness = new Harness();
    await harness.server.start();
    for (const path of ["/v1/drain", "/v1/undrain", "/v1/shutdown"])
      expect((await harness.fetch(path)).status).toBe(405);
  });
});

it("POST /v1/shutdown answers who has been told", async () => {
  harness = new Harness();
  await harness.server.start();
  const { status, body } = await harness.fetch("/v1/shutdown", { method: "POST" });
  expect({ status, body: JSON.parse(body) }).toEqual({ status: 200, body: { told: ["tor-a"], late: ["tor/b"] } });
});

it.each([
  ["?force=true", 200, { pods: [], settings: [expect.objectContaining({ outcome: "restored" })] }],
  ["", 409, { error: expect.stringContaining("default/web") }],
  ["?force=false", 409, { error: expect.stringContaining("default/web") }],
  ["?force=please", 400, { error: "force=please: write true or false" }],
  ["?yes=1", 400, { error: "unknown parameter yes; there is force" }],
])("POST /v1/uninstall%s: %i", async (query, status, body) => {
  harness = new Harness();
  await harness.server.start();
  expect((await harness.fetch(`/v1/uninstall${query}`)).status).toBe(405);
  const answer = await harness.fetch(`/v1/uninstall${query}`, { method: "POST" });
  expect(answer.status).toBe(status);
  expect(JSON.parse(answer.body)).toMatchObject(body);
});
