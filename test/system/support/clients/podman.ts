// podman and buildah of a host, with their usual directories; networks are those of /etc/cni/net.d.
import { existsSync } from "node:fs";
import { codeAfter } from "../../../support/doc-code.ts";
import type { RackHost } from "./client-rack.ts";
import { POD_IMAGE } from "./pod-image.ts";

/** `default_ulimits`: the test may run where limits cannot be raised. */
const CONTAINERS = `
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
${codeAfter("docs/runtimes.md", "`/etc/containers/containers.conf`")}
`;

const POLICY = '{ "default": [{ "type": "insecureAcceptAnything" }] }';

export interface PodmanNetwork {
  readonly IPAddress: string;
  readonly GlobalIPv6Address: string;
  readonly MacAddress: string;
}

export class Podman {
  readonly host: RackHost;

  private constructor(host: RackHost) {
    this.host = host;
  }

  static async start(host: RackHost, image: string): Promise<Podman> {
    if (!existsSync("/usr/bin/podman")) throw new Error("the Debian package podman is not installed");
    await host.node.write("/etc/containers/containers.conf", CONTAINERS);
    await host.node.write("/etc/containers/policy.json", POLICY);
    const podman = new Podman(host);
    await podman.call("load", "-q", "-i", image);
    return podman;
  }

  /** Rejects with what it says on standard error. */
  async call(...args: string[]): Promise<string> {
    return (await this.host.exec("podman", ...args)).trim();
  }

  /** A container of the image that runs in the background, by its name. */
  run(name: string, ...options: string[]): Promise<string> {
    return this.call(
      "run",
      "-d",
      "--cgroup-parent",
      `/${this.host.node.cgroup}`,
      "--name",
      name,
      ...options,
      POD_IMAGE,
    );
  }

  exec(name: string, ...command: string[]): Promise<string> {
    return this.call("exec", name, ...command);
  }

  remove(...names: string[]): Promise<string> {
    return this.call("rm", "-f", "-t", "0", "-i", ...names);
  }

  async networks(name: string): Promise<Record<string, PodmanNetwork>> {
    const [inspected] = JSON.parse(await this.call("inspect", name)) as [
      { NetworkSettings: { Networks: Record<string, PodmanNetwork> } },
    ];
    return inspected.NetworkSettings.Networks;
  }
}
