// underlayctl: asks the daemon and prints the answer, for people or (--json) for programs.
//
// Exit codes: 0 success, 1 what was asked about is not well, 2 wrong usage or no daemon.
import { parseArgs } from "node:util";
import { CliError, Client, DEFAULT_SOCKET } from "./client.ts";
import { cniOptions } from "./cni.ts";
import { type Command, checkUsage, commands, type Options } from "./commands.ts";
import { explainOptions } from "./explain.ts";
import { historyOptions } from "./history-options.ts";
import { Output } from "./output.ts";
import { policyOptions } from "./policy-options.ts";
import { version } from "./version.ts";

const width = Math.max(...Object.values(commands).map((command) => command.usage.length));

export const help = `Usage: underlayctl [--socket PATH] [--json] COMMAND

Commands:
${Object.values(commands)
  .map(({ usage, summary }) => `  ${usage.padEnd(width)}  ${summary}`)
  .join("\n")}

Options:
  --socket PATH  the daemon's socket, ${DEFAULT_SOCKET} by default
  --json         for programs: one JSON array, one item per line; status: one object; watch: one object per line
  --table T      only this table, by name
  --family F     only ipv4 or ipv6
  --best         only routes that are the best ones
  --why          all about one prefix: what neighbours said, policy, decision, kernel, who is told
  --types T,T    only events of these types
  --wait S       how long \`drain\` lets traffic move before it withdraws, instead of drain.wait of the configuration

A packet for \`explain\`, as \`ip route get\` has them:
  --iif I                       it arrives by this interface; a pod's does by its own, unless said
  --oif I                       its sender insists on this interface
  --mark M  --tos T  --uid U    --ipproto tcp|udp|icmp|N  --sport N  --dport N

For \`doctor\`:
  --config FILE  its socket is asked; where no daemon answers, what it says is checked here

For \`pods\` and \`blocks\` with inspect, verify, repair:
  --state DIR    the state directory; or --config FILE, which names it
  --yes          repair: do it, instead of telling what would be done

For \`uninstall\`:
  --yes          do not ask
  --force        although pods are attached: they lose their network
  --config FILE  where no daemon runs: its configuration, /etc/underlay/underlay.yaml by default

For \`nodes\`:
  --yes          do not ask
  --force        remove a node that is alive: its pods lose their addresses
  --quarantine S so many seconds until other nodes can have what it had, 120 by default

For \`cni install\`:
  --chain P,P    call these plugins after ours: portmap (published ports), bandwidth
  --network NAME the name of the network, underlay by default
  --pool POOL    where its pods' addresses come from, instead of the pool called default or the only one
  --config FILE  the directories (cni.confDir, cni.binDir) and the socket; /etc/underlay/underlay.yaml by default

For \`cni uninstall\`:
  --force        although pods are attached: their runtime cannot detach them
  --config FILE  as above

A route for \`policy test\`:
  --import PEER, --export PEER  test that peer's policy; no NAME then
  --peer PEER                   where the route comes from; local: this node
  --as-path "65001 65002"       --origin igp|egp|incomplete   --next-hop ADDRESS
  --med N                       --local-pref N
  --community C                 of any kind; may be given several times
  --received PEER               the route that this neighbour has announced, instead
  --config FILE                 the policy as it is in this file; no daemon is needed

For \`history\`:
  --since T, --until T          10m, 2h (ago), 03:12, 2026-11-26T03:12 (local time), 2026-11-26T03:12:00Z
  --at T                        how everything was at this time, instead
  --types T,T                   only events of these types
  --peer PEER                   only about this neighbour
  --prefix P                    only about this prefix and what is inside it, or the prefixes with this address
  --follow                      go on as more is recorded
  --file DIR                    the recorder's directory, /var/lib/underlay/history by default

General:
  --help         this text
  --version      the version

Exit codes: 0 success, 1 what was asked about is not well, 2 wrong usage or no daemon.
`;

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        socket: { type: "string" },
        json: { type: "boolean" },
        table: { type: "string" },
        family: { type: "string" },
        best: { type: "boolean" },
        why: { type: "boolean" },
        types: { type: "string" },
        wait: { type: "string" },
        yes: { type: "boolean" },
        state: { type: "string" },
        force: { type: "boolean" },
        quarantine: { type: "string" },
        ...policyOptions,
        ...historyOptions,
        ...explainOptions,
        ...cniOptions,
        help: { type: "boolean", short: "h" },
        version: { type: "boolean" },
      },
    });
  } catch (error) {
    const [said] = (error as Error).message.split(/\. To specify|\n/);
    throw new CliError(`${said}\nunderlayctl --help tells what there is`, 2);
  }
}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args);
  const output = new Output(process.stdout, process.env);
  if (values.version) {
    await output.line(`underlayctl ${version}`);
    return 0;
  }
  const [name, ...rest] = positionals;
  if (values.help || name === "help") {
    await output.write(help);
    return 0;
  }
  if (name === undefined) throw new CliError(help.trimEnd(), 2);
  const command: Command | undefined = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command)
    throw new CliError(`there is no command ${JSON.stringify(name)}; there are ${Object.keys(commands).join(", ")}`, 2);
  const options: Options = { ...values, json: values.json ?? false };
  checkUsage(name, command, rest, options);
  const client = new Client(values.socket ?? DEFAULT_SOCKET);
  return command.run({ client, output, options, arguments: rest });
}

// `underlayctl routes | head` ends here, quietly.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const known = error instanceof CliError;
    process.stderr.write(`underlayctl: ${known ? error.message : error instanceof Error ? error.message : error}\n`);
    process.exitCode = known ? error.exitCode : 1;
  },
);
