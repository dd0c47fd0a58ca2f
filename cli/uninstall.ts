// underlayctl uninstall: asks the daemon to withdraw, to remove what it has made and to end; without a daemon, runs
// `underlayd --uninstall` beside this program. What a person has installed is named and left.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { UninstallView } from "../daemon/lifecycle/uninstall.ts";
import { CliError } from "./client.ts";
import type { Invocation } from "./commands.ts";
import { DEFAULT_CONFIG } from "./configuration.ts";
import { confirm } from "./confirm.ts";
import { type Output, plain } from "./output.ts";

const NETWORK_LISTS = "/etc/cni/net.d";
/** What the installation has put where, by the README. */
const INSTALLED: readonly string[] = [
  "/etc/systemd/system/underlayd.service",
  "/etc/systemd/system/underlay-shutdown.service",
  "/etc/systemd/networkd.conf.d/10-underlay.conf",
  "/opt/cni/bin/underlay",
  "/usr/local/bin/underlayd",
  "/usr/local/bin/underlayctl",
  "/usr/local/lib/underlay",
  "/etc/underlay",
];
/** Milliseconds that sessions have to end, and the process after its answer. */
const ANSWER_LIMIT = 60_000;
const END_LIMIT = 15_000;

export async function uninstall({ client, output, options }: Invocation): Promise<number> {
  const pods = options.force ? ", the network of its pods too" : "";
  await confirm(
    `This withdraws the node's blocks and removes what underlayd has made here${pods}.`,
    "yes",
    options.yes ?? false,
  );
  const force = options.force ? "?force=true" : "";
  let view: UninstallView;
  try {
    view = await client.post<UninstallView>(`/v1/uninstall${force}`, "", ANSWER_LIMIT);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    // Refused: there is a daemon, and it has its reasons.
    if (error.fromDaemon) throw new CliError(error.message, 1);
    if (!error.noDaemon) throw error;
    const code = offline(options.config ?? DEFAULT_CONFIG, options.force ?? false, error);
    if (code === 0 && !options.json) await nameInstallation(output);
    return code;
  }
  await finished(view.lock);
  const left = view.directories.flatMap(removeDirectory);
  const code = left.length > 0 || view.etcd?.outcome === "remains" ? 1 : 0;
  if (options.json) {
    await output.line(JSON.stringify({ ...view, left }, null, 2));
    return code;
  }
  await output.line("withdrawn, and removed: rules, routes, next hops, state");
  if (view.pods.length > 0) await output.line(`pods without network now: ${view.pods.map(plain).join(", ")}`);
  for (const { name, before, outcome } of view.settings)
    await output.line(outcome === "restored" ? `${name} is ${before} again` : `${name} was ${before}: ${outcome}`);
  if (view.etcd) await output.line(plain(view.etcd.summary));
  for (const path of left) await output.line(`not removed: ${plain(path)}`);
  await nameInstallation(output);
  return code;
}

/** The exit code of underlayd --uninstall; what it says goes to our own output. */
function offline(config: string, force: boolean, reason: CliError): number {
  const underlayd = join(dirname(realpathSync(process.argv[1])), "underlayd.cjs");
  if (!existsSync(underlayd)) throw reason;
  process.stderr.write(`${reason.message}\nno daemon answers: removing without it\n`);
  const args = [underlayd, "--uninstall", "--config", config, ...(force ? ["--force"] : [])];
  const { status, error } = spawnSync(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (error) throw new CliError(`cannot run ${underlayd}: ${error.message}`, 1);
  return status ?? 1;
}

/** Waits until the daemon has removed its files, of which the lock is the last. */
async function finished(lock: string): Promise<void> {
  for (let waited = 0; waited < END_LIMIT; waited += 20) {
    if (!existsSync(lock)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new CliError(`underlayd has not removed ${lock}: its log says why`, 1);
}

/** Returns what is in the way. */
function removeDirectory(directory: string): string[] {
  try {
    rmdirSync(directory);
    return [];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    const names = readdirSync(directory).map((name) => join(directory, name));
    return names.length > 0 ? names : [directory];
  }
}

async function nameInstallation(output: Output): Promise<void> {
  const present = [...INSTALLED.filter((path) => existsSync(path)), ...networkLists()];
  if (present.length === 0) return;
  await output.line("installed by hand, and still there:");
  for (const path of present) await output.line(`  ${path}`);
  if (present.some((path) => path.endsWith(".service")))
    await output.line("first: systemctl disable --now underlay-shutdown underlayd");
}

/** Lists of the runtime that name our plugin. */
function networkLists(): string[] {
  try {
    return readdirSync(NETWORK_LISTS)
      .map((name) => join(NETWORK_LISTS, name))
      .filter((path) => /"type"\s*:\s*"underlay"/.test(readFileSync(path, "utf8")));
  } catch {
    return [];
  }
}
