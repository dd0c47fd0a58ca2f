// Regular expressions over AS paths, in the dialect that network engineers know: `^65001_`, `_65002$`, `_(1|2)_`, `^$`.
// `_` is a boundary: the start, the end, a space, comma, brace or parenthesis.
//
// Supported: literals, `.`, `[...]`, `[^...]`, `\d`, `\` before anything else as that character, `( )`, `|`, `*`, `+`, `?`,
// `^`, `$`, `_`. Braces are literal, because AS sets are written with them. An expression matches anywhere in the text.
//
// Simulated as an automaton with all states at once (Thompson 1968): the time is bounded by length of the expression times
// length of the path, whatever a peer sends and an operator writes; a backtracking engine has no such bound.

const LONGEST_EXPRESSION = 256;
/** Characters of a path that are looked at: some 700 hops. */
const LONGEST_TEXT = 8192;

const Op = { CLASS: 0, SPLIT: 1, JUMP: 2, START: 3, END: 4, MATCH: 5 } as const;
interface Instruction {
  readonly op: (typeof Op)[keyof typeof Op];
  /** CLASS: which of the 128 ASCII characters. */
  readonly set?: Uint8Array;
  /** SPLIT and JUMP: where to go on; SPLIT goes on at the next instruction too. */
  to?: number;
}

type Node =
  | { kind: "class"; set: Uint8Array }
  | { kind: "start" | "end" }
  | { kind: "sequence" | "choice"; nodes: Node[] }
  | { kind: "repeat"; node: Node; least: 0 | 1; most: 1 | null };

const SEPARATORS = " ,{}()";

export class AsPathExpression {
  readonly source: string;
  readonly #program: Instruction[] = [];
  /** States after the character before, and all that follow from them without another character. */
  readonly #reached: Uint16Array;
  readonly #list: Uint16Array;
  /** Per instruction: the step in which it was last entered, so that no state is entered twice in one step. */
  readonly #entered: Float64Array;
  #count = 0;
  #step = 0;

  /** Throws RangeError that says what is wrong and where. */
  constructor(source: string) {
    this.source = source;
    emit(new Parser(source).parse(), this.#program);
    this.#program.push({ op: Op.MATCH });
    const size = this.#program.length;
    this.#reached = new Uint16Array(size + 1);
    this.#list = new Uint16Array(size);
    this.#entered = new Float64Array(size);
  }

  /** Whether it matches anywhere in `text`, an AS path as formatAsPath writes it. */
  test(text: string): boolean {
    const length = Math.min(text.length, LONGEST_TEXT);
    let count = 0;
    for (let at = 0; at <= length; at++) {
      this.#step++;
      this.#count = 0;
      // A fresh attempt starts at every character.
      this.#reached[count++] = 0;
      for (let i = 0; i < count; i++) if (this.#enter(this.#reached[i], at, length)) return true;
      const code = at < length ? text.charCodeAt(at) : 128;
      count = 0;
      for (let i = 0; i < this.#count; i++) {
        const { set } = this.#program[this.#list[i]];
        if (code < 128 && set?.[code]) this.#reached[count++] = this.#list[i] + 1;
      }
    }
    return false;
  }

  /** Adds the state and all it leads to without a character to #list; true: the expression has matched. */
  #enter(start: number, at: number, length: number): boolean {
    const pending = [start];
    for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
      if (this.#entered[index] === this.#step) continue;
      this.#entered[index] = this.#step;
      const { op, to } = this.#program[index];
      if (op === Op.MATCH) return true;
      if (op === Op.CLASS) this.#list[this.#count++] = index;
      else if (op === Op.JUMP) pending.push(to as number);
      else if (op === Op.SPLIT) pending.push(to as number, index + 1);
      else if (op === Op.START ? at === 0 : at === length) pending.push(index + 1);
    }
    return false;
  }
}

class Parser {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
    if (source.length > LONGEST_EXPRESSION)
      throw new RangeError(`AS path expression longer than ${LONGEST_EXPRESSION} characters`);
  }

  parse(): Node {
    const node = this.#choice();
    if (this.#at < this.#source.length) throw this.#error("unbalanced )");
    return node;
  }

  #choice(): Node {
    const nodes = [this.#sequence()];
    while (this.#peek() === "|") {
      this.#at++;
      nodes.push(this.#sequence());
    }
    return nodes.length === 1 ? nodes[0] : { kind: "choice", nodes };
  }

  #sequence(): Node {
    const nodes: Node[] = [];
    for (let c = this.#peek(); c !== undefined && c !== "|" && c !== ")"; c = this.#peek()) nodes.push(this.#repeat());
    return { kind: "sequence", nodes };
  }

  #repeat(): Node {
    let node = this.#atom();
    for (let c = this.#peek(); c === "*" || c === "+" || c === "?"; c = this.#peek()) {
      this.#at++;
      // A repeated repetition says nothing new, and would double the automaton.
      if (node.kind === "repeat")
        node = { ...node, least: c === "+" ? node.least : 0, most: c === "?" ? node.most : null };
      else node = { kind: "repeat", node, least: c === "+" ? 1 : 0, most: c === "?" ? 1 : null };
    }
    return node;
  }

  #atom(): Node {
    const c = this.#source[this.#at++];
    switch (c) {
      case "(": {
        const node = this.#choice();
        if (this.#source[this.#at++] !== ")") throw this.#error("missing )");
        return node;
      }
      case "[":
        return this.#characterClass();
      case ".":
        return { kind: "class", set: new Uint8Array(128).fill(1) };
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case "_":
        return { kind: "choice", nodes: [{ kind: "start" }, { kind: "end" }, characters(SEPARATORS)] };
      case "\\":
        return this.#escape();
      case "*":
      case "+":
      case "?":
        throw this.#error(`nothing before ${c} to repeat`);
      default:
        return characters(c);
    }
  }

  #escape(): Node {
    const c = this.#source[this.#at++];
    if (c === undefined) throw this.#error("\\ at the end");
    return characters(c === "d" ? "0123456789" : c);
  }

  #characterClass(): Node {
    const set = new Uint8Array(128);
    const negated = this.#peek() === "^";
    if (negated) this.#at++;
    for (let first = true; first || this.#peek() !== "]"; first = false) {
      const from = this.#source[this.#at++];
      if (from === undefined) throw this.#error("missing ]");
      let to = from;
      if (this.#peek() === "-" && this.#source[this.#at + 1] !== undefined && this.#source[this.#at + 1] !== "]") {
        to = this.#source[this.#at + 1];
        this.#at += 2;
      }
      for (let code = from.charCodeAt(0); code <= Math.min(127, to.charCodeAt(0)); code++) set[code] = 1;
    }
    this.#at++;
    return { kind: "class", set: negated ? set.map((bit) => 1 - bit) : set };
  }

  #peek(): string | undefined {
    return this.#source[this.#at];
  }

  #error(what: string): RangeError {
    return new RangeError(
      `AS path expression "${this.#source}": ${what} (character ${Math.min(this.#at, this.#source.length)})`,
    );
  }
}

function characters(text: string): Node {
  const set = new Uint8Array(128);
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 128) set[text.charCodeAt(i)] = 1;
  return { kind: "class", set };
}

function emit(node: Node, program: Instruction[]): void {
  switch (node.kind) {
    case "class":
      program.push({ op: Op.CLASS, set: node.set });
      return;
    case "start":
    case "end":
      program.push({ op: node.kind === "start" ? Op.START : Op.END });
      return;
    case "sequence":
      for (const part of node.nodes) emit(part, program);
      return;
    case "choice": {
      const jumps: Instruction[] = [];
      node.nodes.forEach((part, index) => {
        if (index === node.nodes.length - 1) {
          emit(part, program);
          return;
        }
        const split: Instruction = { op: Op.SPLIT };
        const jump: Instruction = { op: Op.JUMP };
        program.push(split);
        emit(part, program);
        program.push(jump);
        jumps.push(jump);
        split.to = program.length;
      });
      for (const jump of jumps) jump.to = program.length;
      return;
    }
    case "repeat": {
      const start = program.length;
      if (node.least === 1) {
        emit(node.node, program);
        program.push({ op: Op.SPLIT, to: start });
        return;
      }
      const split: Instruction = { op: Op.SPLIT };
      program.push(split);
      emit(node.node, program);
      if (node.most === null) program.push({ op: Op.JUMP, to: start });
      split.to = program.length;
    }
  }
}
