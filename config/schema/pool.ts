// Pools of pod addresses in the file, and the etcd that blocks of shared pools are claimed in.
import * as z from "zod";
import { milliseconds, seconds } from "../durations.ts";
import { percentOrFalse } from "../percent.ts";
import { integer, list, one, word } from "../scalar.ts";
import * as s from "../scalars.ts";
import { otherwise } from "./common.ts";
import { originatedCommunities } from "./policy.ts";

const blockSize = z
  .strictObject({
    ipv4: one(integer("prefix length", 8, 32), "Of IPv4 blocks.").prefault(26),
    ipv6: one(integer("prefix length", 16, 128), "Of IPv6 blocks.").prefault(122),
  })
  .describe("With `source: etcd`: prefix lengths of the blocks that are claimed.");

const exceptions = z
  .strictObject({
    budget: one(
      integer("number", 0, 4096),
      "Most host routes that this node announces for the pool, both families together.",
    ).prefault(32),
    ranges: list(
      s.block,
      "With `source: static`: prefixes whose addresses this node may take when they are asked for by name, although they are in none of its blocks. That no other node uses such an address at the same time is your promise.",
    ).prefault([]),
    communities: originatedCommunities.optional().meta(otherwise("those of the pool")),
  })
  .describe(
    "Single addresses of pods outside of this node's blocks, each announced as a /32 or /128: borrowed ones, and addresses that came along with their pod from another node.",
  );

const sticky = z
  .strictObject({
    by: one(
      word({ "pod-name": "pod-name" as const, request: "request" as const }),
      "`pod-name`: every pod that has a name (K8S_POD_NAMESPACE and K8S_POD_NAME); `request`: pods that ask for it, with the annotation `underlay.dev/sticky` or STICKY in CNI_ARGS. Pods that ask are served either way.",
    ).prefault("pod-name"),
    for: one(seconds(1, 30 * 86400), "So long after a pod's end its addresses are kept.").prefault("24h"),
    limit: one(
      integer("number", 1, 65536),
      "Addresses are kept for so many pods at most; with more, the pod that has been away longest loses its own.",
    ).prefault(1024),
  })
  .describe(
    "Pods find the addresses that they had here before. Given to others all the same when the pool has no other address left. Not written: nothing is kept.",
  );

const choice = z
  .strictObject({
    namespaces: list(
      s.namespacePattern,
      "Namespaces of pods (K8S_POD_NAMESPACE); `*` stands for any number of characters.",
      { nonEmpty: true },
    ),
  })
  .describe(
    "Pods that are served out of this pool when neither they nor their network name one. Of several such pools the first that has an address.",
  );

export const pool = z
  .strictObject({
    source: one(
      word({ static: "static" as const, etcd: "etcd" as const }),
      "Where the blocks come from: `static`, from `blocks`; `etcd`, claimed out of `ranges`, which all nodes share.",
    ).prefault("static"),
    blocks: list(
      s.block,
      "Prefixes of either family that pods get addresses from, and that are announced. No two blocks overlap. Required with `source: static`.",
      { nonEmpty: true },
    )
      .optional()
      .meta(otherwise("none")),
    ranges: list(
      s.block,
      "With `source: etcd`: the prefixes that blocks are claimed out of; the same on all nodes. Required then.",
      { nonEmpty: true },
    )
      .optional()
      .meta(otherwise("none")),
    blockSize: blockSize.prefault({}),
    maxBlocks: one(
      integer("number", 1, 1024),
      "With `source: etcd`: most blocks of each family that this node claims.",
    ).prefault(16),
    affinity: one(
      word({ strict: "strict" as const, borrow: "borrow" as const }),
      "With `source: etcd`, when no further block can be had: `strict`, the ADD fails; `borrow`, single addresses are taken out of other nodes' blocks, within the budget of `exceptions`.",
    ).prefault("strict"),
    lend: one(
      integer("number", 1, 1024),
      "With `affinity: borrow`: so many addresses at the end of each block are for other nodes to borrow, a quarter of the block at most.",
    ).prefault(8),
    releaseAfter: one(
      seconds(1, 30 * 86400),
      "With `source: etcd`: a block without pods goes back to the shared pool when it has been empty for so long, and enough room is left without it. The last one of a family stays.",
    ).prefault("10m"),
    exceptions: exceptions.prefault({}),
    exclude: list(
      s.exclusion,
      "Addresses in the blocks that no pod gets: single ones, ranges (`10.244.1.1-10.244.1.9`) or prefixes.",
    ).prefault([]),
    reserve: list(
      s.exclusion,
      "Addresses in the blocks, in the same forms, that a pod gets only by asking for them by name.",
    ).prefault([]),
    cooldown: one(
      seconds(0, 3600),
      "So long an address given back is not given to another pod: connections, DNS answers and load balancers that still mean the former one have time to learn.",
    ).prefault("30s"),
    whenCooling: one(
      word({ reuse: "reuse" as const, wait: "wait" as const }),
      "When no pool of the request has anything else, or an address that cools down is asked for by name: `reuse`, it is given all the same, the one that has cooled longest first; `wait`, ADD is refused with code 11 (try again) until it has cooled down.",
    ).prefault("reuse"),
    sticky: sticky.optional(),
    warnAt: one(
      percentOrFalse,
      "Share of a family's addresses in use from which the pool counts as nearly exhausted: a warning in the log, an event, a problem in the status. Over when it is 5 points lower. `false`: never.",
    ).prefault("90%"),
    for: choice.optional(),
    communities: originatedCommunities.prefault([]),
    table: one(s.name, "Table that packets from these pods are routed by, and that the blocks are announced from.")
      .optional()
      .meta(otherwise("`fabric`, or the only table there is")),
    announceIn: list(
      s.name,
      "Further tables: their neighbours are told of the blocks as well as those of the pool's own table. For a neighbour whose routes go to several tables by policy.",
    ).prefault([]),
  })
  .describe("One pool of pod addresses; its name is what the CNI configuration's `pool` says.");

const tls = z
  .strictObject({
    ca: one(s.path, "File with the certificates (PEM) that the server's is checked against.")
      .optional()
      .meta(otherwise("the system's own")),
    cert: one(s.path, "File with this client's certificate (PEM), if the server asks for one.")
      .optional()
      .meta(otherwise("none")),
    key: one(s.path, "File with its private key (PEM).").optional().meta(otherwise("none")),
  })
  .describe("TLS towards etcd. Paths are relative to the configuration file.");

const password = z
  .strictObject({ file: one(s.path, "File with the password; a relative path starts at the configuration file.") })
  .describe("Password of `username`.");

export const etcd = z
  .strictObject({
    endpoints: list(
      s.etcdEndpoint,
      "Client URLs of the members: `https://10.0.0.5:2379`. Tried in turn when one does not answer.",
      { nonEmpty: true },
    ),
    prefix: one(s.absolutePath, "Keys of ours begin with it; one cluster of nodes has one.").prefault("/underlay"),
    tls: tls.prefault({}),
    username: one(s.nodeName, "User name, if etcd has authentication enabled.").optional().meta(otherwise("none")),
    password: password.optional(),
    timeout: one(milliseconds(100, 60_000), "So long a request may take.").prefault("5s"),
  })
  .describe("The etcd in which nodes claim blocks of pools with `source: etcd`. docs/etcd.md explains.");
