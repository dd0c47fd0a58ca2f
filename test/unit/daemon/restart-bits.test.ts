// What OPEN messages say of forwarding, from what the fib worker says of the kernel.
import { describe, expect, it } from "vitest";
import type { SpeakerRestartState } from "../../../bgp/speaker.ts";
import { RestartBits } from "../../../daemon/restart-bits.ts";
import type { ForwardingState } from "../../../routing/types.ts";
import { peer } from "../bgp/support.ts";

const nothing: ForwardingState = { tables: [], owned: [] };
const learned4: ForwardingState = { tables: [{ family: 4, table: 7100 }], owned: [4, 6] };

function bits(found: ForwardingState, peers = [peer("tor", "192.0.2.1", 65001, {})]) {
  let now = found;
  let state: SpeakerRestartState = { restarting: false, forwarding: () => true };
  const restart = new RestartBits({
    speaker: { setRestartState: (next) => (state = next) },
    fib: { forwarding: () => now },
    peers: () => peers,
  });
  const said = (table = 7100) => ({
    R: state.restarting,
    F4: state.forwarding(table, 4),
    F6: state.forwarding(table, 6),
  });
  return { restart, said, becomes: (next: ForwardingState) => (now = next) };
}

describe("R and F bits", () => {
  it("first start: neither, whatever is there", () => {
    const { restart, said } = bits(learned4);
    restart.started(0);
    expect(said()).toEqual({ R: false, F4: false, F6: false });
  });

  it("a restart: F where learned routes were found whole, per family and table", () => {
    const { restart, said } = bits(learned4);
    restart.started(3);
    expect(said()).toEqual({ R: true, F4: true, F6: false });
    expect(said(7200)).toEqual({ R: true, F4: true, F6: true });
  });

  it("a restart with nothing but rules left: R alone", () => {
    const { restart, said } = bits({ tables: [], owned: [4, 6] });
    restart.started(2);
    expect(said()).toEqual({ R: true, F4: false, F6: false });
  });

  it("a table that takes no routes from anybody goes by rules and blackholes", () => {
    const { restart, said } = bits({ tables: [], owned: [4] }, [peer("tor", "192.0.2.1", 65001, { import: "none" })]);
    restart.started(2);
    expect(said()).toEqual({ R: true, F4: true, F6: false });
  });

  it("where neighbours are told our blocks alone: F by rules and blackholes, learned routes or not", () => {
    const blocksOnly = [peer("tor", "192.0.2.1", 65001, { export: "blocks" })];
    const { restart, said, becomes } = bits({ tables: [], owned: [6] }, blocksOnly);
    restart.started(2);
    expect(said()).toEqual({ R: true, F4: false, F6: true });
    restart.converged();
    expect(said()).toEqual({ R: false, F4: false, F6: true });
    becomes(nothing);
    expect(said()).toEqual({ R: false, F4: false, F6: false });
    const transit = [...blocksOnly, peer("other", "192.0.2.2", 65002, { export: "all" })];
    const passing = bits({ tables: [], owned: [4, 6] }, transit);
    passing.restart.started(2);
    expect(passing.said()).toEqual({ R: true, F4: false, F6: false });
  });

  it("after convergence F follows the worker: in doubt, refused, and well again", () => {
    const { restart, said, becomes } = bits(learned4);
    restart.started(3);
    restart.converged();
    expect(said()).toEqual({ R: false, F4: true, F6: false });
    becomes(nothing);
    expect(said()).toEqual({ R: false, F4: false, F6: false });
    becomes(learned4);
    expect(said().F4).toBe(true);
  });
});
