// What takes more than one key to judge. Works on what could be parsed, so that one fault does not hide another.
import type { Check } from "./check.ts";
import { checkEtcd, type EtcdFiles } from "./check-etcd.ts";
import { checkGroups } from "./check-groups.ts";
import { checkMonitoring } from "./check-monitoring.ts";
import { checkPeers, type Secrets } from "./check-peers.ts";
import { checkPolicies, checkUnused } from "./check-policies.ts";
import { checkPools } from "./check-pools.ts";
import type { ReadSecret } from "./secret.ts";

/** Tables that every host has: unspec, default, main, local. */
const hostTables: Readonly<Record<number, string>> = { 0: "unspec", 253: "default", 254: "main", 255: "local" };

/** Route protocol numbers of other programs (iproute2's rt_protos): what they own, they delete. */
const foreignProtocols: Readonly<Record<number, string>> = {
  8: "gated",
  9: "router advertisements",
  10: "MRT",
  11: "zebra",
  12: "BIRD",
  13: "DNRouted",
  14: "XORP",
  15: "NTK",
  16: "DHCP",
  17: "mrouted",
  18: "keepalived",
  42: "babeld",
  84: "OVN",
  99: "Open/R",
  186: "FRR bgpd",
  187: "FRR isisd",
  188: "FRR ospfd",
  189: "FRR ripd",
  192: "FRR eigrpd",
};

/** The last before the rule to table main. */
const MAX_PRIORITY = 32765;

type RulePriority = NonNullable<Check["parsed"]["routing"]>["rulePriority"];

/** Linux's sun_path without its closing zero byte. */
const MAX_SOCKET_PATH = 107;

/** Adds to check.problems and check.warnings; returns what was read from files. */
export function validate(check: Check, readSecret: ReadSecret): { secrets: Secrets; etcdFiles: EtcdFiles } {
  checkNode(check);
  checkTables(check);
  checkRouting(check);
  checkListenAddresses(check);
  checkSocket(check);
  checkPolicies(check);
  checkMonitoring(check);
  const blocks = checkPools(check);
  const secrets = { peerGroups: checkGroups(check, readSecret), peers: checkPeers(check, blocks, readSecret) };
  checkUnused(check);
  return { secrets, etcdFiles: checkEtcd(check, readSecret) };
}

function checkNode(check: Check): void {
  const asn = check.parsed.node?.asn;
  if (asn === 65535 || asn === 0xffffffff) check.warning(["node", "asn"], `AS ${asn} is reserved (RFC 7300)`);
}

function checkTables(check: Check): void {
  const localTable = check.parsed.routing?.localTable;
  if (localTable !== undefined && hostTables[localTable])
    check.problem(
      ["routing", "localTable"],
      `table ${localTable} is the host's ${hostTables[localTable]} table`,
      "use a number of its own, 7000",
    );
  if (check.names.tables.length === 0)
    check.problem(["tables"], "there is no table", "remove tables: for the usual fabric: { id: 7100 }");
  const seen = new Map<number, string>();
  for (const [name, table] of check.parsed.tables) {
    const path = ["tables", name, "id"];
    const other = seen.get(table.id);
    if (["main", "local", "default", "unspec"].includes(name))
      check.problem(["tables", name], "this name is taken", "fabric and storage are good names", "key");
    if (hostTables[table.id])
      check.problem(
        path,
        `table ${table.id} is the host's ${hostTables[table.id]} table`,
        "learned routes go to a table of their own, 7100",
      );
    else if (table.id === localTable)
      check.problem(path, `table ${table.id} is the local table already (routing.localTable)`, "use another number");
    else if (other !== undefined)
      check.problem(
        path,
        `table ${table.id} is ${other} already (line ${check.line(["tables", other, "id"])})`,
        "use another number",
      );
    else seen.set(table.id, name);
  }
}

function checkRouting(check: Check): void {
  const { routing } = check.parsed;
  if (!routing) return;
  const { protocol, rulePriority, nextHopIds } = routing;
  if (foreignProtocols[protocol])
    check.problem(
      ["routing", "protocol"],
      `${protocol} is the number of ${foreignProtocols[protocol]}`,
      "use a number of our own, 201",
    );
  checkPriorities(check, rulePriority);
  if (nextHopIds.base + nextHopIds.count - 1 > 0xffffffff)
    check.problem(["routing", "nextHopIds"], "the last id is beyond 4294967295", "lower base or count");
}

/** Each kind of rule has the numbers that it needs for itself. */
function checkPriorities(check: Check, { local, hostRoutes, block, host }: RulePriority): void {
  const path = ["routing", "rulePriority"];
  if (local >= hostRoutes || hostRoutes >= block || block >= host)
    check.problem(
      path,
      `${local}, ${hostRoutes}, ${block}, ${host} are not in the order local < hostRoutes < block < host`,
      "the local table comes first, the host's own traffic last",
    );
  else if (host - block < 3)
    check.problem(
      path,
      `between block (${block}) and host (${host}) there are not two numbers`,
      "block + 1 is for fallback: unreachable, host - 1 for the host's own routes",
    );
  const last = host + 2 * Math.max(0, [...check.parsed.tables.values()].filter((table) => table.host).length - 1);
  if (last > MAX_PRIORITY)
    check.problem(path, `tables with host: true take priorities up to ${last}, beyond main's 32766`, "lower host");
}

function checkListenAddresses(check: Check): void {
  for (const [index, address] of (check.parsed.bgp?.listenAddresses ?? []).entries())
    if (address.length === 16 && address[0] === 0xfe && (address[1] & 0xc0) === 0x80)
      check.problem(
        ["bgp", "listenAddresses", index],
        "a link-local address cannot be listened on by itself",
        "leave listenAddresses away to listen on all",
      );
}

function checkSocket(check: Check): void {
  const { api, paths } = check.parsed;
  if (!api || !paths) return;
  const socket = socketPath(api.socket, paths.run);
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH)
    check.problem(
      api.socket === undefined ? ["paths", "run"] : ["api", "socket"],
      `the socket's path is longer than ${MAX_SOCKET_PATH} bytes: ${socket}`,
      "use a shorter directory",
    );
}

export function socketPath(given: string | undefined, run: string): string {
  return given ?? `${run.replace(/\/+$/, "")}/underlayd.sock`;
}
