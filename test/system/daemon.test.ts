// underlayd as a process: what it says to systemd, one per state directory, a clean stop; and every way in which it
// cannot start, each with one clear message, exit code 1, and nothing left behind in the kernel.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { distFile } from "../../net/dist.ts";
import { check, native } from "../../net/native.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { sleep, waitFor } from "../interop/support/wait.ts";

const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools:
  default: { blocks: [10.244.1.0/26, "2001:db8:244:1::/122"] }
peers:
  tor: { address: 10.0.0.1, asn: 65001, import: all, export: blocks }
`;

let lab: Lab;
let node: Node;

beforeAll(() => {
  lab = new Lab("process");
  node = lab.addNode("node");
  const tor = lab.addNode("tor");
  lab.link(
    { node, name: "eth0", addresses: ["10.0.0.2/24", "2001:db8::2/64"] },
    { node: tor, name: "eth0", addresses: ["10.0.0.1/24", "2001:db8::1/64"] },
  );
});
afterAll(() => lab.close());

/** Starts underlayd in the node's namespace and waits for it to end by itself. */
function runToEnd(
  name: string,
  text: string,
  prefix: readonly string[] = [],
): { status: number | null; output: string } {
  const directory = join(lab.directory, name);
  mkdirSync(directory, { recursive: true });
  const file = join(directory, "underlay.yaml");
  writeFileSync(file, text.replaceAll("$DIR", directory));
  const command = [...prefix, process.execPath, distFile("underlayd.cjs"), "--config", file];
  const { status, stderr, stdout } = spawnSync("nsenter", [`--net=${node.path}`, "--", ...command], {
    encoding: "utf8",
    timeout: 20_000,
  });
  return { status, output: stdout + stderr };
}

const paths = "paths: { state: $DIR/state, run: $DIR/run }\napi: { socket: $DIR/run/underlayd.sock }\n";
const lastLine = (output: string) => output.trim().split("\n").at(-1) ?? "";
/** Rules and routes with our protocol number. */
const ours = () =>
  ["-4 rule", "-6 rule", "-4 route show table all", "-6 route show table all"]
    .flatMap((args) => node.ip(...args.split(" ")).split("\n"))
    .filter((line) => /proto (201|underlay)/.test(line));

describe("a running daemon", () => {
  it("tells systemd that it is ready, how it is, that it lives and that it stops", async () => {
    const path = join(lab.directory, "notify.sock");
    const address = Buffer.concat([Buffer.from([1, 0]), Buffer.from(`${path}\0`)]);
    const fd = check(native().socket(1, 2 | 0x800, 0), "socket");
    check(native().bind(fd, address), "bind", path);
    const messages: string[] = [];
    const drain = () => {
      const buffer = new Uint8Array(4096);
      for (let n = native().recv(fd, buffer, 0); n > 0; n = native().recv(fd, buffer, 0))
        messages.push(Buffer.from(buffer.subarray(0, n)).toString());
      return messages;
    };
    process.env.NOTIFY_SOCKET = path;
    process.env.WATCHDOG_USEC = "200000";
    const underlay = await Underlay.start(node, yaml).finally(() => {
      delete process.env.NOTIFY_SOCKET;
      delete process.env.WATCHDOG_USEC;
    });
    await waitFor(() => drain().filter((text) => text === "WATCHDOG=1").length > 5, "watchdog messages");
    await underlay.stop();
    drain();
    native().close(fd);
    expect(messages.indexOf("READY=1")).toBeGreaterThanOrEqual(0);
    expect(messages).toContain("STATUS=0 of 1 sessions Established");
    expect(messages).toContain("STOPPING=1");
  });

  it("keeps rules and blackholes in the kernel after a stop, adopts them at the next start", async () => {
    const kept = ours();
    expect(kept.filter((line) => line.startsWith("blackhole")).length).toBe(2);
    // Each family: to the local table, and for its block to the host's own prefixes and to the fabric's table.
    expect(kept.filter((line) => line.includes("lookup")).length).toBe(6);
    const underlay = await Underlay.start(node, yaml);
    expect(ours()).toEqual(kept);
    await underlay.stop();
  });

  it("is alone in its state directory", async () => {
    const underlay = await Underlay.start(node, yaml);
    const file = join(underlay.directory, "underlay.yaml");
    const { status, stderr } = spawnSync(process.execPath, [distFile("underlayd.cjs"), "--config", file], {
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(lastLine(stderr)).toMatch(/is in use by another underlayd \(process \d+\)/);
    expect((await underlay.status()).state).toBeDefined();
    await underlay.stop();
  });

  it("idles without work for the processor", async () => {
    const underlay = await Underlay.start(node, yaml);
    const { pid } = await underlay.status();
    const ticks = () => {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
      return Number(fields[11]) + Number(fields[12]);
    };
    const inTwoSeconds = async () => {
      const before = ticks();
      await sleep(2_000);
      return ticks() - before;
    };
    // Ticks are 10 ms: at most a tenth of one processor, and in truth far less, once what follows a start is done.
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 5 && least >= 20; i++) least = Math.min(least, await inTwoSeconds());
    expect(least).toBeLessThan(20);
    await underlay.stop();
  });
});

describe("a daemon that cannot start", () => {
  it("says so with --check, and touches nothing", () => {
    const file = join(lab.directory, "bad.yaml");
    writeFileSync(
      file,
      "node: { name: n, asn: 65101, routerId: 10.0.0.11 }\npeers:\n  tor: { address: 10.0.0.300, asn: 65001 }\n",
    );
    const run = spawnSync(process.execPath, [distFile("underlayd.cjs"), "--config", file, "--check"], {
      encoding: "utf8",
    });
    expect(run.status).toBe(1);
    expect(run.stderr).toContain(`${file}:3:`);
    const good = join(lab.directory, "good.yaml");
    writeFileSync(good, yaml);
    execFileSync(process.execPath, [distFile("underlayd.cjs"), "--config", good, "--check"]);
  });

  it.each([
    [[], 2, /Usage: underlayd --config FILE/],
    [["--nonsense"], 2, /Unknown option '--nonsense'/],
    [["--config", "/nonexistent.yaml"], 1, /nonexistent\.yaml/],
  ])("with arguments %j", (args, status, message) => {
    const run = spawnSync(process.execPath, [distFile("underlayd.cjs"), ...args], { encoding: "utf8" });
    expect(run.status).toBe(status);
    expect(run.stderr).toMatch(message);
  });

  it("because port 179 is taken", async () => {
    const server = node.spawn(process.execPath, ["-e", 'require("net").createServer().listen(179, "0.0.0.0")']);
    await waitFor(async () => (await node.exec("ss", "-ltn")).includes(":179"), "a listener on port 179");
    const { status, output } = runToEnd("port", `${yaml}${paths}`);
    server.kill();
    expect(status).toBe(1);
    expect(lastLine(output)).toMatch(/179/);
    expect(lastLine(output)).toMatch(/in use|taken|already/);
  });

  it("because it may not change the network (no CAP_NET_ADMIN)", () => {
    const drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"];
    const { status, output } = runToEnd("caps", `${yaml}${paths}`, drop);
    expect(status).toBe(1);
    expect(lastLine(output)).toContain("CAP_NET_ADMIN");
  });

  it("because its state directory is read-only", () => {
    const script = 'mount -t tmpfs -o ro none "$1" && shift && exec "$@"';
    const directory = join(lab.directory, "readonly", "state");
    mkdirSync(directory, { recursive: true });
    const { status, output } = runToEnd("readonly", `${yaml}${paths}`, [
      "unshare",
      "-m",
      "sh",
      "-c",
      script,
      "sh",
      directory,
    ]);
    expect(status).toBe(1);
    expect(lastLine(output)).toMatch(/paths\.state: .* read-only file system/);
  });

  it("because its state directory is on a full disk", () => {
    const script =
      'mount -t tmpfs -o size=4k none "$1" && dd if=/dev/zero of="$1/fill" bs=4k count=4 2>/dev/null; shift; exec "$@"';
    const directory = join(lab.directory, "full", "state");
    mkdirSync(directory, { recursive: true });
    const { status, output } = runToEnd("full", `${yaml}${paths}`, [
      "unshare",
      "-m",
      "sh",
      "-c",
      script,
      "sh",
      directory,
    ]);
    expect(status).toBe(1);
    expect(lastLine(output)).toMatch(/paths\.state: .* full disk/);
  });

  it("because a secret is missing (a peer whose secret is missing does not start)", () => {
    const secret = yaml.replace("export: blocks", "export: blocks, password: { file: $DIR/tor.key }");
    const { status, output } = runToEnd("secret", `${secret}${paths}`);
    expect(status).toBe(1);
    expect(output).toContain("tor.key");
    writeFileSync(join(lab.directory, "secret", "tor.key"), "");
    chmodSync(join(lab.directory, "secret", "tor.key"), 0o600);
    expect(runToEnd("secret", `${secret}${paths}`).output).toMatch(/empty/);
  });
});
