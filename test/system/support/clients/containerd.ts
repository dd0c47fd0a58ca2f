// containerd of a host, asked through CRI as the kubelet does, and through `ctr`, which calls plugins itself.
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { terminate } from "../../../interop/support/namespace.ts";
import { waitFor } from "../../../interop/support/wait.ts";
import type { RackHost } from "./client-rack.ts";
import { Cri } from "./cri.ts";
import { POD_IMAGE } from "./pod-image.ts";

/** What is restricted here: the test may run where it cannot be had. */
const config = (socket: string) => `
version = 2
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
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
    max_conf_num = 1
`;

export class Containerd {
  readonly host: RackHost;
  readonly cri: Cri;
  readonly #process: ChildProcess;

  private constructor(host: RackHost, process: ChildProcess, cri: Cri) {
    this.host = host;
    this.#process = process;
    this.cri = cri;
  }

  static async start(host: RackHost, image: string): Promise<Containerd> {
    if (!existsSync("/usr/bin/containerd")) throw new Error("the Debian package containerd is not installed");
    const socket = join(host.node.directory, "containerd.sock");
    await host.node.write("/etc/containerd/config.toml", config(socket));
    const log = join(host.node.directory, "containerd.log");
    const child = host.node.spawn("sh", ["-c", `exec containerd -c /etc/containerd/config.toml 2>${log}`]);
    await waitFor(() => existsSync(socket), "containerd", { timeout: 10_000, interval: 20 });
    const containerd = new Containerd(host, child, new Cri(socket));
    await Promise.all(["default", "k8s.io"].map((name) => containerd.ctr("-n", name, "images", "import", image)));
    await waitFor(async () => (await containerd.cri.networkReady()) === "ready", "containerd's network", {
      interval: 20,
    });
    return containerd;
  }

  ctr(...args: string[]): Promise<string> {
    return this.host.exec("ctr", "-a", join(this.host.node.directory, "containerd.sock"), ...args);
  }

  async close(): Promise<void> {
    this.cri.close();
    await terminate(this.#process);
  }
}
