// Code out of the documentation, so that what it says is what was tried.
import { readFileSync } from "node:fs";

/** The first code block after a text. Throws when there is none. */
export function codeAfter(file: string, text: string): string {
  const content = readFileSync(file, "utf8");
  const at = content.indexOf(text);
  const found = at < 0 ? null : /```\w*\n([\s\S]*?)```/.exec(content.slice(at));
  if (!found) throw new Error(`${file} has no code after "${text}"`);
  return found[1];
}
