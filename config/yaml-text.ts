// Text -> one YAML document's nodes, or words on why it is none. The library builds nodes recursively and can take the
// whole process down on deep input, so the depth is measured on its token trees (built without recursion) first.
import { Composer, type CST, type Document, LineCounter, Parser } from "yaml";

export const MAX_BYTES = 1 << 20;
export const MAX_DEPTH = 32;
/** More than this is one mistake with many consequences. */
const MAX_ERRORS = 20;

export interface TextFault {
  /** UTF-16 offset, null: the file as a whole. */
  readonly offset: number | null;
  readonly message: string;
  readonly hint: string | null;
}

export interface YamlText {
  readonly document: Document | null;
  readonly lines: LineCounter;
  readonly faults: readonly TextFault[];
}

export function readYaml(text: string): YamlText {
  const lines = new LineCounter();
  const failed = (fault: TextFault): YamlText => ({ document: null, lines, faults: [fault] });
  if (text.length > MAX_BYTES)
    return failed({ offset: null, message: `is larger than ${MAX_BYTES >> 20} MiB`, hint: "is this the right file?" });

  const control = /[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffc\u{10000}-\u{10ffff}]/u.exec(text);
  if (control) {
    lines.addNewLine(0);
    for (let at = text.indexOf("\n"); at >= 0 && at < control.index; at = text.indexOf("\n", at + 1))
      lines.addNewLine(at + 1);
    const message = "is not text: there is a control character or a byte that is not UTF-8 here";
    return { document: null, lines, faults: [{ offset: control.index, message, hint: "is this the right file?" }] };
  }

  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const deep = tooDeep(tokens);
  if (deep !== null)
    return failed({ offset: deep, message: `is nested more than ${MAX_DEPTH} levels deep`, hint: null });

  const documents = [...new Composer({ uniqueKeys: false, schema: "core" }).compose(tokens, true, text.length)];
  const [document] = documents;
  const faults = document.errors
    .slice(0, MAX_ERRORS)
    .map((error) => syntaxFault(error.code, error.message, error.pos[0]));
  if (documents.length > 1) {
    const offset = documents[1].range[0];
    faults.push({ offset, message: "a second YAML document begins here", hint: "remove the line with --- before it" });
  }
  return { document, lines, faults };
}

/** Offset of the first thing below MAX_DEPTH, or null. */
function tooDeep(documents: readonly CST.Token[]): number | null {
  const open: [token: CST.Token, depth: number][] = documents.map((token) => [token, 0]);
  for (let next = open.pop(); next; next = open.pop()) {
    const [token, depth] = next;
    if (depth > MAX_DEPTH) return token.offset;
    if ("items" in token)
      for (const { key, value } of token.items) {
        if (key) open.push([key, depth + 1]);
        if (value) open.push([value, depth + 1]);
      }
    else if (token.type === "document" && token.value) open.push([token.value, depth]);
  }
  return null;
}

const words: Readonly<Record<string, readonly [message: string, hint: string | null]>> = {
  TAB_AS_INDENT: ["there is a tab in the indentation", "YAML is indented with spaces only"],
  BAD_INDENT: ["the indentation does not fit", "keys of one map begin in the same column"],
  BLOCK_AS_IMPLICIT_KEY: ["a list or map begins where a value is wanted", "check the indentation and the line above"],
  MULTILINE_IMPLICIT_KEY: ["a key and its colon must be in one line", "is a colon missing in this line?"],
  MISSING_CHAR: ["something is missing here", null],
  BAD_ALIAS: ["a word that begins with * is an alias", 'put it into quotes: "*"'],
};

function syntaxFault(code: string, message: string, offset: number): TextFault {
  const [said, hint] = words[code] ?? [null, null];
  const detail = message.replace(/\s+/g, " ").replace(/[.:]$/, "");
  if (said === null) return { offset, message: `is not YAML: ${detail}`, hint };
  return { offset, message: code === "TAB_AS_INDENT" ? said : `${said} (${detail})`, hint };
}
