// Which key the listener holds for which address, as peers come, move and go.
import { describe, expect, it } from "vitest";
import { ListenerKeys } from "../../../../bgp/session/listener-keys.ts";
import type { SocketAddress } from "../../../../bgp/session/socket-options.ts";
import { formatAddress } from "../../../../net/address.ts";
import { silentLog } from "../../../../net/log.ts";
import { address } from "../support.ts";
import { ManualClock } from "./support.ts";

const key = (text: string) => new TextEncoder().encode(text);
const at = (text: string, scope = 0) => ({ address: address(text), port: 0, scope });

function keys() {
  const held = new Map<string, string>();
  const clock = new ManualClock();
  const listener = {
    setKey(neighbour: SocketAddress, bytes: Uint8Array | null, prefixLength = neighbour.address.length * 8) {
      const whole = prefixLength === neighbour.address.length * 8;
      const name = formatAddress(neighbour.address) + (whole ? "" : `/${prefixLength}`);
      if (bytes) held.set(name, new TextDecoder().decode(bytes));
      else held.delete(name);
    },
  };
  const subject = new ListenerKeys(listener, clock, silentLog);
  return { subject, clock, held: () => Object.fromEntries(held) };
}

describe("ListenerKeys", () => {
  it("follows a neighbour to its next address", () => {
    const { subject, held } = keys();
    subject.set("tor", null, [key("a")]);
    expect(held()).toEqual({});
    subject.set("tor", at("fe80::1", 2), [key("a")]);
    expect(held()).toEqual({ "fe80::1": "a" });
    subject.set("tor", at("fe80::2", 2), [key("a")]);
    expect(held()).toEqual({ "fe80::2": "a" });
    subject.set("tor", null, [key("a")]);
    expect(held()).toEqual({});
  });

  it("has nothing for a peer without a key", () => {
    const { subject, held } = keys();
    subject.set("tor", at("192.0.2.1"), []);
    expect(held()).toEqual({});
  });

  it("of two neighbours with one address keeps the other's key when one goes", () => {
    const { subject, held } = keys();
    subject.set("a", at("fe80::1", 2), [key("a")]);
    subject.set("b", at("fe80::1", 3), [key("b")]);
    expect(held()).toEqual({ "fe80::1": "b" });
    subject.set("b", null, []);
    expect(held()).toEqual({ "fe80::1": "a" });
    subject.set("a", null, []);
    expect(held()).toEqual({});
  });

  it("sets everything again on a listener that has just been opened", () => {
    const { subject, held } = keys();
    subject.set("a", at("192.0.2.1"), [key("a")]);
    const before = held();
    subject.apply();
    expect(held()).toEqual(before);
  });

  it("lets several keys take turns, of peers and of ranges", () => {
    const { subject, clock, held } = keys();
    subject.set("a", at("192.0.2.1"), [key("new"), key("old")]);
    subject.set("b", at("192.0.2.2"), [key("only")]);
    subject.set("rack/0", at("10.0.0.0"), [key("one"), key("two"), key("three")], 24);
    const states = [held()];
    for (let i = 0; i < 3; i++) {
      clock.advance(2_000);
      states.push(held());
    }
    expect(states.map((state) => [state["192.0.2.1"], state["192.0.2.2"], state["10.0.0.0/24"]])).toEqual([
      ["new", "only", "one"],
      ["old", "only", "two"],
      ["new", "only", "three"],
      ["old", "only", "one"],
    ]);
    subject.set("a", at("192.0.2.1"), [key("new")]);
    subject.set("rack/0", at("10.0.0.0"), [], 24);
    expect(held()).toEqual({ "192.0.2.1": "new", "192.0.2.2": "only" });
    expect(clock.pending).toBe(0);
  });
});
