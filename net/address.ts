// IP addresses: text <-> bytes in network order. Text is canonical (dotted quad, RFC 5952).
import ipaddr from "ipaddr.js";

export type Family = 4 | 6;

/** Bytes (4 or 16, network order) of a strictly written address without zone, or null. */
export function parseAddress(text: string): Uint8Array | null {
  if (!text.includes(":")) return parseDottedQuad(text);
  if (!text.includes("%") && ipaddr.IPv6.isValid(text)) return Uint8Array.from(ipaddr.IPv6.parse(text).toByteArray());
  return null;
}

/** Four decimal numbers without leading zeros. By hand: the library takes ten times as long, and pods come in hundreds. */
function parseDottedQuad(text: string): Uint8Array | null {
  const bytes = new Uint8Array(4);
  let at = 0;
  for (let i = 0; i < 4; i++) {
    const start = at;
    let value = 0;
    while (at < text.length && text[at] >= "0" && text[at] <= "9") value = value * 10 + Number(text[at++]);
    const digits = at - start;
    if (digits === 0 || digits > 3 || value > 255 || (digits > 1 && text[start] === "0")) return null;
    bytes[i] = value;
    if (i < 3 && text[at++] !== ".") return null;
  }
  return at === text.length ? bytes : null;
}

/** An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) as the IPv4 address that it stands for. */
export function unmapped(bytes: Uint8Array): Uint8Array {
  const mapped = bytes.length === 16 && bytes.every((byte, i) => i >= 12 || byte === (i < 10 ? 0 : 255));
  return mapped ? bytes.subarray(12) : bytes;
}

/** Canonical text of 4 or 16 bytes. */
export function formatAddress(bytes: ArrayLike<number>): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  return new ipaddr.IPv6(Array.from(bytes)).toRFC5952String();
}

/** With the interface of a link-local IPv6 address: `fe80::1%eth1` (RFC 4007 §11). */
export function formatScoped(bytes: Uint8Array, device: string | null): string {
  const text = formatAddress(bytes);
  return device !== null && bytes.length === 16 && isLinkLocal(bytes) ? `${text}%${device}` : text;
}

export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** An unsigned 32-bit number in host order, or null. */
export function parseIpv4(text: string): number | null {
  const bytes = parseAddress(text);
  return bytes?.length === 4 ? ((bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3]) >>> 0 : null;
}

export function isLinkLocal(bytes: Uint8Array): boolean {
  return bytes.length === 16 ? bytes[0] === 0xfe && (bytes[1] & 0xc0) === 0x80 : bytes[0] === 169 && bytes[1] === 254;
}

/** fe80::/10 alone, RFC 4291 §2.5.6. */
export function isLinkLocal6(bytes: Uint8Array): boolean {
  return bytes.length === 16 && isLinkLocal(bytes);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
