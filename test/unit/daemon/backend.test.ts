import { expect, it } from "vitest";
import type { RouteView } from "../../../bgp/views.ts";
import { Backend } from "../../../daemon/backend.ts";
import type { FibStatus } from "../../../routing/types.ts";

const route = (prefix: string, installed = true) => ({ prefix, table: "fabric", installed }) as RouteView;
const routes = [route("10.0.0.0/8"), route("10.1.0.0/16"), route("10.2.0.0/16", false)];

async function installed(fib: Partial<FibStatus>): Promise<string[]> {
  const backend = new Backend({
    clock: { now: () => 0 },
    config: () => ({ tables: [{ id: 7100, name: "fabric" }] }),
    fib: { status: async () => ({ install: true, failed: [], ...fib }) },
    speaker: { routes: () => routes },
  } as unknown as ConstructorParameters<typeof Backend>[0]);
  return [...(await backend.routes({}))].filter((shown) => shown.installed).map(({ prefix }) => prefix);
}

it("shows a route as installed when the kernel has it", async () => {
  const error = "No space left on device";
  expect(await installed({})).toEqual(["10.0.0.0/8", "10.1.0.0/16"]);
  expect(await installed({ failed: [{ prefix: "10.1.0.0/16", table: 7100, error }] })).toEqual(["10.0.0.0/8"]);
  expect(await installed({ failed: [{ prefix: "10.1.0.0/16", table: 7200, error }] })).toHaveLength(2);
  expect(await installed({ install: false })).toEqual([]);
});

it("shows a block as announced when a neighbour of its table has been told", () => {
  const use = { prefix: "10.244.1.0/26", pool: "default", capacity: 64, used: 0 };
  const status = { ...use, table: 7100, configured: true, retained: false, state: { phase: "announced" } };
  const tables = [
    { id: 7100, name: "fabric" },
    { id: 7200, name: "edge" },
  ];
  const pools = [{ name: "default", announced: { tables: [7200] } }];
  const stateWith = (...peers: object[]) =>
    new Backend({
      clock: { now: () => 0 },
      config: () => ({ tables, pools }),
      cni: { blocks: () => [use] },
      blocks: { status: () => [status] },
      speaker: { peers: () => peers },
    } as unknown as ConstructorParameters<typeof Backend>[0]).blocks()[0].state;
  const peer = (state: string, table: string, ipv4: number) => ({
    state,
    table,
    prefixes: { advertised: { ipv4, ipv6: 1 } },
  });
  expect(stateWith()).toBe("pending");
  expect(stateWith(peer("Established", "edge", 1))).toBe("announced");
  expect(stateWith(peer("Connect", "fabric", 1))).toBe("pending");
  expect(stateWith(peer("Established", "storage", 1))).toBe("pending");
  expect(stateWith(peer("Established", "fabric", 0))).toBe("pending");
  expect(stateWith(peer("Established", "fabric", 1))).toBe("announced");
});
