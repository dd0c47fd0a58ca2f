// Shares as people write them (`90%`) -> percent.
import { quote, Refusal, type Scalar } from "./scalar.ts";

/** From 1 to 100, or `false`: null. */
export const percentOrFalse: Scalar<number | null> = {
  json: { title: "percentage or `false`", anyOf: [{ const: false }, { type: "string", pattern: "^[0-9]{1,3}%$" }] },
  parse(value) {
    if (value === false) return null;
    const match = typeof value === "string" ? /^(\d{1,3})%$/.exec(value) : null;
    if (!match) return new Refusal(`${quote(value)} is not a percentage`, "write 90%, or false");
    const percent = Number(match[1]);
    return percent >= 1 && percent <= 100 ? percent : new Refusal(`${value} is outside of 1% to 100%`);
  },
};
