// A checked configuration, put into force on the running parts. In: the configuration until now, the next one, what is
// different. Out: every part has the next one; or a rejection, and every part has what it had.
import type { Speaker } from "../bgp/speaker.ts";
import type { ConfigDiff } from "../config/diff.ts";
import type { Config } from "../config/types.ts";
import type { Log } from "../net/log.ts";
import type { Bfd } from "./bfd.ts";
import type { Blocks } from "./blocks/blocks.ts";
import type { PodIsolation } from "./isolation.ts";
import type { Drain } from "./lifecycle/drain.ts";
import type { Sharing } from "./shared/sharing.ts";
import { monitoringOf } from "./speaker-options.ts";
import type { Tables } from "./tables.ts";

export interface ApplyParts {
  readonly speaker: Speaker;
  readonly tables: Tables;
  readonly bfd: Bfd;
  readonly drain: Drain;
  readonly sharing: Sharing;
  readonly blocks: Blocks;
  readonly isolation: PodIsolation;
  readonly log: Log;
}

/** What can fail (a port is taken, the kernel refuses a table) comes first, and is put back as it was. */
export async function applyConfig(parts: ApplyParts, before: Config, next: Config, diff: ConfigDiff): Promise<void> {
  const { speaker, tables, bfd, drain, sharing, blocks, isolation } = parts;
  const wanted = diff.peers.filter(({ kind }) => kind !== "removed").map(({ entry }) => entry);
  tables.add(next.tables);
  try {
    for (const peer of wanted) if (!drain.isDrained(peer.name)) await bfd.update(peer);
    await sharing.prepare(next);
    await blocks.change(next);
    await isolation.want(next);
  } catch (error) {
    await putBack(
      parts,
      before,
      wanted.map(({ name }) => name),
    );
    throw error;
  }
  sharing.configured(next);
  for (const { kind, entry: peer, impact } of diff.peers) {
    if (kind === "removed") {
      speaker.removePeer(peer.name);
      drain.forget(peer.name);
      await bfd.remove(peer.name);
    } else if (kind === "added") speaker.addPeer(drain.overlay(peer));
    else speaker.changePeer(drain.overlay(peer), impact);
  }
  for (const { kind, entry: group, impact } of diff.peerGroups) {
    if (kind === "removed") speaker.removeGroup(group.name);
    else if (kind === "added") speaker.addGroup(drain.overlayGroup(group));
    else speaker.changeGroup(drain.overlayGroup(group), impact);
  }
  tables.keep(next.tables);
  speaker.setMonitoring(monitoringOf(next));
}

/** `peers`: names of those whose BFD may have been touched. Never rejects; the blocks have put themselves back. */
async function putBack(
  { sharing, tables, drain, bfd, log }: ApplyParts,
  config: Config,
  peers: readonly string[],
): Promise<void> {
  await sharing
    .prepare(config)
    .catch((failure: Error) =>
      log.error({ reason: failure.message }, "shared pools could not be put back as they were"),
    );
  tables.keep(config.tables);
  const before = new Map(config.peers.map((peer) => [peer.name, peer]));
  for (const name of peers) {
    const old = drain.isDrained(name) ? undefined : before.get(name);
    await (old ? bfd.update(old) : bfd.remove(name)).catch((failure: Error) =>
      log.error({ peer: name, reason: failure.message }, "BFD could not be put back as it was"),
    );
  }
}
