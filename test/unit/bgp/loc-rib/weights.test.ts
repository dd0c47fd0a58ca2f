import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Weights, weightsOf } from "../../../../bgp/loc-rib/weights.ts";
import { Simulation } from "../simulation.ts";

describe("weights from bandwidths", () => {
  it.each([
    [[1, 1], null],
    [[10e9, 10e9, 10e9], null],
    [[0, 5], null],
    [[5, 0, 5], null],
    [
      [10e9, 20e9],
      [1, 2],
    ],
    [
      [10e9, 25e9],
      [2, 5],
    ],
    [
      [40e9, 100e9, 25e9],
      [8, 20, 5],
    ],
    [
      [1, 256],
      [1, 256],
    ],
    [
      [1, 1000],
      [1, 256],
    ],
    [
      [1, 1e30],
      [1, 256],
    ],
  ])("%j: %j", (bandwidths, weights) => {
    expect(weightsOf(bandwidths)).toEqual(weights);
  });

  it("are 1 to 256, and near the proportions", () => {
    const bandwidth = fc.integer({ min: 1, max: 100 });
    fc.assert(
      fc.property(fc.array(bandwidth, { minLength: 2, maxLength: 16 }), (bandwidths) => {
        const weights = new Weights().of(bandwidths);
        if (weights === null) return new Set(bandwidths).size === 1;
        const largest = bandwidths.indexOf(Math.max(...bandwidths));
        return weights.every((weight, i) => {
          const share = bandwidths[i] / bandwidths[largest];
          return weight >= 1 && weight <= 256 && Math.abs(weight / weights[largest] - share) <= 0.2 * share;
        });
      }),
    );
  });
});

describe("link bandwidth", () => {
  const gbit = (value: number) => {
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, (value * 1e9) / 8);
    return { extendedCommunities: [[0x4004fde9, view.getUint32(0)] as const] };
  };
  const members = (simulation: Simulation) => {
    const [locRib] = simulation.rib.locRibs();
    return locRib
      .nextHopSetMembers(locRib.nextHopSetOf(1))
      .map(({ gateway, weight }) => `${gateway[3]}*${weight}`)
      .sort();
  };
  const world = (bestPath = {}) => {
    const simulation = new Simulation({ bestPath });
    const [a, b] = [1, 2].map((i) => simulation.peer(`p${i}`, `192.0.2.${i}`, 65000 + i));
    return { simulation, a, b };
  };

  it("weights the members when all have it, and follows its changes", () => {
    const { simulation, a, b } = world();
    a.announce(["10.1.0.0/16"], gbit(10));
    b.announce(["10.1.0.0/16"], gbit(40));
    expect(members(simulation)).toEqual(["1*1", "2*4"]);
    const [locRib] = simulation.rib.locRibs();
    const dirty = locRib.subscribe(() => {});
    dirty.take(new Uint32Array(16));
    b.announce(["10.1.0.0/16"], gbit(20));
    expect(dirty.pending).toBe(1);
    expect(members(simulation)).toEqual(["1*1", "2*2"]);
    b.announce(["10.1.0.0/16"]);
    expect(members(simulation)).toEqual(["1*1", "2*1"]);
    b.announce(["10.1.0.0/16"], gbit(10));
    expect(members(simulation)).toEqual(["1*1", "2*1"]);
    b.withdraw(["10.1.0.0/16"]);
    expect(members(simulation)).toEqual(["1*1"]);
  });

  it("is not looked at when switched off", () => {
    const { simulation, a, b } = world({ linkBandwidth: false });
    a.announce(["10.1.0.0/16"], gbit(10));
    b.announce(["10.1.0.0/16"], gbit(40));
    expect(members(simulation)).toEqual(["1*1", "2*1"]);
  });

  it("weighted sets are shared and given back", async () => {
    const { simulation, a, b } = world();
    const prefixes = ["10.1.0.0/16", "10.2.0.0/16"];
    a.announce(prefixes, gbit(10));
    b.announce(prefixes, gbit(40));
    const [locRib] = simulation.rib.locRibs();
    expect(locRib.nextHopSetOf(2)).toBe(locRib.nextHopSetOf(1));
    const released: number[] = [];
    const set = locRib.nextHopSetOf(1);
    locRib.onNextHopSetReleased((id) => released.push(id));
    b.withdraw(prefixes);
    for (let i = 0; i < 3; i++) {
      simulation.clock.advance(2000);
      await simulation.settle();
    }
    expect(released).toContain(set);
  });
});
