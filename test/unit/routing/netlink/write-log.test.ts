// What is written to the kernel, as events: each kind of request, and floods of routes.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../../net/address.ts";
import type { Clock } from "../../../../net/clock.ts";
import { ruleText } from "../../../../routing/fib/views.ts";
import { encodeNewAddress } from "../../../../routing/netlink/address.ts";
import { Flag, RouteType } from "../../../../routing/netlink/constants.ts";
import { encodeDelLink, encodeNewVeth, encodeSetLink } from "../../../../routing/netlink/link.ts";
import { MessageWriter } from "../../../../routing/netlink/message.ts";
import { encodeNewNeighbour } from "../../../../routing/netlink/neighbour.ts";
import { encodeDelNextHop, encodeNewGroup, encodeNewNextHop } from "../../../../routing/netlink/nexthop.ts";
import { encodeDelRoute, encodeNewRoute, encodeRouteById } from "../../../../routing/netlink/route.ts";
import { encodeDelRule, encodeNewRule } from "../../../../routing/netlink/rule.ts";
import { WriteLog } from "../../../../routing/netlink/write-log.ts";
import type { KernelOperation, KernelOperations, RouteOperations } from "../../../../routing/types.ts";

class Recorder {
  readonly single: KernelOperation[] = [];
  readonly summaries: KernelOperations[] = [];
  readonly columns: RouteOperations[] = [];
  readonly log: WriteLog;
  now = 0;
  readonly out = new MessageWriter();

  constructor() {
    const clock: Clock = { now: () => this.now, after: () => ({ cancel() {} }) };
    this.log = new WriteLog(clock, {
      operations: (list) => {
        for (const one of list) one.kind === "operation" ? this.single.push(one) : this.summaries.push(one);
      },
      routes: (routes) => this.columns.push(routes),
    });
  }

  write(encode: (out: MessageWriter) => void, failures: readonly [index: number, text: string][] = []): void {
    this.out.reset();
    encode(this.out);
    this.log.written(
      this.out.buffer,
      failures.map(([index, text]) => ({ index, errno: 1, text })),
      { nameOf: (ifindex) => `eth${ifindex}`, ruleText },
    );
  }

  /** What came out for one write, without the time. */
  one(encode: (out: MessageWriter) => void, failures: readonly [index: number, text: string][] = []): object[] {
    this.single.length = 0;
    this.write(encode, failures);
    this.log.flush();
    return this.single.map(({ at, kind, ...rest }) => rest);
  }
}

const bytes = (text: string) => parseAddress(text)!;

const words = (address: Uint8Array) => new Uint32Array(address.slice().buffer);

describe("single operations", () => {
  it("name rules, as ip rule does", () => {
    const recorder = new Recorder();
    const rule = {
      family: 4,
      priority: 1010,
      source: bytes("10.244.1.0"),
      sourceLength: 26,
      destination: null,
      destinationLength: 0,
      action: 1,
      suppressPrefixLength: -1,
      table: 7100,
      protocol: 201,
    } as const;
    const text = "1010: from 10.244.1.0/26 lookup 7100";
    expect(recorder.one((out) => encodeNewRule(out, rule))).toEqual([
      { operation: "add", object: "rule", family: 4, table: 7100, rule: text },
    ]);
    expect(recorder.one((out) => encodeDelRule(out, rule), [[0, "ENOENT"]])).toEqual([
      { operation: "delete", object: "rule", family: 4, table: 7100, rule: text, error: "ENOENT" },
    ]);
  });

  it("name next hops, groups and their members; a second write is a replacement", () => {
    const recorder = new Recorder();
    recorder.one((out) => encodeNewNextHop(out, 7, 201, 3, bytes("192.0.2.1")));
    recorder.one((out) => encodeNewNextHop(out, 8, 201, 4, bytes("2001:db8::1")), [[0, "ENETDOWN"]]);
    const members = [
      { id: 7, weight: 2 },
      { id: 8, weight: 1 },
    ];
    const group = { object: "group", id: 9, members: ["192.0.2.1 dev eth3 weight 2", "nexthop 8"] };
    expect(recorder.one((out) => encodeNewGroup(out, 9, 201, members))).toEqual([{ operation: "add", ...group }]);
    expect(recorder.one((out) => encodeNewGroup(out, 9, 201, members))).toEqual([{ operation: "replace", ...group }]);
    expect(recorder.one((out) => encodeDelNextHop(out, 9))).toEqual([{ operation: "delete", object: "group", id: 9 }]);
    expect(recorder.one((out) => encodeDelNextHop(out, 7))).toEqual([
      { operation: "delete", object: "nexthop", id: 7 },
    ]);
    expect(recorder.one((out) => encodeNewNextHop(out, 7, 201, 3, bytes("192.0.2.1")))).toEqual([
      { operation: "add", object: "nexthop", id: 7, gateway: "192.0.2.1", interface: "eth3" },
    ]);
  });

  it("know the objects of a former run", () => {
    const recorder = new Recorder();
    const object = { protocol: 201, flags: 0, blackhole: false };
    recorder.log.know(
      [{ ...object, id: 7, ifindex: 3, gateway: bytes("192.0.2.1"), group: null }],
      (ifindex) => `up${ifindex}`,
    );
    expect(recorder.one((out) => encodeNewGroup(out, 9, 201, [{ id: 7, weight: 1 }]))).toMatchObject([
      { operation: "add", members: ["192.0.2.1 dev up3"] },
    ]);
  });

  it("name routes: learned, of pods, blackholes, default routes", () => {
    const recorder = new Recorder();
    expect(
      recorder.one(
        (out) => {
          encodeRouteById(out, Flag.create | Flag.replace, 4, 7100, 201, 100, words(bytes("10.1.0.0")), 0, 16, 99);
          encodeRouteById(out, 0, 6, 7100, 201, 100, words(bytes("2001:db8::")), 0, 32, 0);
          encodeNewRoute(out, Flag.create | Flag.exclusive, {
            family: 4,
            table: 7000,
            destination: bytes("10.244.1.0"),
            length: 26,
            type: RouteType.blackhole,
            protocol: 201,
            priority: 5000,
          });
          encodeNewRoute(out, Flag.create, {
            family: 6,
            table: 254,
            destination: null,
            length: 0,
            protocol: 3,
            oif: 5,
            gateway: bytes("fe80::1"),
          });
          encodeDelRoute(out, {
            family: 4,
            table: 12,
            destination: bytes("10.244.1.9"),
            length: 32,
            protocol: 201,
            oif: 5,
          });
        },
        [[4, "ESRCH"]],
      ),
    ).toEqual([
      { operation: "replace", object: "route", prefix: "10.1.0.0/16", table: 7100, nextHop: 99, metric: 100 },
      { operation: "delete", object: "route", prefix: "2001:db8::/32", table: 7100, metric: 100 },
      { operation: "add", object: "route", prefix: "10.244.1.0/26", table: 7000, routeType: "blackhole", metric: 5000 },
      { operation: "add", object: "route", prefix: "::/0", table: 254, gateway: "fe80::1", interface: "eth5" },
      { operation: "delete", object: "route", prefix: "10.244.1.9/32", table: 12, interface: "eth5", error: "ESRCH" },
    ]);
  });

  it("name a pod's cable", () => {
    const recorder = new Recorder();
    expect(
      recorder.one((out) => {
        encodeNewVeth(out, { name: "ul0" }, { name: "eth0", netnsFd: 1 }, false);
        encodeSetLink(out, { ifindex: 5 }, { up: true });
        encodeSetLink(out, { ifindex: 5 }, { alias: "pod" });
        encodeNewAddress(out, { ifindex: 5, address: bytes("10.244.1.9"), length: 32 });
        encodeNewNeighbour(out, { ifindex: 5, address: bytes("169.254.1.1"), mac: Uint8Array.of(2, 0, 0, 0, 0, 10) });
        encodeDelLink(out, { name: "ul0" });
      }),
    ).toEqual([
      { operation: "add", object: "link", name: "ul0", value: "veth" },
      { operation: "set", object: "link", name: "eth5", value: "up" },
      { operation: "set", object: "link", name: "eth5", value: "alias pod" },
      { operation: "add", object: "address", prefix: "10.244.1.9/32", interface: "eth5" },
      { operation: "set", object: "neighbour", prefix: "169.254.1.1", interface: "eth5", value: "02:00:00:00:00:0a" },
      { operation: "delete", object: "link", name: "ul0" },
    ]);
  });
});

describe("floods of routes", () => {
  /** A prefix of its own for each number. */
  const address = (n: number) => Uint8Array.of(10, (n >> 16) & 255, (n >> 8) & 255, n & 255);

  it("are summed up after the first ones: how many, and between which prefixes", () => {
    const recorder = new Recorder();
    for (let batch = 0; batch < 100; batch++)
      recorder.write((out) => {
        for (let i = 0; i < 400; i++)
          encodeRouteById(out, Flag.create, 4, 7100, 201, 100, words(address(batch * 400 + i)), 0, 32, 5);
      });
    recorder.log.flush();
    expect(recorder.single).toHaveLength(256);
    expect(recorder.summaries).toMatchObject([
      { operation: "add", object: "route", count: 40_000 - 256, table: 7100, nextHop: 5, lowest: "10.0.1.0/32" },
    ]);
    expect(recorder.summaries[0].highest).toBe("10.0.156.63/32");
    expect(recorder.columns).toEqual([]);
  });

  it("have a summary a second, and one for each reason to refuse", () => {
    const recorder = new Recorder();
    const flood = (from: number) =>
      recorder.write(
        (out) => {
          for (let i = 0; i < 400; i++)
            encodeRouteById(out, Flag.create, 4, 7100, 201, 100, words(address(from + i)), 0, 32, 5);
        },
        [[399, "ENETUNREACH"]],
      );
    flood(0);
    recorder.now = 1200;
    flood(400);
    expect(recorder.summaries).toMatchObject([
      { count: 143 + 399 - 24 },
      { count: 2, error: "ENETUNREACH", lowest: "10.0.1.143/32", highest: "10.0.3.31/32" },
    ]);
  });

  it("of very many next hops have a bounded number of summaries", () => {
    const recorder = new Recorder();
    recorder.write((out) => {
      for (let i = 0; i < 2000; i++)
        encodeRouteById(out, Flag.create, 6, 7, 201, 100, words(bytes("2001:db8::")), 0, 32, i + 1);
    });
    recorder.log.flush();
    expect(recorder.summaries).toHaveLength(65);
    expect(recorder.summaries.reduce((sum, { count }) => sum + count, 0)).toBe(2000 - 256);
    expect(recorder.summaries.at(-1)?.nextHop).toBeUndefined();
  });

  it("are summed up exactly: counts, bounds and lengths, whatever failed between them", () => {
    const route = fc.record({
      n: fc.nat(0xffffff),
      length: fc.integer({ min: 0, max: 32 }),
      deletes: fc.boolean(),
      fails: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    });
    const value = ({ n }: { n: number }) => 10 * 2 ** 24 + n;
    fc.assert(
      fc.property(fc.array(fc.array(route, { maxLength: 60 }), { maxLength: 8 }), fc.boolean(), (batches, mixed) => {
        const recorder = new Recorder();
        // Nothing is left of the reserve for single ones.
        recorder.write((out) => {
          for (let i = 0; i < 256; i++) encodeRouteById(out, 0, 4, 9, 201, 1, words(address(0)), 0, 32, 7);
        });
        for (const batch of batches) {
          const failures = batch.flatMap(({ fails }, i): [number, string][] => (fails ? [[i, "EINVAL"]] : []));
          recorder.write((out) => {
            for (const { n, length, deletes } of batch)
              encodeRouteById(out, 0, 4, 1, 201, 1, words(address(n)), 0, length, mixed && deletes ? 0 : 7);
            if (batch.length > 0) out.flagLast(Flag.ack);
          }, failures);
        }
        recorder.log.flush();
        const told = recorder.summaries.map(
          (sum) => `${sum.operation} ${sum.error} ${sum.count} ${sum.lowest} ${sum.highest} ${sum.shortest}`,
        );
        const wanted = new Map<string, (typeof batches)[number]>();
        for (const one of batches.flat()) {
          const key = `${mixed && one.deletes ? "delete" : "add"} ${one.fails ? "EINVAL" : undefined}`;
          wanted.set(key, [...(wanted.get(key) ?? []), one]);
        }
        const sums = [...wanted].map(([key, routes]) => {
          // Of a default route the kernel is told no address.
          const sorted = routes
            .map((one) => (one.length === 0 ? { address: 0, length: 0 } : { address: value(one), length: one.length }))
            .sort((a, b) => a.address - b.address || a.length - b.length);
          const text = ({ address, length }: { address: number; length: number }) =>
            `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}/${length}`;
          const shortest = Math.min(...routes.map(({ length }) => length));
          return `${key} ${routes.length} ${text(sorted[0])} ${text(sorted[sorted.length - 1])} ${shortest}`;
        });
        expect(told.sort()).toEqual(sums.sort());
      }),
      { numRuns: 200 },
    );
  });

  it("lose no operation, and with detail each one is told", () => {
    const operation = fc.record({
      n: fc.nat(0xffffff),
      length: fc.integer({ min: 1, max: 32 }),
      nextHop: fc.nat(80),
      six: fc.boolean(),
      fails: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(fc.array(operation, { maxLength: 300 }), { maxLength: 12 }),
        fc.boolean(),
        (batches, detailed) => {
          const recorder = new Recorder();
          recorder.log.detailed = detailed;
          for (const batch of batches) {
            const failures = batch.flatMap(({ fails }, i): [number, string][] => (fails ? [[i, "EINVAL"]] : []));
            recorder.write((out) => {
              for (const { n, length, nextHop, six } of batch)
                if (six)
                  encodeRouteById(
                    out,
                    0,
                    6,
                    1,
                    201,
                    1,
                    words(bytes(`2001:db8::${n.toString(16).slice(-4)}`)),
                    0,
                    length,
                    nextHop,
                  );
                else encodeRouteById(out, 0, 4, 1, 201, 1, words(address(n)), 0, length, nextHop);
            }, failures);
          }
          recorder.log.flush();
          const all = batches.flat();
          const summed = recorder.summaries.reduce((sum, { count }) => sum + count, 0);
          expect(recorder.single.length + summed).toBe(all.length);
          const failed = recorder.summaries.reduce((sum, { count, error }) => sum + (error ? count : 0), 0);
          expect(recorder.single.filter(({ error }) => error).length + failed).toBe(
            all.filter(({ fails }) => fails).length,
          );
          const told = recorder.columns.reduce((sum, { count }) => sum + count, 0);
          expect(told).toBe(detailed ? summed : 0);
          const lengths = recorder.columns.flatMap(({ lengths, count }) => [...lengths.subarray(0, count)]);
          if (detailed) expect(lengths).toEqual(all.slice(256).map(({ length }) => length));
        },
      ),
      { numRuns: 60 },
    );
  });
});
