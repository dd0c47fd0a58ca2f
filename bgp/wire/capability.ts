// Capabilities of an OPEN (RFC 5492): code, length, value. Those we speak are decoded, others kept as they came.
import type { Reader } from "./reader.ts";
import { Afi, CapabilityCode, roleNames, Safi } from "./registry.ts";
import type { Writer } from "./writer.ts";

export type Capability =
  /** RFC 4760 §8. */
  | { readonly kind: "multiprotocol"; readonly afi: number; readonly safi: number }
  /** RFC 2918. */
  | { readonly kind: "routeRefresh" }
  /** RFC 6793. */
  | { readonly kind: "as4"; readonly asn: number }
  /** RFC 8950 §4. */
  | {
      readonly kind: "extendedNextHop";
      readonly entries: readonly { readonly afi: number; readonly safi: number; readonly nextHopAfi: number }[];
    }
  /** RFC 4724 §3; `notification` is the N bit of RFC 8538; time in seconds. */
  | {
      readonly kind: "gracefulRestart";
      readonly restarting: boolean;
      readonly notification: boolean;
      readonly time: number;
      readonly families: readonly { readonly afi: number; readonly safi: number; readonly forwarding: boolean }[];
    }
  /** RFC 8654. */
  | { readonly kind: "extendedMessage" }
  /** RFC 9234 §4.1; see Role in registry.ts, other numbers as they came. */
  | { readonly kind: "role"; readonly role: number }
  /** RFC 7911 §4. */
  | {
      readonly kind: "addPath";
      readonly entries: readonly {
        readonly afi: number;
        readonly safi: number;
        readonly receive: boolean;
        readonly send: boolean;
      }[];
    }
  /** RFC 7313 §3.1. */
  | { readonly kind: "enhancedRouteRefresh" }
  /** RFC 9494 §3.1; stale times in seconds. */
  | {
      readonly kind: "longLivedGracefulRestart";
      readonly families: readonly {
        readonly afi: number;
        readonly safi: number;
        readonly forwarding: boolean;
        readonly staleTime: number;
      }[];
    }
  /** draft-walton-bgp-hostname-capability: what operators call the neighbour. */
  | { readonly kind: "hostname"; readonly host: string; readonly domain: string }
  | { readonly kind: "unknown"; readonly code: number; readonly value: Uint8Array };

/** Bytes of a name that we send at most: host and domain fit into one capability. */
const LONGEST_NAME = 64;

/** One capability's value; null when its length is wrong for its code. */
export function decodeCapability(code: number, value: Reader): Capability | null {
  switch (code) {
    case CapabilityCode.MULTIPROTOCOL: {
      if (value.remaining !== 4) return null;
      const afi = value.u16();
      value.u8();
      return { kind: "multiprotocol", afi, safi: value.u8() };
    }
    case CapabilityCode.ROUTE_REFRESH:
      return value.remaining === 0 ? { kind: "routeRefresh" } : null;
    case CapabilityCode.AS4:
      return value.remaining === 4 ? { kind: "as4", asn: value.u32() } : null;
    case CapabilityCode.EXTENDED_NEXT_HOP: {
      if (value.remaining % 6 !== 0) return null;
      const entries = [];
      while (value.remaining > 0) entries.push({ afi: value.u16(), safi: value.u16(), nextHopAfi: value.u16() });
      return { kind: "extendedNextHop", entries };
    }
    case CapabilityCode.GRACEFUL_RESTART: {
      if (value.remaining < 2 || (value.remaining - 2) % 4 !== 0) return null;
      const first = value.u16();
      const families = [];
      while (value.remaining > 0) {
        families.push({ afi: value.u16(), safi: value.u8(), forwarding: (value.u8() & 0x80) !== 0 });
      }
      return {
        kind: "gracefulRestart",
        restarting: (first & 0x8000) !== 0,
        notification: (first & 0x4000) !== 0,
        time: first & 0x0fff,
        families,
      };
    }
    case CapabilityCode.EXTENDED_MESSAGE:
      return value.remaining === 0 ? { kind: "extendedMessage" } : null;
    case CapabilityCode.ROLE:
      return value.remaining === 1 ? { kind: "role", role: value.u8() } : null;
    case CapabilityCode.ADD_PATH:
      return decodeAddPath(value);
    case CapabilityCode.ENHANCED_ROUTE_REFRESH:
      return value.remaining === 0 ? { kind: "enhancedRouteRefresh" } : null;
    case CapabilityCode.LONG_LIVED_GRACEFUL_RESTART: {
      if (value.remaining % 7 !== 0) return null;
      const families = [];
      while (value.remaining > 0) {
        const afi = value.u16();
        const safi = value.u8();
        const forwarding = (value.u8() & 0x80) !== 0;
        families.push({ afi, safi, forwarding, staleTime: (value.u8() << 16) | value.u16() });
      }
      return { kind: "longLivedGracefulRestart", families };
    }
    case CapabilityCode.FQDN: {
      const host = value.bytes(value.u8());
      const domain = value.bytes(value.u8());
      if (value.overrun || value.remaining > 0) return null;
      return { kind: "hostname", host: text(host), domain: text(domain) };
    }
    default:
      return { kind: "unknown", code, value: value.bytes(value.remaining) };
  }
}

/** An entry whose send/receive field has no meaning is ignored (RFC 7911 §4). */
function decodeAddPath(value: Reader): Capability | null {
  if (value.remaining % 4 !== 0) return null;
  const entries = [];
  while (value.remaining > 0) {
    const afi = value.u16();
    const safi = value.u8();
    const mode = value.u8();
    if (mode >= 1 && mode <= 3) entries.push({ afi, safi, receive: (mode & 1) !== 0, send: (mode & 2) !== 0 });
  }
  return { kind: "addPath", entries };
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Code, length and value. */
export function encodeCapability(writer: Writer, capability: Capability): void {
  writer.u8(codeOf(capability));
  const lengthAt = writer.offset;
  writer.u8(0);
  switch (capability.kind) {
    case "multiprotocol":
      writer.u16(capability.afi);
      writer.u8(0);
      writer.u8(capability.safi);
      break;
    case "routeRefresh":
      break;
    case "as4":
      writer.u32(capability.asn);
      break;
    case "extendedNextHop":
      for (const { afi, safi, nextHopAfi } of capability.entries) {
        writer.u16(afi);
        writer.u16(safi);
        writer.u16(nextHopAfi);
      }
      break;
    case "gracefulRestart":
      writer.u16(
        (capability.restarting ? 0x8000 : 0) | (capability.notification ? 0x4000 : 0) | (capability.time & 0x0fff),
      );
      for (const { afi, safi, forwarding } of capability.families) {
        writer.u16(afi);
        writer.u8(safi);
        writer.u8(forwarding ? 0x80 : 0);
      }
      break;
    case "extendedMessage":
    case "enhancedRouteRefresh":
      break;
    case "role":
      writer.u8(capability.role);
      break;
    case "addPath":
      for (const { afi, safi, receive, send } of capability.entries) {
        writer.u16(afi);
        writer.u8(safi);
        writer.u8((receive ? 1 : 0) | (send ? 2 : 0));
      }
      break;
    case "longLivedGracefulRestart":
      for (const { afi, safi, forwarding, staleTime } of capability.families) {
        writer.u16(afi);
        writer.u8(safi);
        writer.u8(forwarding ? 0x80 : 0);
        writer.u8(staleTime >>> 16);
        writer.u16(staleTime & 0xffff);
      }
      break;
    case "hostname":
      for (const name of [capability.host, capability.domain]) {
        const bytes = new TextEncoder().encode(name).subarray(0, LONGEST_NAME);
        writer.u8(bytes.length);
        writer.bytes(bytes);
      }
      break;
    case "unknown":
      writer.bytes(capability.value);
      break;
  }
  writer.buffer[lengthAt] = writer.offset - lengthAt - 1;
}

const codes: Readonly<Record<Exclude<Capability["kind"], "unknown">, number>> = {
  multiprotocol: CapabilityCode.MULTIPROTOCOL,
  routeRefresh: CapabilityCode.ROUTE_REFRESH,
  extendedNextHop: CapabilityCode.EXTENDED_NEXT_HOP,
  extendedMessage: CapabilityCode.EXTENDED_MESSAGE,
  role: CapabilityCode.ROLE,
  gracefulRestart: CapabilityCode.GRACEFUL_RESTART,
  as4: CapabilityCode.AS4,
  addPath: CapabilityCode.ADD_PATH,
  enhancedRouteRefresh: CapabilityCode.ENHANCED_ROUTE_REFRESH,
  longLivedGracefulRestart: CapabilityCode.LONG_LIVED_GRACEFUL_RESTART,
  hostname: CapabilityCode.FQDN,
};

function codeOf(capability: Capability): number {
  return capability.kind === "unknown" ? capability.code : codes[capability.kind];
}

/** For status output: `ipv4 unicast`, `graceful restart 120 s (restarting)`, `capability 128`. */
export function describeCapability(capability: Capability): string {
  switch (capability.kind) {
    case "multiprotocol":
      return familyName(capability.afi, capability.safi);
    case "routeRefresh":
      return "route refresh";
    case "as4":
      return "4-octet AS";
    case "extendedNextHop":
      return "extended next hop";
    case "gracefulRestart":
      return `graceful restart ${capability.time} s${capability.notification ? ", past NOTIFICATIONs" : ""}${capability.restarting ? " (restarting)" : ""}`;
    case "extendedMessage":
      return "extended message";
    case "role":
      return `role ${roleNames[capability.role] ?? capability.role}`;
    case "addPath":
      return describeAddPath(capability.entries);
    case "enhancedRouteRefresh":
      return "enhanced route refresh";
    case "longLivedGracefulRestart": {
      const times = capability.families.map(({ staleTime }) => staleTime);
      return `long-lived graceful restart${times.length > 0 ? ` ${Math.max(...times)} s` : ""}`;
    }
    case "hostname":
      return `hostname ${printable(capability.host)}`;
    case "unknown":
      return `capability ${capability.code}`;
  }
}

function describeAddPath(entries: Extract<Capability, { kind: "addPath" }>["entries"]): string {
  const parts = entries.map(({ afi, safi, receive, send }) => {
    const mode = receive && send ? "both" : receive ? "receive" : "send";
    return `${familyName(afi, safi)} ${mode}`;
  });
  return `add-path ${parts.join(", ")}`.trimEnd();
}

/** A name as the neighbour wrote it, with nothing that could confuse a terminal. */
function printable(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\ufffd");
}

function familyName(afi: number, safi: number): string {
  const family = afi === Afi.IPV4 ? "ipv4" : afi === Afi.IPV6 ? "ipv6" : `afi ${afi}`;
  const sub = safi === Safi.UNICAST ? "unicast" : safi === Safi.MULTICAST ? "multicast" : `safi ${safi}`;
  return `${family} ${sub}`;
}
