// What a container runtime finds on this node: a network configuration that leads here, and the plugin.
import { type Check, check, type Facts } from "../types.ts";

const DEFAULT_SOCKET = "/run/underlay/underlayd.sock";

type Needs = Pick<Facts, "cni" | "config">;

/** Plugins of our type, with the file that they are in. */
function ours({ cni }: Pick<Facts, "cni">) {
  return cni.networks.flatMap((file) =>
    file.plugins.flatMap((plugin, index) => (plugin["type"] === "underlay" ? [{ file, plugin, index }] : [])),
  );
}

const serves = ({ config }: Pick<Facts, "config">) => config.pools.length > 0;

export const cniChecks: readonly Check[] = [
  check({
    id: "cni-network-missing",
    severity: "fault",
    title: "No network configuration names the plugin: no runtime will call it.",
    cure: "underlayctl cni install; another directory: cni.confDir",
    needs: ["cni", "config"],
    *run(facts) {
      if (serves(facts) && ours(facts).length === 0)
        yield { subject: facts.cni.confDir, text: 'has no network configuration with a plugin of type "underlay"' };
    },
  }),
  check({
    id: "cni-network-invalid",
    severity: "fault",
    title: "A network configuration cannot be read; most runtimes then use none at all, or the next one.",
    cure: "correct the file, or take it away",
    needs: ["cni", "config"],
    *run(facts) {
      if (!serves(facts)) return;
      for (const { path, error } of facts.cni.networks)
        if (error !== null) yield { subject: path, text: `is no network configuration: ${error}` };
    },
  }),
  check({
    id: "cni-not-first",
    severity: "fault",
    title:
      "Runtimes take the first network configuration by name, and ours is not the first: pods get another network.",
    cure: "remove the other file, or rename one of both",
    needs: ["cni", "config"],
    *run(facts) {
      const [first] = facts.cni.networks;
      const mine = ours(facts);
      if (serves(facts) && mine.length > 0 && !mine.some(({ file }) => file === first))
        yield { subject: first.path, text: `comes before ${mine[0].file.path}` };
    },
  }),
  check({
    id: "cni-not-leading",
    severity: "fault",
    title: "The plugin is not the first one in its list: it makes the interface that the others work on.",
    cure: "put it first in `plugins`",
    needs: ["cni", "config"],
    *run(facts) {
      for (const { file, index } of ours(facts))
        if (serves(facts) && index > 0)
          yield { subject: file.path, text: `has the plugin at place ${index + 1} of its list` };
    },
  }),
  check({
    id: "cni-socket",
    severity: "fault",
    title: "The network configuration names another socket than the daemon's: every ADD fails with code 11.",
    cure: "write the daemon's api.socket into `socket` of the plugin",
    needs: ["cni", "config"],
    *run(facts) {
      for (const { file, plugin } of serves(facts) ? ours(facts) : []) {
        const socket = plugin["socket"] ?? DEFAULT_SOCKET;
        if (socket !== facts.config.api.socket)
          yield { subject: file.path, text: `names the socket ${socket}, the daemon's is ${facts.config.api.socket}` };
      }
    },
  }),
  check({
    id: "cni-pool",
    severity: "fault",
    title: "The network configuration names a pool that is not configured: every ADD fails with code 7.",
    cure: "correct `pool` of the plugin, or add the pool",
    needs: ["cni", "config"],
    *run(facts) {
      for (const { file, plugin } of serves(facts) ? ours(facts) : [])
        for (const name of [plugin["pool"] ?? []].flat().map(String))
          if (!poolNames(facts).includes(name))
            yield {
              subject: file.path,
              text: `names the pool "${name}"; there are ${poolNames(facts).join(", ")}`,
            };
    },
  }),
  check({
    id: "cni-chained-missing",
    severity: "warning",
    title:
      "A plugin that is called before or after ours, or for its addresses, is not where runtimes look: those that look there only refuse every pod.",
    cure: "install it there (Debian: containernetworking-plugins puts it into /usr/lib/cni), or take it out: underlayctl cni install",
    needs: ["cni", "config"],
    *run(facts) {
      for (const { file, plugin } of serves(facts) ? ours(facts) : [])
        for (const name of new Set([...file.plugins.map(({ type }) => type), ipamOf(plugin)]))
          if (typeof name === "string" && name !== "underlay" && !facts.cni.programs.includes(name))
            yield { subject: file.path, text: `names the plugin ${name}, which is not in ${facts.cni.binDir}` };
    },
  }),
  check({
    id: "cni-plugin-missing",
    severity: "fault",
    title: "The plugin is not where runtimes look for it, or may not be executed.",
    cure: "underlayctl cni install; another directory: cni.binDir",
    needs: ["cni", "config"],
    *run(facts) {
      const { path, state } = facts.cni.plugin;
      if (!serves(facts) || (state !== "missing" && state !== "not executable")) return;
      yield { subject: path, text: state === "missing" ? "is not there" : "may not be executed" };
    },
  }),
  check({
    id: "cni-plugin-version",
    severity: "warning",
    title: "The plugin is not the one of this build: an upgrade forgot it, or it was replaced.",
    cure: "underlayctl cni install",
    needs: ["cni", "config"],
    *run(facts) {
      const { path, state } = facts.cni.plugin;
      if (serves(facts) && state === "another") yield { subject: path, text: "is not the plugin of this build" };
    },
  }),
];

/** Who gives the addresses, if not we. */
function ipamOf(plugin: Readonly<Record<string, unknown>>): unknown {
  const { ipam } = plugin as { ipam?: { type?: unknown } | null };
  return ipam?.type;
}

function poolNames({ config }: Needs): string[] {
  return config.pools.map(({ name }) => name);
}
