// CNI_* variables -> one call, checked as the reference skeleton checks it (an empty variable counts as missing).
// Deviation: an interface name with `%` is refused, because the kernel takes it for a template.
import { CniError, CniErrorCode } from "./error.ts";

export const verbs = ["ADD", "DEL", "CHECK", "VERSION", "STATUS", "GC"] as const;
export type Verb = (typeof verbs)[number];

export interface CniCall {
  readonly verb: Verb;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly args: string;
  /** The caller allows a pod namespace equal to the host's. */
  readonly netnsOverride: boolean;
  /** As it came. */
  readonly env: Readonly<Record<string, string>>;
}

const required: Record<Verb, readonly string[]> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  VERSION: [],
  STATUS: ["CNI_PATH"],
  GC: ["CNI_PATH"],
};

const identifier = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** The rule for container ids and network names. */
export function isIdentifier(text: string): boolean {
  return identifier.test(text);
}

/** Null when the kernel takes `name`, otherwise what is wrong with it. */
function ifnameProblem(name: string): string | null {
  if (name === "") return "interface name is empty";
  if (Buffer.byteLength(name) > 15) return "interface name is too long: 15 bytes at most";
  if (name === "." || name === "..") return "interface name is . or ..";
  if (/[/:%\s]/u.test(name)) return "interface name contains / or : or % or whitespace";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f\u0085]/u.test(name)) return "interface name contains a control character";
  // What the client could not carry as UTF-8.
  if (name.includes("\ufffd")) return "interface name is not UTF-8";
  return null;
}

/** Throws code 4. */
export function readEnvironment(env: Readonly<Record<string, string>>): CniCall {
  const verb = env.CNI_COMMAND ?? "";
  if (verb === "") throw invalid("required env variables [CNI_COMMAND] missing");
  if (!isVerb(verb)) throw invalid(`unknown CNI_COMMAND: ${verb}`);
  const call: CniCall = {
    verb,
    containerId: env.CNI_CONTAINERID ?? "",
    netns: env.CNI_NETNS ?? "",
    ifname: env.CNI_IFNAME ?? "",
    args: env.CNI_ARGS ?? "",
    netnsOverride: ["1", "true"].includes((env.CNI_NETNS_OVERRIDE ?? "").toLowerCase()),
    env,
  };
  const attachment = verb === "ADD" || verb === "DEL" || verb === "CHECK";
  if (attachment && call.containerId && !isIdentifier(call.containerId))
    throw invalid("invalid characters in containerID", call.containerId);
  const problem = attachment && call.ifname ? ifnameProblem(call.ifname) : null;
  if (problem) throw invalid(problem, call.ifname);
  const missing = required[verb].filter((name) => !env[name]);
  if (missing.length > 0) throw invalid(`required env variables [${missing.join(",")}] missing`);
  return call;
}

function isVerb(text: string): text is Verb {
  return (verbs as readonly string[]).includes(text);
}

function invalid(message: string, details = ""): CniError {
  return new CniError(CniErrorCode.invalidEnvironment, message, details);
}
