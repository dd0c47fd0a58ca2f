// Asks the person before something is done that cannot be undone.
import { createInterface } from "node:readline/promises";
import { CliError } from "./client.ts";
import { plain } from "./output.ts";

/** `what` is about to happen; `word` has to be typed. Rejects with a CliError when it is not, or nobody is there to. */
export async function confirm(what: string, word: string, yes: boolean): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) throw new CliError(`${what}\nConfirm with --yes`, 2);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${what} Type ${plain(word)} to go on: `);
  terminal.close();
  if (answer.trim() !== word) throw new CliError("nothing was done", 2);
}
