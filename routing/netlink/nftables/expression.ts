// The expressions that a rule consists of, as values, and how they are written. A rule is a list of them: each loads into a
// register, compares, or ends in a verdict; one that does not match ends its rule.
import type { MessageWriter } from "../message.ts";
import {
  DataAttribute,
  EXTHDR_PRESENT,
  ExpressionAttribute,
  FIB_OUTPUT_INTERFACE,
  FibFlag,
  ListAttribute,
  OBJECT_COUNTER,
  Register,
  Verdict,
  VerdictAttribute,
} from "./constants.ts";

export type Expression =
  | { readonly kind: "meta"; readonly key: number }
  /** `register`: where to; Register.first unless said. */
  | {
      readonly kind: "payload";
      readonly base: number;
      readonly offset: number;
      readonly length: number;
      readonly register?: number;
    }
  | { readonly kind: "mask"; readonly mask: readonly number[] }
  | { readonly kind: "compare"; readonly operation: number; readonly value: readonly number[] }
  /** Whether the way back to the source leaves by the interface that the packet came in on: 1 or 0. */
  | { readonly kind: "reversePath" }
  /** Whether an IPv6 packet has this extension header: 1 or 0. */
  | { readonly kind: "extensionHeader"; readonly type: number }
  /** Whether what is in the registers, from the first on, is in a set. */
  | { readonly kind: "lookup"; readonly set: string }
  | { readonly kind: "count"; readonly counter: string }
  | { readonly kind: "verdict"; readonly code: number; readonly chain?: string };

export const drop: Expression = { kind: "verdict", code: Verdict.drop };
export const accept: Expression = { kind: "verdict", code: Verdict.accept };
export const goTo = (chain: string): Expression => ({ kind: "verdict", code: Verdict.goto, chain });

/** Attributes of netfilter are in network order. */
export function attributeBe32(out: MessageWriter, type: number, value: number): void {
  out.attributeBytes(type, Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
}

export function encodeExpressions(out: MessageWriter, type: number, expressions: readonly Expression[]): void {
  const list = out.beginNested(type);
  for (const expression of expressions) {
    const element = out.beginNested(ListAttribute.element);
    out.attributeText(ExpressionAttribute.name, names[expression.kind]);
    const data = out.beginNested(ExpressionAttribute.data);
    encode(out, expression);
    out.endNested(data);
    out.endNested(element);
  }
  out.endNested(list);
}

const names: Readonly<Record<Expression["kind"], string>> = {
  meta: "meta",
  payload: "payload",
  mask: "bitwise",
  compare: "cmp",
  reversePath: "fib",
  extensionHeader: "exthdr",
  lookup: "lookup",
  count: "objref",
  verdict: "immediate",
};

/** NFTA_<expression>_*. */
function encode(out: MessageWriter, expression: Expression): void {
  switch (expression.kind) {
    case "meta":
      attributeBe32(out, 1, Register.first);
      attributeBe32(out, 2, expression.key);
      return;
    case "payload":
      attributeBe32(out, 1, expression.register ?? Register.first);
      attributeBe32(out, 2, expression.base);
      attributeBe32(out, 3, expression.offset);
      attributeBe32(out, 4, expression.length);
      return;
    case "mask":
      attributeBe32(out, 1, Register.first);
      attributeBe32(out, 2, Register.first);
      attributeBe32(out, 3, expression.mask.length);
      encodeValue(out, 4, expression.mask);
      encodeValue(
        out,
        5,
        expression.mask.map(() => 0),
      );
      return;
    case "compare":
      attributeBe32(out, 1, Register.first);
      attributeBe32(out, 2, expression.operation);
      encodeValue(out, 3, expression.value);
      return;
    case "reversePath":
      attributeBe32(out, 1, Register.first);
      attributeBe32(out, 2, FIB_OUTPUT_INTERFACE);
      attributeBe32(out, 3, FibFlag.source | FibFlag.inputInterface | FibFlag.present);
      return;
    case "extensionHeader":
      attributeBe32(out, 1, Register.first);
      out.attributeU8(2, expression.type);
      attributeBe32(out, 3, 0);
      attributeBe32(out, 4, 1);
      attributeBe32(out, 5, EXTHDR_PRESENT);
      return;
    case "lookup":
      out.attributeText(1, expression.set);
      attributeBe32(out, 2, Register.first);
      return;
    case "count":
      attributeBe32(out, 1, OBJECT_COUNTER);
      out.attributeText(2, expression.counter);
      return;
    case "verdict": {
      attributeBe32(out, 1, Register.verdict);
      const data = out.beginNested(2);
      const verdict = out.beginNested(DataAttribute.verdict);
      attributeBe32(out, VerdictAttribute.code, expression.code);
      if (expression.chain !== undefined) out.attributeText(VerdictAttribute.chain, expression.chain);
      out.endNested(verdict);
      out.endNested(data);
    }
  }
}

export function encodeValue(out: MessageWriter, type: number, value: ArrayLike<number>): void {
  const data = out.beginNested(type);
  out.attributeBytes(DataAttribute.value, Uint8Array.from(value));
  out.endNested(data);
}
