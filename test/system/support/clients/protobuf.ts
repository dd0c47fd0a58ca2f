// Protocol Buffers as far as CRI needs them: strings, integers, messages and maps of strings. A message is written as an
// object from field number to value; undefined, "" and 0 are left out, as proto3 does.

export type Value = string | number | boolean | undefined | Message | readonly (string | Message)[];
export interface Message {
  readonly [field: number]: Value;
}

const VARINT = 0;
const BYTES = 2;

export function encode(message: Message): Buffer {
  const parts: Buffer[] = [];
  for (const [field, value] of Object.entries(message)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one === undefined || one === "" || one === 0 || one === false) continue;
      if (typeof one === "number" || typeof one === "boolean")
        parts.push(varint(Number(field) * 8 + VARINT), varint(Number(one)));
      else {
        const bytes = typeof one === "string" ? Buffer.from(one) : encode(one as Message);
        parts.push(varint(Number(field) * 8 + BYTES), varint(bytes.length), bytes);
      }
    }
  }
  return Buffer.concat(parts);
}

/** A map<string, string>. */
export function entries(map: Readonly<Record<string, string>> = {}): Message[] {
  return Object.entries(map).map(([key, value]) => ({ 1: key, 2: value }));
}

/** Field number -> its values in order: integers as numbers, everything else as bytes. */
export function decode(bytes: Buffer): Map<number, (number | Buffer)[]> {
  const fields = new Map<number, (number | Buffer)[]>();
  for (let at = 0; at < bytes.length; ) {
    const [tag, afterTag] = readVarint(bytes, at);
    const [number, afterNumber] = readVarint(bytes, afterTag);
    const wire = tag % 8;
    if (wire !== VARINT && wire !== BYTES) throw new Error(`wire type ${wire} in the answer`);
    at = wire === VARINT ? afterNumber : afterNumber + number;
    const value = wire === VARINT ? number : bytes.subarray(afterNumber, at);
    fields.set(Math.floor(tag / 8), [...(fields.get(Math.floor(tag / 8)) ?? []), value]);
  }
  return fields;
}

/** The text at a path of field numbers; "" when there is none. */
export function text(bytes: Buffer, ...path: readonly number[]): string {
  return all(bytes, ...path)[0] ?? "";
}

/** All texts at a path of field numbers. */
export function all(bytes: Buffer, ...path: readonly number[]): string[] {
  const [field, ...rest] = path;
  const values = (decode(bytes).get(field) ?? []).filter((value): value is Buffer => value instanceof Buffer);
  return rest.length === 0 ? values.map((value) => value.toString()) : values.flatMap((value) => all(value, ...rest));
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest >= 128 ? (rest % 128) | 128 : rest);
    if (rest < 128) return Buffer.from(bytes);
  }
}

function readVarint(bytes: Buffer, from: number): [value: number, next: number] {
  let value = 0;
  for (let at = from, factor = 1; at < bytes.length; at++, factor *= 128) {
    value += (bytes[at] & 127) * factor;
    if (bytes[at] < 128) return [value, at + 1];
  }
  throw new Error("the answer ends within a number");
}
