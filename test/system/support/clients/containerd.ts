// containerd of a host, asked through CRI as the kubelet does, and through `ctr`, which calls plugins itself.
import type { ChildProcess } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { terminate } from "../../../interop/support/namespace.ts";
import { waitFor } from "../../../interop/support/wait.ts";
import { codeAfter } from "../../../support/doc-code.ts";
import type { RackHost } from "./client-rack.ts";
import { Cri } from "./cri.ts";
import { POD_IMAGE } from "./pod-image.ts";

/** What is restricted here: the test may run where it cannot be had. */
const config = (socket: string) => `
oom_score = 0
[grpc]
  address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${POD_IMAGE}"
  disable_tcp_service = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
`;

export class Containerd {
  readonly host: RackHost;
  readonly #socket: string;
  #process!: ChildProcess;
  #cri!: Cri;

  private constructor(host: RackHost) {
    this.host = host;
    this.#socket = join(host.node.directory, "containerd.sock");
  }

  static async start(host: RackHost, image: string): Promise<Containerd> {
    if (!existsSync("/usr/bin/containerd")) throw new Error("the Debian package containerd is not installed");
    const containerd = new Containerd(host);
    const [first, ...rest] = codeAfter("docs/runtimes.md", "In `/etc/containerd/config.toml`").split("\n");
    const text = [first, config(containerd.#socket), ...rest].join("\n");
    await host.node.write("/etc/containerd/config.toml", text);
    await containerd.#run();
    await Promise.all(["default", "k8s.io"].map((name) => containerd.ctr("-n", name, "images", "import", image)));
    return containerd;
  }

  get cri(): Cri {
    return this.#cri;
  }

  ctr(...args: string[]): Promise<string> {
    return this.host.exec("ctr", "-a", this.#socket, ...args);
  }

  /** Ends as in a crash and is there again when it resolves; its sandboxes go on. */
  async crash(): Promise<void> {
    this.cri.close();
    await terminate(this.#process, "SIGKILL");
    await this.#run();
  }

  async #run(): Promise<void> {
    const log = join(this.host.node.directory, "containerd.log");
    rmSync(this.#socket, { force: true });
    this.#process = this.host.node.spawn("sh", ["-c", `exec containerd -c /etc/containerd/config.toml 2>>${log}`]);
    await waitFor(() => existsSync(this.#socket), "containerd", { timeout: 10_000, interval: 20 });
    this.#cri = new Cri(this.#socket);
    await waitFor(async () => (await this.cri.networkReady()) === "ready", "containerd's network", { interval: 20 });
  }
}
