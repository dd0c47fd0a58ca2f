// The decision process against a slow, literal reading of RFC 4271 §9.1.2.2, and independent of the order in which paths
// arrive, are replaced and go.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BestPathOptions } from "../../../bgp/loc-rib/best-path-options.ts";
import { decisionReasons } from "../../../bgp/loc-rib/decision-reasons.ts";
import type { SpeakerPeer } from "../../../bgp/speaker-types.ts";
import type { PathAttributes } from "../../../bgp/wire/path-attributes.ts";
import { type Neighbor, Simulation } from "../../unit/bgp/simulation.ts";
import { address, FakeResolver, LOCAL_ASN } from "../../unit/bgp/support.ts";

const MAX_PATHS = 3;
const PREFIX = "10.1.0.0/16";
/** Name, address, AS; two of them are in our AS. */
const peers: [string, string, number][] = [
  ["a", "192.0.2.1", 65001],
  ["b", "192.0.2.2", 65001],
  ["c", "192.0.2.3", 65002],
  ["d", "192.0.2.4", 65003],
  ["i", "192.0.2.8", LOCAL_ASN],
  ["j", "192.0.2.9", LOCAL_ASN],
];

interface Path {
  readonly peer: number;
  readonly localPref: number;
  readonly tail: number[];
  readonly origin: 0 | 1 | 2;
  readonly med: number | null;
  /** Last octet of the next hop; 99 is not reachable. */
  readonly nextHop: number;
  readonly originator: number | null;
  readonly clusters: number;
}

const options: fc.Arbitrary<BestPathOptions> = fc.record({
  maxPaths: fc.constant(MAX_PATHS),
  maxPathsIbgp: fc.constantFrom(1, MAX_PATHS),
  alwaysCompareMed: fc.boolean(),
  missingMedWorst: fc.boolean(),
  multipathRelax: fc.boolean(),
  linkBandwidth: fc.boolean(),
});
const small = (max: number) => fc.integer({ min: 0, max });
const pathArbitrary: fc.Arbitrary<Path> = fc.record({
  peer: small(peers.length - 1),
  localPref: fc.constantFrom(100, 100, 200),
  tail: fc.array(fc.constantFrom(65001, 65002, 7, LOCAL_ASN + 1), { maxLength: 2 }),
  origin: fc.constantFrom(0, 0, 2),
  med: fc.constantFrom(null, 0, 5, 10),
  nextHop: fc.constantFrom(1, 2, 3, 4, 8, 9, 50, 50, 99),
  originator: fc.constantFrom(null, null, 3, 200),
  clusters: small(2),
});

const isEbgp = (path: Path) => peers[path.peer][2] !== LOCAL_ASN;
const asPath = (path: Path) => (isEbgp(path) ? [peers[path.peer][2], ...path.tail] : path.tail);
const localPref = (path: Path) => (isEbgp(path) ? 100 : path.localPref);
const identifier = (path: Path) => (isEbgp(path) ? null : path.originator) ?? address(peers[path.peer][1])[3];
const clusters = (path: Path) => (isEbgp(path) ? 0 : path.clusters);

/** Names of the paths in use, best first. */
function reference(paths: Path[], options: BestPathOptions): string[] {
  const med = (path: Path) => path.med ?? (options.missingMedWorst ? 0xffffffff : 0);
  let left = paths.filter((path) => path.nextHop !== 99);
  const keep = (key: (path: Path) => number) => {
    const best = Math.min(...left.map(key));
    left = left.filter((path) => key(path) === best);
  };
  keep((path) => -localPref(path));
  keep((path) => asPath(path).length);
  keep((path) => path.origin);
  const neighbor = (path: Path) => (options.alwaysCompareMed ? 0 : (asPath(path)[0] ?? 0));
  left = left.filter((m) => !left.some((n) => neighbor(n) === neighbor(m) && med(n) < med(m)));
  keep((path) => (isEbgp(path) ? 0 : 1));
  left.sort(
    (a, b) =>
      identifier(a) - identifier(b) || clusters(a) - clusters(b) || (peers[a.peer][1] < peers[b.peer][1] ? -1 : 1),
  );
  const isEqual = (path: Path) => options.multipathRelax || asPath(path).join() === asPath(left[0]).join();
  const used: Path[] = [];
  for (const path of left)
    if (
      used.length < (isEbgp(left[0]) ? options.maxPaths : options.maxPathsIbgp) &&
      isEqual(path) &&
      !used.some((other) => other.nextHop === path.nextHop)
    )
      used.push(path);
  return used.map((path) => peers[path.peer][0]);
}

/** The step of RFC 4271 §9.1.2.2 at which a path falls behind, by the reference's own elimination. */
function firstStep(mine: Path, paths: Path[], options: BestPathOptions): string {
  const med = (path: Path) => path.med ?? (options.missingMedWorst ? 0xffffffff : 0);
  const neighbor = (path: Path) => (options.alwaysCompareMed ? 0 : (asPath(path)[0] ?? 0));
  let left = paths.filter((path) => path.nextHop !== 99);
  const steps: [string, (path: Path) => boolean][] = [
    ["LOCAL_PREF", (path) => localPref(path) === Math.max(...left.map(localPref))],
    ["AS path length", (path) => asPath(path).length === Math.min(...left.map((other) => asPath(other).length))],
    ["origin", (path) => path.origin === Math.min(...left.map(({ origin }) => origin))],
    ["MED", (path) => !left.some((other) => neighbor(other) === neighbor(path) && med(other) < med(path))],
    ["eBGP before iBGP", (path) => isEbgp(path) || !left.some(isEbgp)],
    ["BGP identifier", (path) => identifier(path) === Math.min(...left.map(identifier))],
    ["CLUSTER_LIST length", (path) => clusters(path) === Math.min(...left.map(clusters))],
  ];
  for (const [step, stays] of steps) {
    const kept = left.filter(stays);
    if (!kept.includes(mine)) return step;
    left = kept;
  }
  return "peer address";
}

function build(bestPath: Partial<BestPathOptions> = {}): { simulation: Simulation; neighbors: Neighbor[] } {
  const resolver = new FakeResolver();
  resolver.unreachable.add(String(address("192.0.2.99")));
  const simulation = new Simulation({ maxPaths: MAX_PATHS, bestPath, resolver });
  const options: Partial<SpeakerPeer> = { export: "none" };
  const neighbors = peers.map(([name, at, asn]) => simulation.peer(name, at, asn, options));
  return { simulation, neighbors };
}

function say(neighbors: readonly Neighbor[], path: Path): void {
  const attributes: Partial<PathAttributes> = {
    asPath: asPath(path).length > 0 ? [{ type: 2, asns: asPath(path) }] : [],
    localPref: isEbgp(path) ? null : path.localPref,
    origin: path.origin,
    med: path.med,
    nextHop: Uint8Array.of(192, 0, 2, path.nextHop),
    originatorId: isEbgp(path) ? null : path.originator,
    clusterList: isEbgp(path) ? [] : Array.from({ length: path.clusters }, (_, i) => i + 1),
  };
  neighbors[path.peer].announce([PREFIX], attributes);
}

function inUse({ simulation }: { simulation: Simulation }): string[] {
  return [...simulation.rib.routes({ best: true })].map((route) => route.peer);
}

describe("decision process", () => {
  it("is RFC 4271's, in whatever order paths come, change and go", () => {
    const one = fc.uniqueArray(pathArbitrary, { selector: (path) => path.peer, maxLength: peers.length });
    fc.assert(
      fc.property(one, fc.array(pathArbitrary, { maxLength: 4 }), fc.nat(), options, (paths, noise, seed, options) => {
        const world = build(options);
        // Paths that come first and are replaced, or withdrawn again.
        for (const path of noise) say(world.neighbors, path);
        for (const path of noise)
          if (!paths.some(({ peer }) => peer === path.peer)) world.neighbors[path.peer].withdraw([PREFIX]);
        const shuffled = paths.map((path, i) => ({ path, key: ((seed + 1) * (i + 7)) % 11 }));
        for (const { path } of shuffled.sort((a, b) => a.key - b.key)) say(world.neighbors, path);
        expect(inUse(world)).toEqual(reference(paths, options));
        world.simulation.rib.stop();
      }),
      { numRuns: 800 },
    );
  });

  it("has a reason for every path: the steps of the reference, and the paths that are in use", () => {
    const one = fc.uniqueArray(pathArbitrary, { selector: (path) => path.peer, maxLength: peers.length });
    fc.assert(
      fc.property(one, options, (paths, options) => {
        const world = build(options);
        for (const path of paths) say(world.neighbors, path);
        const { core } = world.simulation.rib;
        const locRib = core.locRibs.find(({ family }) => family === 4)!;
        const id = core.prefixes[4].find(Uint8Array.of(10, 1, 0, 0), 0, 16);
        const decided = id === 0 ? [] : decisionReasons([...locRib.select(id, "all")], core.store, locRib.options);
        const used = decided
          .filter(({ outcome }) => outcome !== "not used")
          .map(({ candidate }) => candidate.source.name);
        expect(used).toEqual(reference(paths, options));
        for (const { candidate, outcome, reason, unused } of decided) {
          expect(reason === null).toBe(outcome === "best");
          if (!reason) continue;
          const mine = paths.find(({ peer }) => peers[peer][0] === candidate.source.name)!;
          expect(reason.step).toBe(firstStep(mine, paths, options));
          if (outcome === "multipath") expect(unused).toBeNull();
          const tie = ["BGP identifier", "CLUSTER_LIST length", "peer address"].includes(reason.step);
          expect(unused !== null).toBe(outcome === "not used" && tie);
        }
        world.simulation.rib.stop();
      }),
      { numRuns: 100 },
    );
  });

  it("MED with three paths: the result is the same in all six orders, though no pairwise order exists", () => {
    const path = (peer: number, med: number, nextHop: number): Path => ({
      peer,
      med,
      nextHop,
      localPref: 100,
      tail: [],
      origin: 0,
      originator: null,
      clusters: 0,
    });
    // a and b are in the same AS: b has the lower MED; c, of another AS, has the identifier between them.
    const paths = [path(0, 10, 1), path(1, 5, 2), path(2, 7, 3)];
    const results = [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ].map((order) => {
      const world = build();
      for (const i of order) say(world.neighbors, paths[i]);
      return inUse(world);
    });
    for (const result of results) expect(result).toEqual(["b", "c"]);
  });
});
