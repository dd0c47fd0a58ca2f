// A container image without a registry: busybox, and a web server on port 80 that says who is asking. Written as an
// archive that `podman load` and `ctr images import` read alike (image specification of Docker 1.2).
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const POD_IMAGE = "localhost/ul-pod:1";

const applets = ["sh", "sleep", "ip", "ping", "nc", "wget", "timeout", "cat", "httpd", "hostname", "env", "true"];
const directories = ["bin", "etc", "proc", "sys", "dev", "tmp", "run", "www/cgi-bin"];
/** The asker's address, as it arrives here: nothing on the way has translated it. */
const WHO = '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n%s\\n" "$REMOTE_ADDR"\n';

/** Writes `directory`.tar; `directory` must not exist. */
export function writePodImage(directory: string): string {
  const root = join(directory, "rootfs");
  for (const name of directories) mkdirSync(join(root, name), { recursive: true });
  copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  chmodSync(join(root, "bin/busybox"), 0o755);
  for (const applet of applets) symlinkSync("busybox", join(root, "bin", applet));
  writeFileSync(join(root, "www/cgi-bin/who"), WHO, { mode: 0o755 });
  tar(join(directory, "layer.tar"), root, ["."]);
  const config = {
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Cmd: ["/bin/httpd", "-f", "-p", "80", "-h", "/www"], Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${digest(join(directory, "layer.tar"))}`] },
    history: [{ created_by: "test" }],
  };
  const manifest = [{ Config: "config.json", RepoTags: [POD_IMAGE], Layers: ["layer.tar"] }];
  writeFileSync(join(directory, "config.json"), JSON.stringify(config));
  writeFileSync(join(directory, "manifest.json"), JSON.stringify(manifest));
  const archive = `${directory}.tar`;
  tar(archive, directory, ["manifest.json", "config.json", "layer.tar"]);
  return archive;
}

function tar(archive: string, directory: string, names: readonly string[]): void {
  execFileSync("tar", ["-cf", archive, "--owner=0", "--group=0", "-C", directory, ...names]);
}

function digest(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}
