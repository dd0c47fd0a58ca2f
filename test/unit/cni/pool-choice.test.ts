// Which pools serve a pod: named ones, those for its namespace, the default.
import { describe, expect, it } from "vitest";
import { choosePools } from "../../../cni/ipam/pool-choice.ts";

const pool = (name: string, ...namespaces: string[]) => ({ name, blocks: [], exclude: [], table: 7100, namespaces });
const three = [pool("web", "web", "shop-*"), pool("batch", "*-batch", "shop-*"), pool("default")];

describe("pools for a pod", () => {
  it.each<[string, ReturnType<typeof pool>[], string[], string | null, string[]]>([
    ["the named one", three, ["batch"], "web", ["batch"]],
    ["the named ones, in that order, each once", three, ["default", "web", "default"], null, ["default", "web"]],
    ["the one for its namespace", three, [], "web", ["web"]],
    ["several for its namespace", three, [], "shop-1", ["web", "batch"]],
    ["a pattern with a beginning", three, [], "night-batch", ["batch"]],
    ["a pattern is the whole name", three, [], "night-batch-2", ["default"]],
    ["nothing but letters is special", [pool("p", "a.c"), pool("q")], [], "abc", ["q"]],
    ["default without a namespace", three, [], null, ["default"]],
    ["the only one", [pool("p")], [], "web", ["p"]],
    ["the only one that is for everybody", [pool("w", "web"), pool("p")], [], "x", ["p"]],
  ])("%s", (_name, pools, requested, namespace, expected) => {
    expect(choosePools(pools, requested, namespace)).toEqual(expected);
  });

  it.each<[string, ReturnType<typeof pool>[], string[], string | null, string]>([
    ["unknown", three, ["web", "wep"], null, 'pool "wep" is unknown; configured pools: web, batch, default'],
    ["none there", [], [], null, 'pool "default" is unknown; configured pools: none'],
    ["none named", [pool("a"), pool("b")], [], null, "configured pools: a, b; the network names no pool"],
    ["none for it", [pool("a", "x")], [], "web", "none is for namespace web, and nobody names one"],
  ])("%s: code 7", (_name, pools, requested, namespace, message) => {
    expect(() => choosePools(pools, requested, namespace)).toThrow(
      expect.objectContaining({ code: 7, message: expect.stringContaining(message) as string }) as Error,
    );
  });
});
