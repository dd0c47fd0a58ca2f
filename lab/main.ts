// The lab: brings up the rack, shows what it does, and takes it down again.
//
//   lab [up] [--tor underlay|frr|bird|gobgp] [--once] [--unnumbered | --topology FILE]
//   lab exec NODE COMMAND...     run a command in a node of the running rack
//   lab shell NODE               a shell in it
//   lab check FILE               check a topology
//
// Exit codes: 0 all checks passed, 1 not, 2 wrong usage.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { distFile } from "../net/dist.ts";
import { loadTopology } from "./clab.ts";
import { TopologyError } from "./clab-problems.ts";
import { runDemo } from "./demo/demo.ts";
import { enterRunning } from "./enter.ts";
import { onEnd } from "./on-end.ts";
import { ensureRequirements, namespaceAccess } from "./requirements.ts";
import { LabError } from "./runner/command.ts";
import { followGobgp } from "./runner/gobgp-fib.ts";
import { type TorProgram, torPrograms } from "./runner/programs.ts";

const usage = `Usage: npm start -- [--tor ${torPrograms.join("|")}] [--once] [--unnumbered | --topology FILE]

  --tor PROGRAM    what runs on the top-of-rack switches; underlay by default
  --once           run all checks, take everything down, print a summary; exit code 0 or 1
  --unnumbered     the same rack with no address on any link; not with gobgp
  --topology FILE  another containerlab topology with the groups tor and node

While a rack is up, from another terminal:
  node dist/lab.cjs exec NODE COMMAND...   run a command in a node: exec node1 underlayctl peers
  node dist/lab.cjs shell NODE             a shell in a node
  node dist/lab.cjs check FILE             check a topology file
`;

/** Set for the copy of this program that runs in a user namespace. */
const inUserNamespace = "UNDERLAY_LAB_USER_NAMESPACE";

function main(): Promise<number> | number {
  const [command, ...rest] = process.argv.slice(2);
  if (command === "gobgp-fib") return followGobgp();
  if (command === "exec" || command === "shell") return enterRunning(command, rest);
  if (command === "check") return check(rest[0]);
  return up(command === "up" ? rest : process.argv.slice(2));
}

function check(file: string | undefined): number {
  if (file === undefined) return wrongUsage("check needs a file");
  const topology = loadTopology(file);
  process.stdout.write(`${file}: good (${topology.nodes.size} nodes, ${topology.links.length} links)\n`);
  return 0;
}

async function up(argv: string[]): Promise<number> {
  let options: { tor?: string; once?: boolean; unnumbered?: boolean; topology?: string; help?: boolean };
  try {
    options = parseArgs({
      args: argv,
      options: {
        tor: { type: "string" },
        once: { type: "boolean" },
        unnumbered: { type: "boolean" },
        topology: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    return wrongUsage((error as Error).message);
  }
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const tor = (options.tor ?? "underlay") as TorProgram;
  if (!torPrograms.includes(tor)) return wrongUsage(`--tor ${tor}: one of ${torPrograms.join(", ")}`);

  if (options.unnumbered && options.topology !== undefined) return wrongUsage("--unnumbered is a topology by itself");
  if (options.unnumbered && tor === "gobgp") return wrongUsage("--unnumbered: GoBGP sends no router advertisements");

  const dist = dirname(distFile("underlayd.cjs"));
  const file =
    options.topology ??
    join(dist, "..", "lab", "topologies", `${options.unnumbered ? "unnumbered" : "dual-tor"}.clab.yml`);
  const topology = loadTopology(file);
  ensureRequirements(tor, (text) => process.stdout.write(`   ${text}\n`));
  if (!process.env[inUserNamespace] && namespaceAccess(tor) === "user-namespace") return await inOwnUserNamespace(argv);
  return await runDemo({
    topology,
    tor,
    dist,
    once: options.once ?? false,
    userNamespace: Boolean(process.env[inUserNamespace]),
  });
}

/** Runs the same command again as root of a user namespace: from there all that follows is as it is for root. */
function inOwnUserNamespace(argv: readonly string[]): Promise<number> {
  process.stdout.write("   not root: the rack runs in a user namespace of its own\n");
  const child = spawn(
    "unshare",
    ["--user", "--map-root-user", "--net", "--mount", "--", process.execPath, __filename, "up", ...argv],
    { stdio: ["inherit", "inherit", "inherit", "ipc"], env: { ...process.env, [inUserNamespace]: "1" } },
  );
  onEnd((signal) => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

function wrongUsage(message: string): number {
  process.stderr.write(`${message}\n\n${usage}`);
  return 2;
}

// A terminal that has gone away is no reason to stop half-way.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

Promise.resolve()
  .then(main)
  .then(
    (code) => process.exit(code),
    (error) => {
      const readable = error instanceof LabError || error instanceof TopologyError;
      process.stderr.write(`\n${readable ? (error as Error).message : ((error as Error).stack ?? error)}\n`);
      process.exit(1);
    },
  );
