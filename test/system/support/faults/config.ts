// The configuration file and its secrets.
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Fault, fault, written } from "./fault.ts";

export const configFaults: readonly Fault[] = [
  fault(
    "config-invalid",
    "a wrong line in the file",
    /underlay\.yaml:\d+:\d+: .*holdTime/,
    written({ peer: "holdTime: 1s, import: all" }),
  ),
  fault(
    "config-not-in-force",
    "a change that was not reloaded",
    /peers\.tor\.holdTime/,
    written({ peer: "holdTime: 30s, import: all" }),
  ),
  fault(
    "config-doubtful",
    "an eBGP peer without a policy",
    /imports and exports nothing/,
    written({ peers: "  other: { address: 10.0.0.9, asn: 65009 }" }),
  ),
  fault(
    "secret-missing",
    "a secret that is not there",
    /cannot read .*tor\.key/,
    written({ peer: "password: { file: tor.key }, import: all" }),
  ),
  fault("secret-readable", "a secret for everybody", /everybody on this host can read .*tor\.key/, (sick) => {
    const file = join(sick.underlay.directory, "tor.key");
    writeFileSync(file, "secret");
    chmodSync(file, 0o644);
    sick.write({ peer: "password: { file: tor.key }, import: all" });
    return () => {
      sick.write();
      rmSync(file);
    };
  }),
];
