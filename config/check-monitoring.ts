// Monitoring: what takes more than one key to judge.
import { formatAddress, isLinkLocal } from "../net/address.ts";
import type { Check } from "./check.ts";
import { Refusal } from "./scalar.ts";
import { name as nameScalar } from "./scalars.ts";

export function checkMonitoring(check: Check): void {
  const seen = new Map<string, string>();
  for (const [name, collector] of Object.entries(check.parsed.monitoring?.bmp ?? {})) {
    const path = ["monitoring", "bmp", name];
    const { address, port, localAddress, adjRibIn, locRib } = collector;
    const refusal = nameScalar.parse(name);
    if (refusal instanceof Refusal) check.problem(path, refusal.message, refusal.hint, "key");
    if (address.length === 16 && isLinkLocal(address))
      check.problem(
        [...path, "address"],
        `${formatAddress(address)} is a link-local address`,
        "a collector needs an address that is routed",
      );
    if (localAddress && localAddress.length !== address.length)
      check.problem(
        [...path, "localAddress"],
        `${formatAddress(localAddress)} is not of the same family as the collector's address`,
      );
    if (new Set(adjRibIn).size < adjRibIn.length) check.problem([...path, "adjRibIn"], "names a view twice");
    if (adjRibIn.length === 0 && !locRib)
      check.warning(path, "is told of no routes: adjRibIn is empty and locRib is false", null, "key");
    const key = `${formatAddress(address)} port ${port}`;
    const other = seen.get(key);
    if (other === undefined) seen.set(key, name);
    else
      check.problem(
        [...path, "port"],
        `${key} is collector ${other} already (line ${check.line(["monitoring", "bmp", other, "port"])})`,
        "one collector is one entry",
      );
  }
}
