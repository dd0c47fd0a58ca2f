// The state directory, and what container runtimes read.
import { mkdirSync, rmdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Fault, fault, replaced } from "./fault.ts";

export const filesFaults: readonly Fault[] = [
  fault("journal-missing", "the journal deleted", /allocations\.journal: is not there/, (sick) =>
    replaced(sick.journal, null),
  ),
  fault("journal-damaged", "a damaged journal", /allocations\.journal: is damaged/, (sick) =>
    replaced(sick.journal, "not a journal\n"),
  ),
  fault("journal-differs", "an old journal put in place", /pods\/c-a\/eth0: the pod is not in /, (sick) =>
    replaced(sick.journal, "underlay-allocations 1\n"),
  ),
  fault("journal-aside", "a journal put aside", /allocations\.journal\.damaged was put aside/, (sick) => {
    const file = `${sick.journal}.damaged`;
    writeFileSync(file, "not a journal");
    return () => rmSync(file);
  }),
  fault("state-not-writable", "the state directory gone", /state: cannot be written to \(ENOENT\)/, (sick) =>
    replaced(sick.state, null),
  ),
  fault("spool-waiting", "a DEL that cannot be carried out", /spool: 1 DELs wait, the first is 1\.del/, (sick) => {
    const file = join(dirname(sick.underlay.socket), "spool", "1.del");
    mkdirSync(file, { recursive: true });
    utimesSync(file, 1, 1);
    return () => rmdirSync(file);
  }),
  fault("spool-set-aside", "a DEL that was set aside", /spool: 1 set aside, the first is 1\.del\.bad/, (sick) => {
    const file = join(dirname(sick.underlay.socket), "spool", "1.del.bad");
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "");
    return () => rmSync(file);
  }),
  fault("cni-network-missing", "no network configuration", /net\.d: has no network configuration/, (sick) =>
    replaced(join(sick.confDir, "10-underlay.conflist"), null),
  ),
  fault(
    "cni-network-invalid",
    "a network configuration that is no JSON",
    /05-broken\.conflist: is no network configuration/,
    (sick) => {
      const file = join(sick.confDir, "05-broken.conflist");
      writeFileSync(file, "{");
      return () => rmSync(file);
    },
  ),
  fault(
    "cni-not-first",
    "another network before ours",
    /00-other\.conflist: comes before .*10-underlay\.conflist/,
    (sick) => {
      const file = join(sick.confDir, "00-other.conflist");
      writeFileSync(file, JSON.stringify({ name: "other", plugins: [{ type: "bridge" }] }));
      return () => rmSync(file);
    },
  ),
  fault("cni-socket", "another socket in the network configuration", /names the socket \/run\/other\.sock/, (sick) => {
    sick.writeNetwork({ socket: "/run/other.sock" });
    return () => sick.writeNetwork();
  }),
  fault(
    "cni-pool",
    "an unknown pool in the network configuration",
    /names the pool "swimming"; there are default, tiny/,
    (sick) => {
      sick.writeNetwork({ pool: "swimming" });
      return () => sick.writeNetwork();
    },
  ),
  fault(
    "cni-chained-missing",
    "a chained plugin that is not installed",
    /names the plugin portmap, which is not in .*bin/,
    (sick) => {
      sick.writeNetwork({}, "10-underlay.conflist", [{ type: "portmap" }]);
      return () => sick.writeNetwork();
    },
  ),
  fault("cni-plugin-missing", "no plugin", /bin\/underlay: is not there/, (sick) => replaced(sick.plugin, null)),
  fault("cni-plugin-version", "a plugin of another build", /bin\/underlay: is not the plugin of this build/, (sick) => {
    const undo = replaced(sick.plugin, null);
    symlinkSync("/bin/true", sick.plugin);
    return undo;
  }),
];
