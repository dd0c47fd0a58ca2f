// The contract of the descriptor table (table.ts): one codec per path attribute.
//
// decode() reads the value into the draft and returns null, or says in words what is malformed; the table's driver turns
// that into the action of RFC 7606. encode() appends the whole attribute, header included, or nothing when it is absent.
import type { WireContext } from "../context.ts";
import type { PathAttributes } from "../path-attributes.ts";
import type { Reader } from "../reader.ts";
import { AttributeFlag } from "../registry.ts";
import type { Writer } from "../writer.ts";

export type Draft = { -readonly [Key in keyof PathAttributes]: PathAttributes[Key] } & {
  /** RFC 6793: merged into asPath and aggregator after all attributes were read. */
  as4Path: PathAttributes["asPath"] | null;
  as4Aggregator: PathAttributes["aggregator"];
};

/** All fields spelled out: a literal is made several times faster than a copy of `emptyAttributes`. */
export function newDraft(): Draft {
  return {
    origin: 0,
    asPath: none,
    nextHop: null,
    linkLocalNextHop: null,
    med: null,
    localPref: null,
    atomicAggregate: false,
    aggregator: null,
    communities: none,
    extendedCommunities: none,
    largeCommunities: none,
    originatorId: null,
    clusterList: none,
    otc: null,
    unknown: none,
    as4Path: null,
    as4Aggregator: null,
  };
}

const none: readonly never[] = Object.freeze([]);

export interface EncodeOptions {
  readonly as4: boolean;
}

export interface AttributeCodec {
  readonly code: number;
  readonly name: string;
  /** The optional and transitive bits that it must come with. */
  readonly flags: number;
  /** What a malformed value leads to (RFC 7606 §7). */
  readonly malformed: "discard" | "withdraw";
  /** Ignored when it comes from a neighbour in another AS (RFC 7606 §7.5, §7.9, §7.10). */
  readonly internalOnly?: boolean;
  decode(value: Reader, draft: Draft, context: WireContext): string | null;
  encode(writer: Writer, attributes: PathAttributes, options: EncodeOptions): void;
}

export const WELL_KNOWN: number = AttributeFlag.TRANSITIVE;
export const OPTIONAL_TRANSITIVE: number = AttributeFlag.OPTIONAL | AttributeFlag.TRANSITIVE;
export const OPTIONAL_NON_TRANSITIVE: number = AttributeFlag.OPTIONAL;

/** Flags, type and length; the length takes two octets only when it needs them. */
export function writeAttributeHeader(writer: Writer, flags: number, code: number, length: number): void {
  const extended = length > 255;
  writer.u8((flags & ~AttributeFlag.EXTENDED_LENGTH) | (extended ? AttributeFlag.EXTENDED_LENGTH : 0));
  writer.u8(code);
  if (extended) writer.u16(length);
  else writer.u8(length);
}

export function wrongLength(value: Reader, expected: string): string {
  return `length ${value.end - value.offset}, expected ${expected}`;
}
