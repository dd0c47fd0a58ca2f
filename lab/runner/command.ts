// Running programs: arguments in, output out, a readable error when it fails.
import { type SpawnOptions, spawn } from "node:child_process";

/** A fault to be shown to the person at the terminal as it is, without a stack. */
export class LabError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "LabError";
  }
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions extends SpawnOptions {
  readonly input?: string | undefined;
  /** Milliseconds; then the command is killed. */
  readonly timeout?: number;
}

/** Runs a program to its end. Rejects only when it cannot be started or takes too long. */
export function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { input, timeout = 30_000, ...spawnOptions } = options;
  return new Promise((resolve, reject) => {
    // A process group of its own: a Ctrl-C at the terminal is for the runner, which then ends things in order.
    const child = spawn(argv[0], argv.slice(1), { detached: true, ...spawnOptions, stdio: ["pipe", "pipe", "pipe"] });
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream]?.setEncoding("utf8").on("data", (text: string) => {
        output[stream] += text;
      });
    }
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new LabError(`took more than ${timeout / 1000} s: ${argv.join(" ")}`));
    }, timeout);
    child.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(new LabError(error.code === "ENOENT" ? `${argv[0]}: not found` : `${argv[0]}: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? (signal ? 128 : 1), ...output });
    });
    child.stdin?.on("error", () => {});
    child.stdin?.end(input ?? "");
  });
}

/** Like runCommand, but anything else than exit code 0 is an error with what the program said. */
export async function mustRun(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await runCommand(argv, options);
  if (result.code === 0) return result.stdout;
  const said = (result.stderr.trim() || result.stdout.trim()).split("\n").slice(-5).join("\n");
  throw new LabError(`${argv.join(" ")}: exit code ${result.code}${said ? `\n${said}` : ""}`);
}

/** One word for a POSIX shell. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Splits a command line into words as a shell does, with quotes and backslashes, without expanding anything. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  for (const match of line.matchAll(/(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+/g)) {
    words.push(
      match[0].replace(/\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'/g, (_all, escaped, double, single) =>
        escaped !== undefined ? escaped : double !== undefined ? double.replace(/\\(["\\$`])/g, "$1") : single,
      ),
    );
  }
  return words;
}

export const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
