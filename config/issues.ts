// zod's issues -> problems in our words, at the place in the file. Unknown keys get a hint: a key of that map with a
// similar name, what the key is called elsewhere, or that the feature is not there.
import type * as z from "zod";
import type { ConfigProblem } from "./problem.ts";
import { quote, suggestion } from "./scalar.ts";
import type { Path, Source } from "./source.ts";

type Issue = z.core.$ZodIssue;

export function problemsOf(
  source: Source,
  root: z.ZodType,
  value: unknown,
  at: Path,
  issues: readonly Issue[],
): ConfigProblem[] {
  return issues.flatMap((issue) => {
    const inner = issue.path as Path;
    const path = [...at, ...inner];
    const problem = (message: string, hint: string | null = null) => [source.problem(path, message, hint)];
    switch (issue.code) {
      case "custom":
        return problem(issue.message, (issue.params?.hint as string | null) ?? null);
      case "unrecognized_keys": {
        const known = keysAt(root, inner);
        return issue.keys.map((key) =>
          source.problem([...path, key], "is not a known key", unknownKeyHint(key, known), "key"),
        );
      }
      case "invalid_type":
        return problem(...wrongContainer(issue.expected, valueAt(value, inner)));
      case "invalid_union": {
        // The alternative that fits in kind: its own faults are what the person wants to hear.
        const fitting = issue.errors.find(
          (errors) => !errors.some((error) => isKind(error) && error.path.length === 0),
        );
        const orTrue = issue.errors
          .flat()
          .some((error) => error.code === "invalid_type" && error.expected === "boolean");
        if (!fitting)
          return problem(`${quote(valueAt(value, inner))} is neither ${orTrue ? "true nor false" : "false"} nor a map`);
        return problemsOf(source, schemaAt(root, inner) ?? root, valueAt(value, inner), path, fitting);
      }
      default:
        return problem(issue.message);
    }
  });
}

const isKind = (issue: Issue) => issue.code === "invalid_type" || issue.code === "invalid_value";

function wrongContainer(expected: string, value: unknown): [message: string, hint: string | null] {
  if (value === undefined) return ["is missing", null];
  if (expected === "array") return [`${quote(value)} is not a list`, "each entry begins with - on a line of its own"];
  return [`${quote(value)} is not a map`, "write key: value lines, indented, below it"];
}

function valueAt(value: unknown, path: Path): unknown {
  let found = value;
  for (const key of path) found = (found as Record<PropertyKey, unknown> | null | undefined)?.[key];
  return found;
}

interface Definition {
  readonly type: string;
  readonly shape?: Record<string, z.ZodType>;
  readonly innerType?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly options?: readonly z.ZodType[];
}

/** Optional and default wrappers taken off; of a union, its map. */
function bare(schema: z.ZodType): Definition {
  const definition = schema._zod.def as unknown as Definition;
  if (definition.innerType) return bare(definition.innerType);
  const map = definition.options?.find((option) => bare(option).type === "object");
  return map ? bare(map) : definition;
}

function schemaAt(root: z.ZodType, path: Path): z.ZodType | null {
  let schema: z.ZodType | undefined = root;
  for (const key of path) {
    if (!schema) return null;
    const { shape, valueType, element }: Definition = bare(schema);
    schema = shape?.[String(key)] ?? valueType ?? element;
  }
  return schema ?? null;
}

function keysAt(root: z.ZodType, path: Path): string[] {
  const schema = schemaAt(root, path);
  return Object.keys((schema && bare(schema).shape) ?? {});
}

/** What other routers and CNI plugins call our keys. */
const elsewhere: Readonly<Record<string, string>> = {
  neighbor: "address",
  neighbour: "address",
  ip: "address",
  peeraddress: "address",
  neighbors: "peers",
  neighbours: "peers",
  bgppeers: "peers",
  remoteas: "asn",
  remoteasn: "asn",
  peeras: "asn",
  peerasn: "asn",
  localas: "localAsn",
  as: "asn",
  asnumber: "asn",
  autonomoussystem: "asn",
  updatesource: "localAddress",
  sourceaddress: "localAddress",
  source: "localAddress",
  cidr: "blocks",
  cidrs: "blocks",
  subnet: "blocks",
  subnets: "blocks",
  ranges: "blocks",
  routemaps: "policies",
  filters: "policies",
  importpolicy: "import",
  exportpolicy: "export",
  ebgpmultihop: "multihop",
  ttl: "multihop",
  gtsm: "ttlSecurity",
  authpassword: "password",
  md5: "password",
  secret: "password",
  maximumprefix: "maxPrefixes",
  prefixlimit: "maxPrefixes",
  maximumprefixout: "maxPrefixesOut",
  restart: "restartAfter",
  warning: "warnAt",
  threshold: "warnAt",
  maximumpaths: "maxPaths",
  maximumpathsibgp: "maxPathsIbgp",
  comparemed: "alwaysCompareMed",
  missingasworst: "missingMedWorst",
  aspathmultipathrelax: "multipathRelax",
  bandwidth: "linkBandwidth",
  ecmp: "maxPaths",
  addressfamilies: "families",
  afisafis: "families",
  kernel: "routing",
  bmp: "monitoring",
  bmpserver: "monitoring",
  bmptargets: "monitoring",
  stations: "bmp",
  collectors: "bmp",
  mrt: "monitoring",
  dump: "monitoring",
  routemonitoring: "adjRibIn",
  statsinterval: "statistics",
  action: "then",
  localpreference: "localPref",
  metric: "med",
  communities: "community",
  largecommunities: "largeCommunity",
  port: "listenPort",
  hostname: "name",
  iface: "interface",
  dev: "interface",
};

const absent: Readonly<Record<string, string>> = {
  mirroring: "Route Mirroring is not part of this version",
  vrf: "there are tables instead: peers import into a table, pools send from a table",
  keepalive: "keepalives are sent at a third of holdTime",
  keepalivetime: "keepalives are sent at a third of holdTime",
  keepaliveinterval: "keepalives are sent at a third of holdTime",
  deterministicmed: "it always is: the best path depends on the paths there are, not on their order",
  comparerouterid: "router ids are always compared, and the age of a path never is",
  preferolder: "the age of a path never counts, so that the best one depends on nothing but the paths there are",
  description: "the entry's name is its description; comments begin with #",
};

function unknownKeyHint(key: string, known: readonly string[]): string | null {
  const plain = key.toLowerCase().replace(/[-_. ]/g, "");
  const same = known.find((name) => name.toLowerCase() === plain);
  if (same) return `did you mean ${same}?`;
  if (Object.hasOwn(absent, plain)) return absent[plain];
  if (Object.hasOwn(elsewhere, plain) && known.includes(elsewhere[plain]))
    return `it is called ${elsewhere[plain]} here`;
  return suggestion(key, known) ?? (known.length > 0 ? `known here: ${known.join(", ")}` : null);
}
