// The scalars of node, pools, tables, peers and the daemon itself: addresses, blocks, AS numbers, durations, names.
import { isAbsolute } from "node:path";
import { formatAddress, parseAddress, parseIpv4 } from "../net/address.ts";
import { formatPrefix, maskBytes, type Prefix, parsePrefix } from "../net/prefix.ts";
import { quote, Refusal, type Scalar, text } from "./scalar.ts";

const AS_TRANS = 23456;
export const MAX_U32 = 0xffffffff;

/** RFC 6793, RFC 7607 (0), asplain only. */
export const asn: Scalar<number> = {
  json: { title: "AS number", type: "integer", minimum: 1, maximum: MAX_U32 },
  parse(value) {
    if (typeof value !== "number" || !Number.isInteger(value)) {
      const dotted = typeof value === "string" && /^(\d{1,5})\.(\d{1,5})$/.exec(value);
      const plain = dotted
        ? Number(dotted[1]) * 65536 + Number(dotted[2])
        : typeof value === "string"
          ? Number(value)
          : 0;
      const usable = Number.isInteger(plain) && plain > 0 && plain <= MAX_U32;
      return new Refusal(
        `${quote(value)} is not an AS number`,
        usable ? `write it as a plain number: ${plain}` : `write a number from 1 to ${MAX_U32}`,
      );
    }
    if (value < 1 || value > MAX_U32)
      return new Refusal(`${value} is not an AS number`, `AS numbers go from 1 to ${MAX_U32}`);
    if (value === AS_TRANS) return new Refusal(`${AS_TRANS} is AS_TRANS, which no router has as its own (RFC 6793)`);
    return value;
  },
};

export const routerId: Scalar<number> = {
  json: { title: "router id", type: "string", format: "ipv4" },
  parse(value) {
    const parsed = typeof value === "string" ? parseIpv4(value) : null;
    if (parsed === null)
      return new Refusal(`${quote(value)} is not a router id`, "write it like an IPv4 address: 10.0.0.11");
    if (parsed === 0)
      return new Refusal("0.0.0.0 cannot be a router id (RFC 6286)", "an IPv4 address of the node is usual");
    return parsed;
  },
};

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)/i;

/** An address without a zone, 4 or 16 bytes. */
export const address: Scalar<Uint8Array> = {
  json: { title: "IP address", type: "string" },
  parse(value) {
    const said = `${quote(value)} is not an IP address`;
    if (typeof value !== "string") return new Refusal(said, 'write IPv6 addresses in quotes: "2001:db8::1"');
    const zone = /^([^%]+)%(.+)$/.exec(value);
    if (zone) return new Refusal(said, `write ${zone[1]} here, and interface: ${zone[2]} beside it`);
    const mapped = MAPPED.exec(value);
    if (mapped) return new Refusal(`${quote(value)} is an IPv4 address in IPv6 notation`, `write ${mapped[1]}`);
    const slash = value.indexOf("/");
    if (slash > 0 && parseAddress(value.slice(0, slash)))
      return new Refusal(said, `write it without the prefix length: ${value.slice(0, slash)}`);
    return parseAddress(value) ?? new Refusal(said);
  },
};

/** An address that a router can have: not unspecified, multicast or broadcast. */
export const unicastAddress: Scalar<Uint8Array> = {
  json: address.json,
  parse(value) {
    const parsed = address.parse(value);
    if (parsed instanceof Refusal || isUnicast(parsed)) return parsed;
    return new Refusal(`${quote(value)} is not an address that a router can have`);
  },
};

function isUnicast(bytes: Uint8Array): boolean {
  if (bytes.every((byte) => byte === 0)) return false;
  return bytes.length === 4 ? bytes[0] !== 0 && bytes[0] < 224 : bytes[0] !== 0xff;
}

/** `address/length` without host bits. */
export const prefix: Scalar<Prefix> = {
  json: { title: "prefix", type: "string", pattern: "^[0-9A-Fa-f:.]+/[0-9]{1,3}$" },
  parse: (value) => readPrefix(value, "a prefix"),
};

export function readPrefix(value: unknown, what: string): Prefix | Refusal {
  const said = `${quote(value)} is not ${what}`;
  if (typeof value !== "string") return new Refusal(said, 'write address/length: 10.244.1.0/26, "2001:db8::/64"');
  const mapped = MAPPED.exec(value);
  if (mapped)
    return new Refusal(`${quote(value)} is an IPv4 prefix in IPv6 notation`, "write it as IPv4: 10.244.1.0/26");
  const parsed = parsePrefix(value);
  if (typeof parsed === "object") return parsed;
  const [head, tail] = [value.slice(0, value.indexOf("/")), value.slice(value.indexOf("/") + 1)];
  const bytes = parseAddress(head);
  if (parsed === "hostBits" && bytes) {
    const length = Number(tail);
    const masked = { family: bytes.length === 4 ? 4 : 6, bytes: maskBytes(bytes, length), length } as const;
    return new Refusal(`${quote(value)} has bits set after the prefix length`, `the prefix is ${formatPrefix(masked)}`);
  }
  if (parsed === "length" && bytes)
    return new Refusal(said, `the length of an IPv${bytes.length === 4 ? 4 : 6} prefix is at most ${bytes.length * 8}`);
  const netmask = bytes?.length === 4 ? maskLength(tail) : null;
  if (netmask !== null) return new Refusal(said, `write ${head}/${netmask}`);
  const alone = parseAddress(value);
  if (alone) return new Refusal(said, `the length is missing: ${value}/${alone.length * 8} is this address alone`);
  return new Refusal(said, 'write address/length: 10.244.1.0/26, "2001:db8::/64"');
}

/** 26 for 255.255.255.192, null for anything that is not a netmask. */
function maskLength(netmask: string): number | null {
  const mask = parseIpv4(netmask);
  if (mask === null) return null;
  const length = Math.clz32(~mask);
  return mask === (length === 0 ? 0 : (-1 << (32 - length)) >>> 0) ? length : null;
}

/** A prefix that pods can have addresses from. */
export const block: Scalar<Prefix> = {
  json: { ...prefix.json, title: "block" },
  parse(value) {
    const parsed = readPrefix(value, "a block");
    if (parsed instanceof Refusal) return parsed;
    const [first, second] = parsed.bytes;
    const wrong =
      parsed.length === 0
        ? "the whole address space"
        : parsed.family === 4
          ? { 0: "not routable", 127: "loopback" }[first] ||
            (first >= 224 ? "multicast or reserved" : first === 169 && second === 254 ? "link-local" : null)
          : first === 0xff
            ? "multicast"
            : first === 0xfe && (second & 0xc0) === 0x80
              ? "link-local"
              : first === 0
                ? "not routable"
                : null;
    return wrong ? new Refusal(`${quote(value)} is ${wrong}`, "pods need addresses that the fabric can route") : parsed;
  },
};

/** Addresses that no pod gets: one, a range, or a prefix; bounds included. */
export interface Exclusion {
  readonly text: string;
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

export const exclusion: Scalar<Exclusion> = {
  json: { title: "address, range or prefix", type: "string" },
  parse(value) {
    const said = `${quote(value)} is not an address, a range or a prefix`;
    const hint = "write 10.244.1.1, 10.244.1.1-10.244.1.9 or 10.244.1.0/30";
    if (typeof value !== "string") return new Refusal(said, hint);
    if (value.includes("/")) {
      const parsed = readPrefix(value, "a prefix");
      if (parsed instanceof Refusal) return parsed;
      const to = parsed.bytes.map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, parsed.length - i * 8))));
      return { text: formatPrefix(parsed), from: parsed.bytes, to };
    }
    const [from, to] = value.split("-", 2).map((part) => parseAddress(part.trim()));
    if (!from || to === null || value.split("-").length > 2) return new Refusal(said, hint);
    if (to === undefined) return { text: formatAddress(from), from, to: from };
    if (from.length !== to.length) return new Refusal(`${quote(value)} mixes IPv4 and IPv6`, hint);
    if (Buffer.compare(from, to) > 0)
      return new Refusal(`${quote(value)} ends before it begins`, `write ${formatAddress(to)}-${formatAddress(from)}`);
    return { text: `${formatAddress(from)}-${formatAddress(to)}`, from, to };
  },
};

export const name = text("name", /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "letters, digits, -, _ and . only, 63 at most");

export const namespacePattern = text(
  "namespace, or pattern with `*`",
  /^[a-z0-9*]([a-z0-9*-]{0,61}[a-z0-9*])?$/,
  "lower case letters, digits and -, 63 at most, and * for anything",
);

export const interfaceName = text(
  "interface name",
  /^(?!\.{1,2}$)[^\s/:]{1,15}$/u,
  "as `ip link` shows it: 15 characters at most, no spaces",
);

export const nodeName = text("node name", /^[\x21-\x7e]{1,253}$/, "no spaces, 253 characters at most");

export const absolutePath: Scalar<string> = {
  json: { title: "absolute path", type: "string", pattern: "^/" },
  parse: (value) =>
    typeof value === "string" && isAbsolute(value) && !value.includes("\0")
      ? value
      : new Refusal(`${quote(value)} is not an absolute path`, "it begins with /"),
};

export const path: Scalar<string> = {
  json: { title: "path", type: "string", minLength: 1 },
  parse: (value) =>
    typeof value === "string" && value !== "" && !value.includes("\0")
      ? value
      : new Refusal(`${quote(value)} is not a path`),
};

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:7180`, `[::1]:7180` or `false`. Only loopback: whoever can reach it may read everything. */
export const loopbackListener: Scalar<HostPort | null> = {
  json: { title: "address:port or `false`", anyOf: [{ type: "string" }, { const: false }] },
  parse(value) {
    if (value === false) return null;
    const hint = 'write 127.0.0.1:7180, "[::1]:7180" or false';
    const match = typeof value === "string" && /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(value);
    const bytes = match && parseAddress(match[1] ?? match[2]);
    const port = match ? Number(match[3]) : 0;
    if (!bytes || port < 1 || port > 65535) return new Refusal(`${quote(value)} is not an address and a port`, hint);
    const loopback = bytes.length === 4 ? bytes[0] === 127 : bytes.every((byte, i) => byte === (i === 15 ? 1 : 0));
    if (!loopback)
      return new Refusal(`${quote(value)} is not a loopback address, and this listener asks for no password`, hint);
    return { host: formatAddress(bytes), port };
  },
};

/** A port, or `false` for none. */
export const portOrFalse: Scalar<number | null> = {
  json: { title: "port or `false`", anyOf: [{ type: "integer", minimum: 1, maximum: 65535 }, { const: false }] },
  parse(value) {
    if (value === false) return null;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65535) return value;
    return new Refusal(`${quote(value)} is not a port`, "write a number from 1 to 65535, or false");
  },
};

/** `http://host:port` or `https://host:port`, nothing more. */
export const etcdEndpoint: Scalar<string> = {
  json: { title: "etcd URL", type: "string", pattern: "^https?://" },
  parse(value) {
    const hint = "write https://10.0.0.5:2379";
    if (typeof value !== "string" || !/^https?:\/\//.test(value) || !URL.canParse(value)) {
      const bare = typeof value === "string" && URL.canParse(`https://${value}`);
      return new Refusal(
        `${quote(value)} is not the URL of an etcd member`,
        bare ? `write https://${value} (or http:// when it has no TLS)` : hint,
      );
    }
    const url = new URL(value);
    if (url.username || url.password)
      return new Refusal("a URL with a password would be shown in logs", "use username and password: { file: ... }");
    if (url.pathname !== "/" || url.search || url.hash)
      return new Refusal(`${quote(value)} has something after the port`, hint);
    return `${url.protocol}//${url.hostname}:${url.port || (url.protocol === "https:" ? 443 : 80)}`;
  },
};
