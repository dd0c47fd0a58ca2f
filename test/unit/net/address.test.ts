import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { expect, it } from "vitest";
import { parseAddress } from "../../../net/address.ts";

/** As the library has it: strictly four decimal parts. */
function oracle(text: string): number[] | null {
  return ipaddr.IPv4.isValidFourPartDecimal(text) ? ipaddr.IPv4.parse(text).toByteArray() : null;
}

it("reads IPv4 addresses as ipaddr.js does, and refuses what it refuses", () => {
  const part = fc.oneof(
    fc.integer({ min: 0, max: 300 }).map(String),
    fc.constantFrom("", "00", "01", "0x1", "1e1", " 1", "+1", "-1", "0", "255", "256", "1000", "99999999999"),
  );
  const text = fc.oneof(
    fc.array(part, { minLength: 3, maxLength: 5 }).map((parts) => parts.join(".")),
    fc.ipV4(),
    fc.string({ unit: fc.constantFrom(..."0123456789. "), maxLength: 16 }),
  );
  fc.assert(
    fc.property(text, (address) => {
      const bytes = parseAddress(address);
      expect(bytes && [...bytes]).toEqual(oracle(address));
    }),
    { numRuns: 3000 },
  );
});
