// ExaBGP in a node's namespace: says whatever it is told to say, and reports what it hears. It has no RIB. Configuration is
// exabgp.conf's text; commands go in through a file that its helper process follows, events come out as JSON lines.
import type { ChildProcess } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Node, terminate } from "./namespace.ts";
import { GiveUp, waitFor } from "./wait.ts";

/** What is used here of an event. */
export interface ExabgpEvent {
  /** `state`, `update`, `open`, `notification`, ... */
  readonly type: string;
  readonly neighbor: {
    readonly state?: string;
    readonly reason?: string;
    readonly direction?: string;
    readonly address?: { readonly local: string; readonly peer: string };
    readonly message?: { readonly update?: ExabgpUpdate; readonly eor?: object };
    readonly [key: string]: unknown;
  };
}

export interface ExabgpUpdate {
  readonly attribute?: Readonly<Record<string, unknown>>;
  /** Family -> next hop -> prefixes. */
  readonly announce?: Readonly<Record<string, Readonly<Record<string, readonly { readonly nlri: string }[]>>>>;
  readonly withdraw?: Readonly<Record<string, readonly { readonly nlri: string }[]>>;
}

/** Put into a neighbour's section of the configuration, it makes ExaBGP report all that happens there. */
export const REPORT =
  "api { processes [ reporter ]; neighbor-changes; receive { parsed; update; notification; open; refresh; } }";

/** What it writes is not always JSON: events of route refreshes, octets of a neighbour's NOTIFICATION. */
const TWICE_QUOTED = /""([^"]+)""/g;
const CONTROL = /\p{Cc}/gu;

export class Exabgp {
  readonly node: Node;
  readonly #config: string;
  #process: ChildProcess | null = null;

  private constructor(node: Node, config: string) {
    this.node = node;
    this.#config = config;
  }

  /** `config`: the neighbours, each with REPORT in it. Resolves when its helper process runs. */
  static async start(node: Node, config: string): Promise<Exabgp> {
    const exabgp = new Exabgp(node, config);
    await exabgp.#start();
    return exabgp;
  }

  /** `announce route 198.51.100.0/24 next-hop 10.0.0.2 ...`, `withdraw ...`, `announce route-refresh ipv4 unicast`, ... */
  command(text: string): void {
    appendFileSync(this.#commands, `${text}\n`);
  }

  events(): ExabgpEvent[] {
    if (!existsSync(this.#events)) return [];
    const lines = readFileSync(this.#events, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line.replace(TWICE_QUOTED, '"$1"').replace(CONTROL, " ")) as ExabgpEvent);
  }

  /** All, or those of one neighbour. */
  updates(address = ""): ExabgpUpdate[] {
    return this.events()
      .filter(({ neighbor }) => !address || neighbor.address?.peer === address)
      .flatMap(({ neighbor }) => neighbor.message?.update ?? []);
  }

  /** What a neighbour has said about a prefix last; nothing when it has withdrawn it. */
  attributes(address: string, prefix: string): ExabgpUpdate["attribute"] {
    const says = (update: ExabgpUpdate["announce"] | ExabgpUpdate["withdraw"]) =>
      JSON.stringify(update ?? {}).includes(`"${prefix}"`);
    return this.updates(address).reduce<ExabgpUpdate["attribute"]>(
      (last, { announce, withdraw, attribute }) =>
        says(announce) ? (attribute ?? {}) : says(withdraw) ? undefined : last,
      undefined,
    );
  }

  /** Prefixes announced to it and not withdrawn since, over all neighbours. */
  prefixes(): string[] {
    const present = new Set<string>();
    for (const { announce = {}, withdraw = {} } of this.updates()) {
      for (const list of Object.values(withdraw)) for (const { nlri } of list) present.delete(nlri);
      for (const nextHops of Object.values(announce))
        for (const list of Object.values(nextHops)) for (const { nlri } of list) present.add(nlri);
    }
    return [...present].sort();
  }

  waitEstablished(timeout?: number): Promise<unknown> {
    const state = () => this.events().findLast(({ type }) => type === "state")?.neighbor.state;
    return waitFor(() => state() === "up", `ExaBGP on ${this.node.name} to be up`, { timeout });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.#process) await terminate(this.#process, signal);
    this.#process = null;
  }

  /** What it was told by commands is forgotten, and so are the events. */
  async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.stop(signal);
    await this.#start();
  }

  close(): Promise<void> {
    return this.stop();
  }

  get #commands(): string {
    return join(this.node.lab.directory, `${this.node.name}.exabgp.commands`);
  }

  get #events(): string {
    return join(this.node.lab.directory, `${this.node.name}.exabgp.events`);
  }

  async #start(): Promise<void> {
    const base = join(this.node.lab.directory, `${this.node.name}.exabgp`);
    writeFileSync(this.#commands, "");
    writeFileSync(this.#events, "");
    writeFileSync(
      `${base}.sh`,
      `exec 3<&0\ncat <&3 >> ${this.#events} &\ntouch ${base}.ready\nexec tail -n +1 -f ${this.#commands}\n`,
    );
    writeFileSync(`${base}.conf`, `process reporter { run /bin/sh ${base}.sh; encoder json; }\n${this.#config}`);
    const settings = {
      "exabgp.daemon.drop": "false",
      "exabgp.daemon.user": "root",
      "exabgp.api.ack": "false",
      "exabgp.api.cli": "false",
      "exabgp.log.destination": "stderr",
      "exabgp.log.level": "WARNING",
    };
    const child = this.node.spawn(
      "env",
      [...Object.entries(settings).map((pair) => pair.join("=")), "exabgp", `${base}.conf`],
      {
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    let errors = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk) => {
        errors = (errors + chunk).slice(-4000);
      });
    this.#process = child;
    await waitFor(
      () => {
        if (child.exitCode !== null) throw new GiveUp(`exabgp ended with exit code ${child.exitCode}: ${errors}`);
        return existsSync(`${base}.ready`);
      },
      `exabgp on ${this.node.name}`,
      { timeout: 15_000 },
    );
  }
}
