// Which key the listener holds for which address, as peers come, move and go.
import { describe, expect, it } from "vitest";
import { ListenerKeys } from "../../../../bgp/session/listener-keys.ts";
import { formatAddress } from "../../../../net/address.ts";
import { address } from "../support.ts";

const key = (text: string) => new TextEncoder().encode(text);
const at = (text: string, scope = 0) => ({ address: address(text), port: 0, scope });

function keys() {
  const held = new Map<string, string>();
  const subject = new ListenerKeys({
    setKey(neighbour, bytes) {
      const name = formatAddress(neighbour.address);
      if (bytes) held.set(name, new TextDecoder().decode(bytes));
      else held.delete(name);
    },
  });
  return { subject, held: () => Object.fromEntries(held) };
}

describe("ListenerKeys", () => {
  it("follows a neighbour to its next address", () => {
    const { subject, held } = keys();
    subject.set("tor", null, key("a"));
    expect(held()).toEqual({});
    subject.set("tor", at("fe80::1", 2), key("a"));
    expect(held()).toEqual({ "fe80::1": "a" });
    subject.set("tor", at("fe80::2", 2), key("a"));
    expect(held()).toEqual({ "fe80::2": "a" });
    subject.set("tor", null, key("a"));
    expect(held()).toEqual({});
  });

  it("has nothing for a peer without a key", () => {
    const { subject, held } = keys();
    subject.set("tor", at("192.0.2.1"), null);
    expect(held()).toEqual({});
  });

  it("of two neighbours with one address keeps the other's key when one goes", () => {
    const { subject, held } = keys();
    subject.set("a", at("fe80::1", 2), key("a"));
    subject.set("b", at("fe80::1", 3), key("b"));
    expect(held()).toEqual({ "fe80::1": "b" });
    subject.set("b", null, null);
    expect(held()).toEqual({ "fe80::1": "a" });
    subject.set("a", null, null);
    expect(held()).toEqual({});
  });

  it("sets everything again on a listener that has just been opened", () => {
    const { subject, held } = keys();
    subject.set("a", at("192.0.2.1"), key("a"));
    const before = held();
    subject.apply();
    expect(held()).toEqual(before);
  });
});
