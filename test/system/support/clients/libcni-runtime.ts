// The real libcni: a small Go program over the library as Debian has it (1.1, the generation of podman 4 and containerd
// 1.6), compiled for the test.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { RackHost } from "./client-rack.ts";

const GOPATH = "/usr/share/gocode";
const LIBRARY = "src/github.com/containernetworking/cni/libcni";

export interface Attach {
  readonly netns: string;
  readonly id: string;
  readonly ifname?: string;
  /** `K=V;K=V` */
  readonly args?: string;
  readonly capabilities?: object;
}

export class LibcniRuntime {
  readonly #host: RackHost;
  readonly #program: string;
  readonly #namespaces = new Set<string>();
  /** What a web server for its pods serves. */
  readonly webRoot: string;

  private constructor(host: RackHost, program: string, webRoot: string) {
    this.#host = host;
    this.#program = program;
    this.webRoot = webRoot;
  }

  /** The compiler is asked for nothing that is not in its library as compiled: a second, not eight. */
  static async compile(host: RackHost, webRoot: string): Promise<LibcniRuntime> {
    if (!existsSync(join(GOPATH, LIBRARY)))
      throw new Error("the Debian package golang-github-appc-cni-dev is not installed");
    const { directory } = host.node;
    const program = join(directory, "runtime");
    const env = {
      PATH: process.env.PATH,
      HOME: directory,
      GO111MODULE: "off",
      GOENV: "off",
      GOPATH,
      GOCACHE: join(directory, "gocache"),
      CGO_ENABLED: "1",
    };
    mkdirSync(env.GOCACHE);
    await new Promise<void>((resolve, reject) => {
      execFile(
        "go",
        ["build", "-o", program, join(import.meta.dirname, "libcni/main.go")],
        { env },
        (error, _, stderr) =>
          error
            ? reject(new Error(`go build (Debian packages golang-go, gcc): ${stderr || error.message}`))
            : resolve(),
      );
    });
    return new LibcniRuntime(host, program, webRoot);
  }

  /** A namespace as a runtime makes one. */
  async namespace(name: string): Promise<string> {
    await this.#host.exec("sh", "-ec", `ip netns add ${name}; ip -n ${name} link set lo up`);
    this.#namespaces.add(name);
    return `/run/netns/${name}`;
  }

  /** All that it has made. */
  async removeNamespaces(): Promise<void> {
    const names = [...this.#namespaces];
    this.#namespaces.clear();
    for (const name of names) await this.#host.exec("ip", "netns", "delete", name);
  }

  async call(verb: "add" | "check" | "del" | "validate", list: string, attach?: Attach): Promise<string> {
    const { netns = "", id = "", ifname = "eth0", args = "", capabilities } = attach ?? {};
    const env = [
      "CNI_PATH=/opt/cni/bin",
      "CACHE=/var/lib/cni",
      `ARGS=${args}`,
      `CAPABILITIES=${capabilities ? JSON.stringify(capabilities) : ""}`,
    ];
    return this.#host.exec("env", ...env, this.#program, verb, list, netns, id, ifname);
  }
}
