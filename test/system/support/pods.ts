// Pods of a node: namespaces beside it, attached by the CNI client as a runtime in the node's namespace runs it.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { distFile } from "../../../net/dist.ts";
import type { Node } from "../../interop/support/namespace.ts";

export interface Answer {
  readonly code: number | null;
  readonly stdout: string;
  /** Of a successful ADD, IPv4 first. */
  readonly addresses: readonly string[];
}

export class Pods {
  readonly #node: Node;
  readonly #socket: string;
  readonly #names = new Set<string>();

  constructor(node: Node, socket: string) {
    this.#node = node;
    this.#socket = socket;
  }

  create(name: string): void {
    execFileSync("ip", ["netns", "add", this.namespace(name)]);
    this.#names.add(name);
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  names(): string[] {
    return [...this.#names];
  }

  destroy(name: string): void {
    if (this.#names.delete(name)) execFileSync("ip", ["netns", "delete", this.namespace(name)]);
  }

  namespace(name: string): string {
    return `${this.#node.netns}-${name}`;
  }

  /** Runs dist/underlay for an interface of a pod. */
  call(
    verb: "ADD" | "DEL" | "STATUS",
    name: string,
    {
      id = `c-${name}`,
      args = "",
      pool = "default",
      ifname = "eth0",
      config = {},
      path = "/opt/cni/bin",
      onStart = (_client: ChildProcess) => {},
    } = {},
  ): Promise<Answer> {
    const env = {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: id,
      CNI_NETNS: `/run/netns/${this.namespace(name)}`,
      CNI_IFNAME: ifname,
      CNI_ARGS: args,
      CNI_PATH: path,
    };
    const child = spawn("nsenter", [`--net=${this.#node.path}`, "--", distFile("underlay")], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "ignore"],
    });
    let stdout = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stdin.end(
      JSON.stringify({
        cniVersion: verb === "STATUS" ? "1.1.0" : "1.0.0",
        name: "pods",
        type: "underlay",
        pool,
        socket: this.#socket,
        ...config,
      }),
    );
    onStart(child);
    return new Promise((resolve) =>
      child.once("close", (code) => {
        const ips: { address: string }[] = code === 0 && stdout ? JSON.parse(stdout).ips : [];
        resolve({ code, stdout, addresses: ips.map(({ address }) => address.split("/")[0]) });
      }),
    );
  }

  close(): void {
    for (const name of [...this.#names]) this.destroy(name);
  }
}
