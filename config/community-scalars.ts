// Communities of the three kinds, and patterns of them: `65001:100`, `65001:*`, `65001:100-199`; `65101:1:1`;
// `rt:65001:1`, `ro:10.0.0.1:1`, `bandwidth:65001:12500000`, `0x0002fde900000001`. In a list, a word is the name of a set.
import type {
  CommunityPart,
  CommunityPattern,
  ExtendedCommunity,
  ExtendedCommunityPattern,
  LargeCommunity,
  LargeCommunityPattern,
} from "../bgp/policy/types.ts";
import { parseIpv4 } from "../net/address.ts";
import { quote, Refusal, type Scalar } from "./scalar.ts";
import { MAX_U32 } from "./scalars.ts";

/** RFC 1997, RFC 7999, RFC 8326, RFC 3765, RFC 9494. */
export const wellKnownCommunities: Readonly<Record<string, number>> = {
  "graceful-shutdown": 0xffff0000,
  "accept-own": 0xffff0001,
  "llgr-stale": 0xffff0006,
  "no-llgr": 0xffff0007,
  blackhole: 0xffff029a,
  "no-export": 0xffffff01,
  "no-advertise": 0xffffff02,
  "no-export-subconfed": 0xffffff03,
  "local-as": 0xffffff03,
  "no-peer": 0xffffff04,
};

/** The name of a set, in place of a value. */
export class Reference {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** Begins with a letter, so that no value of any list looks like it. */
export const SET_NAME = /^[A-Za-z][A-Za-z0-9._-]{0,62}$/;

export function orReference<T>(scalar: Scalar<T>): Scalar<T | Reference> {
  const title = `${scalar.json.title}, or name of a set`;
  const anyOf = [scalar.json, { type: "string", pattern: SET_NAME.source }];
  return {
    json: { title, anyOf },
    parse(value) {
      const parsed = scalar.parse(value);
      const isName = parsed instanceof Refusal && typeof value === "string" && SET_NAME.test(value);
      return isName ? new Reference(value) : parsed;
    },
  };
}

/** `*`, `100`, `100-199`; null: none of them. */
function part(text: string, maximum: number): { readonly part: CommunityPart } | null {
  if (text === "*") return { part: null };
  const match = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(text);
  if (!match) return null;
  const ge = Number(match[1]);
  const le = match[2] === undefined ? ge : Number(match[2]);
  if (ge > le || le > maximum) return null;
  return { part: ge === le ? ge : { ge, le } };
}

function parts(value: unknown, count: number, maximum: number): CommunityPart[] | null {
  if (typeof value !== "string") return null;
  const fields = value.split(":");
  if (fields.length !== count) return null;
  const found = fields.map((field) => part(field, maximum));
  return found.every((entry) => entry !== null) ? found.map((entry) => entry.part) : null;
}

const isExact = (pattern: readonly CommunityPart[]): boolean => pattern.every((entry) => typeof entry === "number");

const patternsOnly = "* and ranges are for match and remove only";

const standardHint = `write 65001:100, two numbers up to 65535, or ${Object.keys(wellKnownCommunities).join(", ")}`;
const largeHint = "write 65101:1:1, three numbers up to 4294967295";
const extendedHint =
  "write rt:65001:100, ro:10.0.0.1:100, bandwidth:65001:12500000 (octets per second), or 0x and 16 hexadecimal digits";
const wildcardHint = "; * stands for a whole part, 100-199 for a range";

export const communityPattern: Scalar<CommunityPattern> = {
  json: { title: "community, `*` and ranges for parts", type: "string" },
  parse(value) {
    if (typeof value === "string" && Object.hasOwn(wellKnownCommunities, value))
      return [wellKnownCommunities[value] >>> 16, wellKnownCommunities[value] & 0xffff];
    const found = parts(value, 2, 65535);
    return found
      ? [found[0], found[1]]
      : new Refusal(`${quote(value)} is not a community`, `${standardHint}${wildcardHint}`);
  },
};

export const community: Scalar<number> = {
  json: { title: "community", type: "string" },
  parse(value) {
    const pattern = communityPattern.parse(value);
    if (pattern instanceof Refusal) return new Refusal(pattern.message, standardHint);
    const [high, low] = pattern;
    if (typeof high === "number" && typeof low === "number") return ((high << 16) | low) >>> 0;
    return new Refusal(`${quote(value)} is not a community`, patternsOnly);
  },
};

export const largeCommunityPattern: Scalar<LargeCommunityPattern> = {
  json: { title: "large community, `*` and ranges for parts", type: "string" },
  parse(value) {
    const found = parts(value, 3, MAX_U32);
    return found
      ? [found[0], found[1], found[2]]
      : new Refusal(`${quote(value)} is not a large community`, `${largeHint}${wildcardHint}`);
  },
};

export const largeCommunity: Scalar<LargeCommunity> = {
  json: { title: "large community", type: "string", pattern: "^[0-9]+:[0-9]+:[0-9]+$" },
  parse(value) {
    const pattern = largeCommunityPattern.parse(value);
    if (pattern instanceof Refusal) return new Refusal(pattern.message, largeHint);
    if (isExact(pattern)) return pattern as unknown as LargeCommunity;
    return new Refusal(`${quote(value)} is not a large community`, patternsOnly);
  },
};

/** The numbers of bgp/policy/extended-community.ts, which a test holds these to. */
export const subtypes: Readonly<Record<string, number>> = { rt: 2, ro: 3, soo: 3, bandwidth: 4, lb: 4 };
const Form = { AS2: 0, AS4: 1, IPV4: 2 } as const;
const RAW = 256;
const LINK_BANDWIDTH = subtypes["bandwidth"];

export const extendedCommunityPattern: Scalar<ExtendedCommunityPattern> = {
  json: { title: "extended community, `*` and ranges for parts", type: "string" },
  parse(value) {
    return (
      readExtended(value) ??
      new Refusal(`${quote(value)} is not an extended community`, `${extendedHint}${wildcardHint}`)
    );
  },
};

function readExtended(value: unknown): ExtendedCommunityPattern | null {
  if (typeof value !== "string") return null;
  const raw = /^0x([0-9a-f]{8})([0-9a-f]{8})$/i.exec(value);
  if (raw) return [RAW, 0, Number.parseInt(raw[1], 16), Number.parseInt(raw[2], 16)];
  const [word, owner, number, ...rest] = value.split(":");
  if (number === undefined || rest.length > 0 || !Object.hasOwn(subtypes, word)) return null;
  const subtype = subtypes[word];
  const form = readOwner(owner);
  if (!form || (subtype === LINK_BANDWIDTH && form.form === Form.IPV4)) return null;
  const wide = form.form === Form.AS2 || typeof form.form !== "number";
  const local = subtype === LINK_BANDWIDTH ? bandwidth(number) : part(number, wide ? MAX_U32 : 65535);
  return local && [subtype, form.form, form.part, local.part];
}

/** Octets per second, as precise as they travel. */
function bandwidth(text: string): { readonly part: CommunityPart } | null {
  if (/^\d{1,39}(\.\d{1,39})?$/.test(text)) return { part: Math.fround(Number(text)) };
  return part(text, MAX_U32);
}

/** `65001`, `65001L` (in four octets), `4200000001`, `10.0.0.1`, `*`, `65000-65010`. */
function readOwner(text: string): { readonly form: CommunityPart; readonly part: CommunityPart } | null {
  const address = text.includes(".") ? parseIpv4(text) : null;
  if (address !== null) return { form: Form.IPV4, part: address };
  if (text === "*") return { form: null, part: null };
  const long = /^(\d{1,10})L$/i.exec(text);
  const found = part(long ? long[1] : text, MAX_U32);
  if (!found || found.part === null) return null;
  if (typeof found.part !== "number") return { form: { ge: Form.AS2, le: Form.AS4 }, part: found.part };
  return { form: long || found.part > 0xffff ? Form.AS4 : Form.AS2, part: found.part };
}

export const extendedCommunity: Scalar<ExtendedCommunity> = {
  json: { title: "extended community", type: "string" },
  parse(value) {
    const pattern = readExtended(value);
    const said = `${quote(value)} is not an extended community`;
    if (!pattern) return new Refusal(said, extendedHint);
    if (!isExact(pattern)) return new Refusal(said, patternsOnly);
    const [subtype, form, global, local] = pattern as readonly number[];
    if (subtype === RAW) return [global, local];
    if (subtype === LINK_BANDWIDTH)
      return form === Form.AS2
        ? [0x4004_0000 + global, floatBits(local)]
        : new Refusal(said, "link bandwidth has room for an AS number up to 65535");
    const type = { [Form.AS2]: 0, [Form.AS4]: 2, [Form.IPV4]: 1 }[form as 0 | 1 | 2];
    const high = ((type << 24) | (subtype << 16)) >>> 0;
    if (form === Form.AS2) return [high + global, local];
    return [high + (global >>> 16), (((global & 0xffff) << 16) | local) >>> 0];
  },
};

function floatBits(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return view.getUint32(0);
}

export type AnyCommunity =
  | { readonly kind: "community"; readonly value: number }
  | { readonly kind: "extendedCommunity"; readonly value: ExtendedCommunity }
  | { readonly kind: "largeCommunity"; readonly value: LargeCommunity };
export type AnyCommunityPattern =
  | { readonly kind: "community"; readonly value: CommunityPattern }
  | { readonly kind: "extendedCommunity"; readonly value: ExtendedCommunityPattern }
  | { readonly kind: "largeCommunity"; readonly value: LargeCommunityPattern };

/** Which kind somebody means: by the number of parts, or the word before them. */
function kindOf(value: unknown): "community" | "extendedCommunity" | "largeCommunity" | null {
  if (typeof value !== "string") return null;
  if (/^(0x|[a-z]+:)/i.test(value)) return "extendedCommunity";
  const { length } = value.split(":");
  return length === 3 ? "largeCommunity" : "community";
}

const anyHint = "write 65001:100, a name like no-export, 65101:1:1 (large), or rt:65001:100 (extended)";

/** A community of any kind. */
export const anyCommunity: Scalar<AnyCommunity> = {
  json: { title: "community of any kind", type: "string" },
  parse: (value) => ofKind(value, { community, extendedCommunity, largeCommunity }) as AnyCommunity | Refusal,
};

export const anyCommunityPattern: Scalar<AnyCommunityPattern> = {
  json: { title: "community of any kind, `*` and ranges for parts", type: "string" },
  parse: (value) =>
    ofKind(value, {
      community: communityPattern,
      extendedCommunity: extendedCommunityPattern,
      largeCommunity: largeCommunityPattern,
    }) as AnyCommunityPattern | Refusal,
};

function ofKind(value: unknown, scalars: Readonly<Record<AnyCommunity["kind"], Scalar<unknown>>>) {
  const kind = kindOf(value);
  if (kind === null) return new Refusal(`${quote(value)} is not a community`, anyHint);
  const parsed = scalars[kind].parse(value);
  return parsed instanceof Refusal ? parsed : { kind, value: parsed };
}
