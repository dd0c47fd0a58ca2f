// underlayctl cni: what container runtimes find after it, and what they see of the change itself.
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { distFile } from "../../../net/dist.ts";

let directory: string;
let daemon: Server | null = null;
const children = new Set<ChildProcess>();
const file = (...names: string[]) => join(directory, ...names);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ul-cli-cni-"));
  configure();
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  if (daemon) await new Promise((resolve) => daemon?.close(resolve));
  daemon = null;
  rmSync(directory, { recursive: true });
});

function configure(more = ""): void {
  writeFileSync(
    file("underlay.yaml"),
    `node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
cni: { confDir: ${file("net.d")}, binDir: ${file("bin")} }
pools: { default: { blocks: [10.244.1.0/26] }, storage: { blocks: [10.245.1.0/26] } }
${more}`,
  );
}

function cni(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const command = [distFile("underlayctl.cjs"), "cni", ...args, "--config", file("underlay.yaml")];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
}

const list = (name = "10-underlay.conflist") => JSON.parse(readFileSync(file("net.d", name), "utf8"));

/** A plugin that answers VERSION. */
function plugin(name: string, ...supportedVersions: string[]): void {
  mkdirSync(file("bin"), { recursive: true });
  const answer = JSON.stringify({ cniVersion: "1.0.0", supportedVersions });
  writeFileSync(file("bin", name), `#!/bin/sh\n[ "$CNI_COMMAND" = VERSION ] && echo '${answer}'\n`, { mode: 0o755 });
}

/** A daemon that has these pods. */
async function serve(pods: readonly object[]): Promise<void> {
  configure(`api: { socket: ${file("sock")} }`);
  daemon = createServer((_, response) => response.end(JSON.stringify(pods)));
  await new Promise<void>((resolve) => daemon?.listen(file("sock"), resolve));
}

describe("cni install", () => {
  it("puts the plugin and a list that both generations of libcni read, and makes the directories", async () => {
    const { code, stdout } = await cni("install", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual([
      { path: file("bin/underlay"), action: "written" },
      { path: file("net.d/10-underlay.conflist"), action: "written" },
    ]);
    expect(readFileSync(file("bin/underlay")).equals(readFileSync(distFile("underlay")))).toBe(true);
    expect(statSync(file("bin/underlay")).mode & 0o777).toBe(0o755);
    expect(list()).toEqual({
      cniVersion: "1.0.0",
      cniVersions: ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
      name: "underlay",
      plugins: [
        { type: "underlay", capabilities: { ips: true, mac: true, "io.kubernetes.cri.pod-annotations": true } },
      ],
    });
  });

  it("chains plugins that are there, names the pool and a socket of its own", async () => {
    configure(`api: { socket: ${file("sock")} }`);
    for (const name of ["portmap", "bandwidth"]) plugin(name, "0.4.0", "1.0.0", "1.1.0", "1.2.0");
    await cni("install", "--chain", "portmap,bandwidth", "--pool", "storage", "--network", "storage");
    const { name, plugins, cniVersions, disableCheck } = list("10-storage.conflist");
    expect({ name, cniVersions, disableCheck }).toEqual({
      name: "storage",
      cniVersions: ["0.4.0", "1.0.0", "1.1.0"],
      disableCheck: undefined,
    });
    expect(plugins).toMatchObject([
      { type: "underlay", pool: "storage", socket: file("sock") },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
      { type: "bandwidth", capabilities: { bandwidth: true } },
    ]);
  });

  it("offers no version that a chained plugin does not speak, and no CHECK to those whose CHECK fails", async () => {
    plugin("portmap", "0.3.1", "0.4.0", "1.0.0");
    await cni("install", "--chain", "portmap");
    expect(list()).toMatchObject({ cniVersions: ["0.3.1", "0.4.0", "1.0.0"], disableCheck: true });
    plugin("portmap", "0.3.1", "0.4.0");
    const old = await cni("install", "--chain", "portmap");
    expect(old).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("portmap speaks 0.3.1, 0.4.0: 1.0.0 is needed"),
    });
    plugin("portmap");
    writeFileSync(file("bin/portmap"), "#!/bin/sh\necho hello\n");
    const broken = await cni("install", "--chain", "portmap");
    expect(broken).toMatchObject({ code: 2, stderr: expect.stringContaining("does not say which versions it speaks") });
  });

  it("replaces by rename, the plugin first, and leaves alone what is as it should be", async () => {
    mkdirSync(file("bin"));
    mkdirSync(file("net.d"));
    writeFileSync(file("bin/underlay"), "an older one");
    writeFileSync(file("net.d/10-underlay.conflist"), "{}");
    const before = statSync(file("bin/underlay")).ino;
    const seen: string[] = [];
    const watchers = ["bin", "net.d"].map((name) => watch(file(name), (_, changed) => seen.push(String(changed))));
    await cni("install");
    // What a runtime that is executing the older one holds on to is not written into.
    expect(statSync(file("bin/underlay")).ino).not.toBe(before);
    await expect.poll(() => seen).toContain("10-underlay.conflist");
    expect(seen.indexOf("underlay")).toBeLessThan(seen.indexOf("10-underlay.conflist"));
    expect(readdirSync(file("net.d"))).toEqual(["10-underlay.conflist"]);
    expect(readdirSync(file("bin"))).toEqual(["underlay"]);

    seen.length = 0;
    const again = await cni("install");
    expect(again.stdout).toBe(`unchanged ${file("bin/underlay")}\nunchanged ${file("net.d/10-underlay.conflist")}\n`);
    chmodSync(file("bin/underlay"), 0o600);
    expect((await cni("install")).stdout).toContain(`written ${file("bin/underlay")}`);
    await expect.poll(() => seen).toContain("underlay");
    expect(seen).not.toContain("10-underlay.conflist");
    for (const watcher of watchers) watcher.close();
  });

  it.each([
    [["install", "--chain", "portmap"], "bin/portmap is not there"],
    [["install", "--chain", "flannel"], "what can be chained by name is portmap, bandwidth"],
    [["install", "--pool", "front"], "there is no such pool, there are default, storage"],
    [["install", "--network", "a/b"], '"a/b" is no name of a network'],
    [["install", "--force"], "cni install takes no --force"],
    [["uninstall", "--chain", "portmap"], "cni uninstall takes no --chain"],
    [["remove"], "cni: install or uninstall"],
  ])("%j is refused with exit code 2, and nothing is written", async (args, said) => {
    const { code, stderr } = await cni(...args);
    expect(stderr).toContain(said);
    expect(code).toBe(2);
    expect(existsSync(file("net.d"))).toBe(false);
  });

  it("asks which pool, where the daemon would not know", async () => {
    const pools = "pools: { front: { blocks: [10.244.2.0/26] }, back: { blocks: [10.245.2.0/26] } }";
    writeFileSync(file("underlay.yaml"), readFileSync(file("underlay.yaml"), "utf8").replace(/^pools:.*$/m, pools));
    const { code, stderr } = await cni("install");
    expect(code).toBe(2);
    expect(stderr).toContain("--pool is needed: there are front, back, and none of them is called default");
    expect((await cni("install", "--pool", "back")).code).toBe(0);
    expect(list().plugins[0].pool).toBe("back");
  });

  it("says what is wrong with the configuration", async () => {
    configure("colour: blue");
    const { code, stderr } = await cni("install");
    expect(code).toBe(2);
    expect(stderr).toMatch(/underlay\.yaml:4:\d+.*colour/);
  });
});

describe("cni uninstall", () => {
  it("takes away every list that names the plugin, then the plugin, and nothing else", async () => {
    await cni("install");
    await cni("install", "--network", "storage", "--pool", "storage");
    writeFileSync(file("net.d/87-podman.conflist"), '{"plugins":[{"type":"bridge"}]}');
    writeFileSync(file("bin/bridge"), "");
    const { code, stdout } = await cni("uninstall");
    expect(code).toBe(0);
    expect(stdout).toBe(
      ["net.d/10-storage.conflist", "net.d/10-underlay.conflist", "bin/underlay"]
        .map((name) => `removed ${file(name)}\n`)
        .join(""),
    );
    expect(readdirSync(file("net.d"))).toEqual(["87-podman.conflist"]);
    expect(readdirSync(file("bin"))).toEqual(["bridge"]);
    expect((await cni("uninstall")).stdout).toBe("nothing is installed\n");
  });

  it("refuses while pods are attached, with exit code 1, unless forced", async () => {
    await serve([{}, {}]);
    await cni("install");
    const refused = await cni("uninstall");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("2 pods are attached");
    expect(existsSync(file("bin/underlay"))).toBe(true);
    expect((await cni("uninstall", "--force")).code).toBe(0);
    expect(existsSync(file("bin/underlay"))).toBe(false);
  });
});
