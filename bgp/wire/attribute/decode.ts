// The path attributes of one UPDATE: bytes -> values and the strongest action that their faults call for.
//
// RFC 7606 §2-§5: structural faults (a length that overruns, flags that conflict) and faults of single values end in
// `discard` (the attribute is left out) or `withdraw` (its routes are treated as withdrawn); what makes the routes
// themselves unreadable is thrown as `reset`. A repeated attribute is discarded, a repeated MP_* resets (§3 g). Where
// attributes come without any reachable route, the routes may be what was misread: `withdraw` becomes `reset` (§5.2).
//
// Deviation: a missing LOCAL_PREF from an internal neighbour is accepted; the decision process has a default.
import type { WireContext } from "../context.ts";
import { WireAction, WireError } from "../error.ts";
import type { PathAttributes, UnknownAttribute } from "../path-attributes.ts";
import { Reader } from "../reader.ts";
import { AS_TRANS, AttributeCode, AttributeFlag, ErrorCode, UpdateSubcode } from "../registry.ts";
import { mergeAs4Path } from "./as-path.ts";
import { type AttributeCodec, type Draft, newDraft, OPTIONAL_TRANSITIVE } from "./codec.ts";
import { decodeMpReach, decodeMpUnreach, type MpReach, type MpUnreach } from "./multiprotocol.ts";
import { codecByType } from "./table.ts";

export interface DecodedAttributes {
  /** Null when the action is `withdraw`. */
  readonly attributes: PathAttributes | null;
  readonly mpReach: MpReach | null;
  readonly mpUnreach: MpUnreach | null;
  readonly action: "none" | "discard" | "withdraw";
  readonly errors: readonly WireError[];
}

/** Faults described one by one in a message; what comes after still counts for the action. */
const MAX_ERRORS = 16;
const KIND_BITS = AttributeFlag.OPTIONAL | AttributeFlag.TRANSITIVE;

const noErrors: WireError[] = [];
/** By type code, the last attribute list that had it: cheaper than a set for each list. */
const seenIn = new Float64Array(256);
let lists = 0;
const nextList = () => ++lists;

/**
 * Decodes buffer[start, end). `hasIpv4Nlri`: the UPDATE announces prefixes outside MP_REACH_NLRI, so NEXT_HOP has to be
 * there and is theirs; without, a malformed NEXT_HOP is ignored (RFC 4760 §3). Throws WireError with action `reset`,
 * nothing else.
 */
export function decodeAttributes(
  buffer: Uint8Array,
  start: number,
  end: number,
  context: WireContext,
  hasIpv4Nlri: boolean,
): DecodedAttributes {
  return new AttributeDecoder(buffer, context, hasIpv4Nlri).decode(start, end);
}

class AttributeDecoder {
  readonly #buffer: Uint8Array;
  readonly #context: WireContext;
  readonly #hasIpv4Nlri: boolean;
  readonly #value: Reader;
  readonly #draft: Draft = newDraft();
  readonly #seen = nextList();
  /** Different attributes in the list. */
  #kinds = 0;
  #unknown: UnknownAttribute[] | null = null;
  #partial: number[] | null = null;
  #errors: WireError[] = noErrors;
  #mpReach: MpReach | null = null;
  #mpUnreach: MpUnreach | null = null;
  #action: "none" | "discard" | "withdraw" = "none";
  /** The first fault that called for `withdraw`. */
  #withdrawal: WireError | null = null;
  #overran = false;

  constructor(buffer: Uint8Array, context: WireContext, hasIpv4Nlri: boolean) {
    this.#buffer = buffer;
    this.#value = new Reader(buffer);
    this.#context = context;
    this.#hasIpv4Nlri = hasIpv4Nlri;
  }

  decode(start: number, end: number): DecodedAttributes {
    let at = start;
    while (at < end) {
      const next = this.#attribute(at, end);
      if (next === null) break;
      at = next;
    }
    this.#checkMandatory();
    this.#checkReachable();
    this.#mergeFourOctet();
    const withdraw = this.#action === "withdraw";
    return {
      attributes: withdraw ? null : this.#finish(),
      mpReach: this.#mpReach,
      mpUnreach: this.#mpUnreach,
      action: this.#action,
      errors: this.#errors,
    };
  }

  /** Reads the attribute at `at`; returns where the next one starts, null when there is no telling. */
  #attribute(at: number, end: number): number | null {
    const buffer = this.#buffer;
    const flags = buffer[at];
    const headerLength = (flags & AttributeFlag.EXTENDED_LENGTH) !== 0 ? 4 : 3;
    if (at + headerLength > end) return this.#overrun(at, end, "the attribute list ends within an attribute's header");
    const code = buffer[at + 1];
    const length = headerLength === 4 ? (buffer[at + 2] << 8) | buffer[at + 3] : buffer[at + 2];
    const valueStart = at + headerLength;
    const valueEnd = valueStart + length;
    if (valueEnd > end)
      return this.#overrun(at, end, `attribute ${code} of ${length} bytes reaches past the end of the list`);

    if (seenIn[code] === this.#seen) this.#repeated(code);
    else {
      seenIn[code] = this.#seen;
      this.#kinds++;
      this.#read(code, flags, at, valueStart, valueEnd);
    }
    return valueEnd;
  }

  #read(code: number, flags: number, at: number, start: number, end: number): void {
    if (code === AttributeCode.MP_REACH_NLRI || code === AttributeCode.MP_UNREACH_NLRI) {
      this.#multiprotocol(code, flags, at, start, end);
      return;
    }
    const codec = codecByType[code];
    if (!codec) {
      this.#unrecognized(code, flags, at, start, end);
      return;
    }
    if (codec.internalOnly && this.#context.ebgp) {
      this.#note("discard", `${codec.name} from another AS is ignored`, UpdateSubcode.OPTIONAL_ATTRIBUTE_ERROR, code);
      return;
    }
    if ((code === AttributeCode.AS4_PATH || code === AttributeCode.AS4_AGGREGATOR) && this.#context.as4) {
      this.#note(
        "discard",
        `${codec.name} from a 4-octet AS neighbour is ignored`,
        UpdateSubcode.OPTIONAL_ATTRIBUTE_ERROR,
        code,
      );
      return;
    }
    if ((flags & KIND_BITS) !== codec.flags) {
      this.#flagsError(codec.name, code, flags, at, end);
      return;
    }
    this.#value.moveTo(start, end);
    const reason = codec.decode(this.#value, this.#draft, this.#context);
    if (reason !== null) {
      // RFC 4760 §3: next to MP_REACH_NLRI alone it means nothing, and some speakers fill it with zeros.
      if (code !== AttributeCode.NEXT_HOP || this.#hasIpv4Nlri) this.#malformed(codec, reason, at, end);
      return;
    }
    if (codec.flags === OPTIONAL_TRANSITIVE && (flags & AttributeFlag.PARTIAL) !== 0) {
      this.#partial ??= [];
      this.#partial.push(code);
    }
  }

  #multiprotocol(code: number, flags: number, at: number, start: number, end: number): void {
    const isReach = code === AttributeCode.MP_REACH_NLRI;
    if ((flags & KIND_BITS) !== AttributeFlag.OPTIONAL) {
      this.#flagsError(isReach ? "MP_REACH_NLRI" : "MP_UNREACH_NLRI", code, flags, at, end);
    }
    if (!isReach) {
      this.#mpUnreach = decodeMpUnreach(this.#buffer, start, end, this.#context);
      return;
    }
    const { reach, unusable } = decodeMpReach(this.#buffer, start, end, this.#context);
    this.#mpReach = reach;
    if (unusable) this.#note("withdraw", `MP_REACH_NLRI: ${unusable}`, UpdateSubcode.OPTIONAL_ATTRIBUTE_ERROR, code);
  }

  /** RFC 4271 §5 and §6.3: well-known is an error, transitive is kept, anything else is quietly ignored. */
  #unrecognized(code: number, flags: number, at: number, start: number, end: number): void {
    if ((flags & AttributeFlag.OPTIONAL) === 0) {
      throw new WireError(
        `unrecognized well-known attribute ${code}`,
        ErrorCode.UPDATE_MESSAGE_ERROR,
        UpdateSubcode.UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE,
        { attribute: code, data: this.#buffer.slice(at, end) },
      );
    }
    if ((flags & AttributeFlag.TRANSITIVE) === 0) return;
    this.#unknown ??= [];
    this.#unknown.push({ flags: flags & ~AttributeFlag.EXTENDED_LENGTH, code, value: this.#buffer.slice(start, end) });
  }

  #repeated(code: number): void {
    if (code === AttributeCode.MP_REACH_NLRI || code === AttributeCode.MP_UNREACH_NLRI) {
      throw new WireError(
        `attribute ${code} appears twice`,
        ErrorCode.UPDATE_MESSAGE_ERROR,
        UpdateSubcode.MALFORMED_ATTRIBUTE_LIST,
        { attribute: code },
      );
    }
    this.#note("discard", `attribute ${code} appears more than once`, UpdateSubcode.MALFORMED_ATTRIBUTE_LIST, code);
  }

  /** RFC 7606 §4: the rest of the list is lost. */
  #overrun(at: number, end: number, text: string): null {
    this.#overran = true;
    this.#note("withdraw", text, UpdateSubcode.ATTRIBUTE_LENGTH_ERROR, null, this.#buffer.slice(at, end));
    return null;
  }

  #malformed(codec: AttributeCodec, reason: string, at: number, end: number): void {
    const subcode =
      codec.code === AttributeCode.ORIGIN
        ? UpdateSubcode.INVALID_ORIGIN_ATTRIBUTE
        : codec.code === AttributeCode.AS_PATH
          ? UpdateSubcode.MALFORMED_AS_PATH
          : codec.code === AttributeCode.NEXT_HOP
            ? UpdateSubcode.INVALID_NEXT_HOP_ATTRIBUTE
            : UpdateSubcode.OPTIONAL_ATTRIBUTE_ERROR;
    this.#note(codec.malformed, `${codec.name}: ${reason}`, subcode, codec.code, this.#buffer.slice(at, end));
  }

  #flagsError(name: string, code: number, flags: number, at: number, end: number): void {
    const text = `${name} with flags 0x${flags.toString(16).padStart(2, "0")}`;
    this.#note("withdraw", text, UpdateSubcode.ATTRIBUTE_FLAGS_ERROR, code, this.#buffer.slice(at, end));
  }

  #note(
    action: "discard" | "withdraw",
    text: string,
    subcode: number,
    attribute: number | null,
    data?: Uint8Array,
  ): void {
    const options = { action, data, attribute: attribute ?? undefined };
    if (this.#errors.length < MAX_ERRORS || (action === "withdraw" && this.#withdrawal === null)) {
      const error = new WireError(text, ErrorCode.UPDATE_MESSAGE_ERROR, subcode, options);
      if (this.#errors === noErrors) this.#errors = [];
      this.#errors.push(error);
      if (action === "withdraw") this.#withdrawal ??= error;
    }
    if (this.#action === "none" || WireAction[action] > WireAction[this.#action]) this.#action = action;
  }

  get #announces(): boolean {
    return this.#hasIpv4Nlri || (this.#mpReach !== null && this.#mpReach.nlriEnd > this.#mpReach.nlriStart);
  }

  #checkMandatory(): void {
    if (!this.#announces) return;
    this.#require(AttributeCode.ORIGIN, "ORIGIN");
    this.#require(AttributeCode.AS_PATH, "AS_PATH");
    if (this.#hasIpv4Nlri) this.#require(AttributeCode.NEXT_HOP, "NEXT_HOP");
  }

  #require(code: number, name: string): void {
    if (seenIn[code] === this.#seen) return;
    const subcode = UpdateSubcode.MISSING_WELL_KNOWN_ATTRIBUTE;
    this.#note("withdraw", `${name} is missing`, subcode, code, Uint8Array.of(code));
  }

  /** RFC 7606 §5.2. A list with MP_UNREACH_NLRI alone is sound whatever its flags are. */
  #checkReachable(): void {
    const fault = this.#withdrawal;
    if (fault === null || this.#announces) return;
    const onlyUnreach = this.#mpUnreach !== null && this.#kinds === 1 && !this.#overran;
    if (onlyUnreach) return;
    throw new WireError(`${fault.message}; no reachable routes`, fault.code, fault.subcode, {
      data: fault.data,
      attribute: fault.attribute ?? undefined,
    });
  }

  /** RFC 6793 §4.2.3. */
  #mergeFourOctet(): void {
    const draft = this.#draft;
    const { aggregator, as4Aggregator, as4Path } = draft;
    // An aggregator without need of four octets: both AS4 attributes are left over from before the aggregation.
    if (aggregator && as4Aggregator && aggregator.asn !== AS_TRANS) return;
    if (aggregator && as4Aggregator) draft.aggregator = as4Aggregator;
    if (as4Path) draft.asPath = mergeAs4Path(draft.asPath, as4Path);
  }

  #finish(): PathAttributes {
    const draft = this.#draft;
    const reach = this.#mpReach?.family && !this.#hasIpv4Nlri ? this.#mpReach : null;
    const attributes: PathAttributes = {
      origin: draft.origin,
      asPath: draft.asPath,
      nextHop: reach ? reach.nextHop : draft.nextHop,
      linkLocalNextHop: reach ? reach.linkLocalNextHop : null,
      med: draft.med,
      localPref: draft.localPref,
      atomicAggregate: draft.atomicAggregate,
      aggregator: draft.aggregator,
      communities: draft.communities,
      extendedCommunities: draft.extendedCommunities,
      largeCommunities: draft.largeCommunities,
      originatorId: draft.originatorId,
      clusterList: draft.clusterList,
      otc: draft.otc,
      unknown: this.#unknown ?? draft.unknown,
    };
    return this.#partial ? { ...attributes, partial: this.#partial } : attributes;
  }
}
