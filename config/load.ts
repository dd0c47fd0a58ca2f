// The way in: a YAML file becomes a Config, or a ConfigError that holds everything that is wrong with it.
//
//   text -> yaml-text (nodes) -> source (values and places) -> parse (sections) -> validate -> build -> Config
import { closeSync, openSync, readSync } from "node:fs";
import { hostname } from "node:os";
import { buildConfig } from "./build.ts";
import { Check } from "./check.ts";
import { parseSections } from "./parse.ts";
import { byPlace, ConfigError, ConfigProblem } from "./problem.ts";
import { isMap, quote, Refusal } from "./scalar.ts";
import { nodeName } from "./scalars.ts";
import { type ReadSecret, readSecretFile, systemErrorWords } from "./secret.ts";
import { Source } from "./source.ts";
import type { Config } from "./types.ts";
import { validate } from "./validate.ts";
import { MAX_BYTES } from "./yaml-text.ts";

export { ConfigError, ConfigProblem } from "./problem.ts";

export interface LoadedConfig {
  readonly config: Config;
  /** Not wrong, but worth a look. `String(warning)` is the text for a log. */
  readonly warnings: readonly ConfigProblem[];
}

/** Reads and checks a configuration file. Throws ConfigError. */
export function loadConfig(file: string): LoadedConfig {
  let bytes: Uint8Array;
  try {
    bytes = readAtMost(file, MAX_BYTES + 1);
  } catch (error) {
    throw wholeFile(file, `cannot be read: ${systemErrorWords(error)}`, null);
  }
  if (bytes.length > MAX_BYTES)
    throw wholeFile(file, `is larger than ${MAX_BYTES >> 20} MiB`, "is this the right file?");
  return parseConfig(new TextDecoder().decode(bytes), file);
}

/** As loadConfig, for text that has been read; `file` names it, and secrets are relative to its directory. */
export function parseConfig(text: string, file: string, readSecret: ReadSecret = readSecretFile): LoadedConfig {
  const source = new Source(file);
  const root = source.read(text);
  if (source.problems.length > 0) throw new ConfigError(source.problems);
  if (root === undefined || root === null)
    throw wholeFile(
      file,
      "is empty",
      "at least node: { asn: ..., routerId: ... } must be there; see docs/configuration.md",
    );

  if (!isMap(root))
    throw new ConfigError([source.problem([], `${quote(root)} is not a map`, "a configuration begins with node:")]);
  const result = parseSections(source, root);
  const check = new Check(source, result);
  const { secrets, etcdFiles } = validate(check, readSecret);
  const host = hostname();
  if (result.parsed.node && result.parsed.node.name === undefined && nodeName.parse(host) instanceof Refusal)
    check.problem(["node", "name"], `is missing, and the host's name "${host}" cannot stand for it`);
  if (check.problems.length > 0) throw new ConfigError(distinct(check.problems));
  // Without problems every section is there.
  const parsed = result.parsed as Parameters<typeof buildConfig>[0];
  return {
    config: buildConfig(parsed, { file, hostname: host, secrets, etcdFiles }),
    warnings: distinct(check.warnings).sort(byPlace),
  };
}

/** What is wrong with an inherited value is wrong for all that inherit it: once is enough. */
function distinct(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const key = ({ line, column, path, message }: ConfigProblem) =>
    `${line}:${column} ${path.slice(path.lastIndexOf(".") + 1)} ${message}`;
  const first = new Map<string, ConfigProblem>();
  for (const problem of problems) if (!first.has(key(problem))) first.set(key(problem), problem);
  return [...first.values()];
}

function wholeFile(file: string, message: string, hint: string | null): ConfigError {
  return new ConfigError([new ConfigProblem({ file, line: 0, column: 0, path: "", message, hint })]);
}

function readAtMost(file: string, limit: number): Uint8Array {
  const fd = openSync(file, "r");
  try {
    const buffer = new Uint8Array(limit);
    let length = 0;
    for (let read = -1; read !== 0 && length < limit; length += read)
      read = readSync(fd, buffer, length, limit - length, null);
    return buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
