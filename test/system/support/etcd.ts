// Real etcd members on loopback, with data in memory where there is such a directory: a member writes through for every
// transaction, and the tests do not try the disk. TLS and authentication when asked for. Needs no privileges.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EtcdClient, type EtcdOptions } from "../../../cni/blocks/etcd/client.ts";

export interface EtcdServerOptions {
  readonly members?: number;
  /** Files of testCertificates(). */
  readonly tls?: Certificates;
  readonly args?: readonly string[];
  /** A command that runs it, and etcdctl, before their own: `nsenter ...`. */
  readonly wrapper?: readonly string[];
}

interface Member {
  readonly name: string;
  readonly client: number;
  readonly peer: number;
  process: ChildProcess | null;
}

export class EtcdServer {
  readonly directory = dataDirectory();
  readonly #options: EtcdServerOptions;
  readonly members: Member[] = [];

  private constructor(options: EtcdServerOptions) {
    this.#options = options;
  }

  static async start(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const server = new EtcdServer(options);
    const ports = await freePorts(2 * (options.members ?? 1));
    for (let i = 0; i < (options.members ?? 1); i++)
      server.members.push({ name: `m${i}`, client: ports[2 * i], peer: ports[2 * i + 1], process: null });
    for (const member of server.members) server.#spawn(member);
    await server.ready();
    return server;
  }

  get scheme(): string {
    return this.#options.tls ? "https" : "http";
  }

  get endpoints(): string[] {
    return this.members.map(({ client }) => `${this.scheme}://127.0.0.1:${client}`);
  }

  /** A client with short limits; `over` changes them. */
  client(over: Partial<EtcdOptions> = {}): EtcdClient {
    const none = { ca: null, cert: null, key: null };
    return new EtcdClient({
      endpoints: this.endpoints,
      tls: () => (this.#options.tls ? material(this.#options.tls) : none),
      user: () => null,
      attemptTimeout: 1000,
      requestTimeout: 5000,
      ...over,
    });
  }

  /** Resolves when a linearizable read is answered. */
  async ready(over: Partial<EtcdOptions> = {}): Promise<void> {
    if (this.#options.wrapper) {
      await until(() => this.#answers(), "etcd answers");
      return;
    }
    const client = this.client({ requestTimeout: 20_000, attemptTimeout: 500, ...over });
    try {
      await client.range({ key: "/underlay/ready" }, 1, 0);
    } finally {
      client.close();
    }
  }

  #answers(): boolean {
    try {
      this.ctl("--command-timeout=1s", "get", "x");
      return true;
    } catch {
      return false;
    }
  }

  kill(index: number, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const { process } = this.members[index];
    if (!process || process.exitCode !== null || process.signalCode !== null) return Promise.resolve();
    const gone = new Promise<void>((resolve) => process.once("exit", () => resolve()));
    process.kill(signal);
    return gone;
  }

  /** With what it had; nothing when it runs. */
  restart(index: number): void {
    const { process } = this.members[index];
    if (process && process.exitCode === null && process.signalCode === null) return;
    this.#spawn(this.members[index]);
  }

  async wipe(): Promise<void> {
    for (const [i, member] of this.members.entries()) {
      await this.kill(i);
      rmSync(join(this.directory, member.name), { recursive: true, force: true });
    }
    for (const member of this.members) this.#spawn(member);
    await this.ready();
  }

  /** The user `underlay` with the password `secret`, who may do what docs/etcd.md says; without one nothing is allowed. */
  enableUsers(): void {
    for (const line of [
      "user add root:root",
      "user grant-role root root",
      "role add underlay",
      "role grant-permission underlay --prefix=true readwrite /underlay/",
      "user add underlay:secret",
      "user grant-role underlay underlay",
      "auth enable",
    ])
      this.ctl(...line.split(" "));
  }

  ctl(...args: string[]): string {
    const { tls } = this.#options;
    const files = tls ? ["--cacert", tls.ca, "--cert", tls.client, "--key", tls.clientKey] : [];
    const command = [...(this.#options.wrapper ?? []), "etcdctl", "--endpoints", this.endpoints.join(",")];
    return execFileSync(command[0], [...command.slice(1), ...files, ...args], {
      env: { ...process.env, ETCDCTL_API: "3" },
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((_, i) => this.kill(i)));
    rmSync(this.directory, { recursive: true, force: true });
  }

  log(index: number): string {
    return readFileSync(join(this.directory, `${this.members[index].name}.log`), "utf8");
  }

  #spawn(member: Member): void {
    const { tls, args = [] } = this.#options;
    const url = `${this.scheme}://127.0.0.1:${member.client}`;
    const peer = (port: number) => `http://127.0.0.1:${port}`;
    const secure = tls
      ? ["--cert-file", tls.server, "--key-file", tls.serverKey, "--trusted-ca-file", tls.ca, "--client-cert-auth"]
      : [];
    const cluster = this.members.map(({ name, peer: port }) => `${name}=${peer(port)}`).join(",");
    const log = join(this.directory, `${member.name}.log`);
    writeFileSync(log, "", { flag: "a" });
    const command = [
      ...(this.#options.wrapper ?? []),
      "etcd",
      "--name",
      member.name,
      "--data-dir",
      join(this.directory, member.name),
    ];
    command.push("--listen-client-urls", url, "--advertise-client-urls", url);
    command.push("--listen-peer-urls", peer(member.peer), "--initial-advertise-peer-urls", peer(member.peer));
    command.push("--initial-cluster", cluster, "--logger", "zap", "--log-outputs", log, ...secure, ...args);
    // Alone: nobody else could be the leader.
    if (this.members.length === 1) command.push("--heartbeat-interval", "20", "--election-timeout", "200");
    member.process = spawn(command[0], command.slice(1), { stdio: "ignore" });
  }
}

export interface Certificates {
  readonly ca: string;
  readonly server: string;
  readonly serverKey: string;
  readonly client: string;
  readonly clientKey: string;
  readonly named: string;
  readonly namedKey: string;
  /** Of yesterday. */
  readonly expired: string;
  readonly expiredKey: string;
}

export function material(files: Pick<Certificates, "ca" | "client" | "clientKey">) {
  return { ca: readFileSync(files.ca), cert: readFileSync(files.client), key: readFileSync(files.clientKey) };
}

/** An authority of its own, and certificates for 127.0.0.1 and clients, one of them with a common name. */
export function makeCertificates(directory: string): Certificates {
  const path = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-days", "2", "-subj", "/CN=test", "-keyout", path("ca.key"), "-out", path("ca.pem"));
  const sign = (name: string, subject: string, extensions: string, days = 2) => {
    openssl("req", ...key, "-subj", subject, "-keyout", path(`${name}.key`), "-out", path(`${name}.csr`));
    writeFileSync(path(`${name}.ext`), extensions);
    const by = ["-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial", "-days", String(days)];
    openssl(
      "x509",
      "-req",
      "-in",
      path(`${name}.csr`),
      ...by,
      "-extfile",
      path(`${name}.ext`),
      "-out",
      path(`${name}.pem`),
    );
  };
  // The gateway is a client of its own server, with the server's certificate.
  sign("server", "/CN=server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  sign("client", "/O=underlay", "extendedKeyUsage=clientAuth\n");
  sign("named", "/CN=underlay", "extendedKeyUsage=clientAuth\n");
  sign("expired", "/O=underlay", "extendedKeyUsage=clientAuth\n", -1);
  return {
    ca: path("ca.pem"),
    server: path("server.pem"),
    serverKey: path("server.key"),
    client: path("client.pem"),
    clientKey: path("client.key"),
    named: path("named.pem"),
    namedKey: path("named.key"),
    expired: path("expired.pem"),
    expiredKey: path("expired.key"),
  };
}

/** In memory where there is such a directory. */
export function dataDirectory(): string {
  return mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "underlay-etcd-"));
}

export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      return new Promise<ReturnType<typeof createServer>>((resolve) => {
        const server = createServer();
        server.listen(0, "127.0.0.1", () => resolve(server));
      });
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Looks every few milliseconds. */
export async function until(condition: () => boolean, what: string, limit = 20_000): Promise<void> {
  const end = Date.now() + limit;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${limit / 1000} s in vain: ${what}`);
    await sleep(10);
  }
}
