// The etcd of shared pools: that it is there when a pool needs it, what goes together, and its files, read.
import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import type { Check } from "./check.ts";
import { type ReadSecret, systemErrorWords, trimSecret } from "./secret.ts";
import type { Path } from "./source.ts";
import type { EtcdConfig } from "./types.ts";

export type EtcdFiles = Pick<EtcdConfig, "tls" | "password">;

const MAX_PEM = 1 << 20;
const MAX_PASSWORD = 1024;
const none: EtcdFiles = { tls: { ca: null, cert: null, key: null, fingerprint: "" }, password: null };

export function checkEtcd(check: Check, readSecret: ReadSecret): EtcdFiles {
  const { etcd } = check.parsed;
  const shared = [...check.parsed.pools].find(([, pool]) => pool.source === "etcd");
  if (!etcd) {
    if (shared && !check.isWritten(["etcd"]))
      check.problem(
        ["pools", shared[0], "source"],
        "is etcd, and there is no section etcd",
        "add etcd: { endpoints: [https://10.0.0.5:2379] } at the top level",
      );
    return none;
  }
  if (!shared && check.names.pools.length === check.parsed.pools.size)
    check.warning(["etcd"], "no pool has source: etcd: nobody connects to it", null, "key");
  checkTls(check);
  if (etcd.username !== undefined && etcd.password === undefined)
    check.problem(["etcd", "username"], "has no password beside it", "add password: { file: ... }");
  if (etcd.username === undefined && etcd.password !== undefined)
    check.problem(["etcd", "password"], "has no username beside it", "add username: underlay");
  const read = (path: Path, file: string | undefined, limit: number, secret: boolean) =>
    file === undefined ? null : readFile(check, path, file, { readSecret, limit, secret });
  const { ca, cert, key } = etcd.tls;
  const password = read(["etcd", "password", "file"], etcd.password?.file, MAX_PASSWORD, true);
  const contents = [
    read(["etcd", "tls", "ca"], ca, MAX_PEM, false),
    read(["etcd", "tls", "cert"], cert, MAX_PEM, false),
    read(["etcd", "tls", "key"], key, MAX_PEM, true),
  ];
  const fingerprint = createHash("sha256");
  for (const content of contents) fingerprint.update(content ?? "").update("\0");
  const absolute = (file: string | undefined) => (file === undefined ? null : absolutePath(check, file));
  return {
    tls: {
      ca: absolute(ca),
      cert: absolute(cert),
      key: absolute(key),
      fingerprint: contents.some((content) => content !== null) ? fingerprint.digest("hex") : "",
    },
    password: password && new TextDecoder().decode(trimSecret(password)),
  };
}

function checkTls(check: Check): void {
  const { endpoints, tls, username } = check.parsed.etcd!;
  const at = ["etcd", "tls"];
  if ((tls.cert === undefined) !== (tls.key === undefined))
    check.problem(
      [...at, tls.cert === undefined ? "key" : "cert"],
      `has no ${tls.cert === undefined ? "cert" : "key"} beside it`,
      "a client certificate is both",
    );
  const plain = endpoints.findIndex((url) => url.startsWith("http:"));
  if (plain < 0) return;
  if (tls.ca !== undefined || tls.cert !== undefined)
    check.problem(
      ["etcd", "endpoints", plain],
      "is http://, and tls has certificates that would never be used",
      "write https://, or remove tls",
    );
  else if (username !== undefined)
    check.warning(["etcd", "endpoints", plain], "the password crosses the network in the clear", "use https://");
}

function readFile(
  check: Check,
  path: Path,
  file: string,
  { readSecret, limit, secret }: { readSecret: ReadSecret; limit: number; secret: boolean },
): Uint8Array | null {
  const absolute = absolutePath(check, file);
  try {
    const { bytes, worldReadable } = readSecret(absolute, limit);
    if (bytes.length === 0) check.problem(path, `${absolute} is empty`, "the daemon does not start without it");
    if (bytes.length > limit) check.problem(path, `${absolute} is larger than ${limit} bytes`, "is it the right file?");
    if (secret && worldReadable)
      check.warning(path, `everybody on this host can read ${absolute}`, `chmod 600 ${absolute}`);
    return bytes;
  } catch (error) {
    check.problem(
      path,
      `cannot read ${absolute}: ${systemErrorWords(error)}`,
      "without it nothing can be claimed: create the file, or remove the key",
    );
    return null;
  }
}

function absolutePath(check: Check, file: string): string {
  return resolve(dirname(check.source.file), file);
}
