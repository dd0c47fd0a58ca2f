// Whether an AS path expression can be compiled, in the dialect of bgp/policy/as-path-expression.ts: literals, `.`,
// `[...]`, `\d`, `\` before any character, `( )`, `|`, `*`, `+`, `?`, `^`, `$`, and `_` for a boundary; braces are literal.
// The configuration is refused here, before anything that would use the expression exists; a test holds the two together.

export const LONGEST_AS_PATH_EXPRESSION = 256;

/** What is wrong with it, or null. */
export function asPathFault(source: string): string | null {
  if (source.length > LONGEST_AS_PATH_EXPRESSION) return `longer than ${LONGEST_AS_PATH_EXPRESSION} characters`;
  let open = 0;
  /** There is something before that can be repeated. */
  let repeatable = false;
  for (let at = 0; at < source.length; at++) {
    const character = source[at];
    switch (character) {
      case "(":
        open++;
        repeatable = false;
        continue;
      case "|":
        repeatable = false;
        continue;
      case ")":
        if (open-- === 0) return "a ) without a (";
        break;
      case "*":
      case "+":
      case "?":
        if (!repeatable) return `nothing before ${character} to repeat`;
        break;
      case "\\":
        if (++at === source.length) return "nothing after \\";
        break;
      case "[": {
        // A ] that comes first is a member.
        const first = source[at + 1] === "^" ? at + 2 : at + 1;
        at = classEnd(source, first);
        if (at < 0) return "a ] is missing";
        break;
      }
    }
    repeatable = true;
  }
  return open > 0 ? "a ) is missing" : null;
}

/** Index of the ] that ends a class whose members begin at `at`, or -1. */
function classEnd(source: string, at: number): number {
  const start = at;
  while (at < source.length && (at === start || source[at] !== "]")) {
    const range = source[at + 1] === "-" && at + 2 < source.length && source[at + 2] !== "]";
    at += range ? 3 : 1;
  }
  return at > start && at < source.length ? at : -1;
}
