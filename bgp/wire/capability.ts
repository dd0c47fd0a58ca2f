// Capabilities of an OPEN (RFC 5492): code, length, value. Those we speak are decoded, others kept as they came.
import type { Reader } from "./reader.ts";
import { Afi, CapabilityCode, Safi } from "./registry.ts";
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
  | { readonly kind: "unknown"; readonly code: number; readonly value: Uint8Array };

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
    default:
      return { kind: "unknown", code, value: value.bytes(value.remaining) };
  }
}

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
    case "unknown":
      writer.bytes(capability.value);
      break;
  }
  writer.buffer[lengthAt] = writer.offset - lengthAt - 1;
}

function codeOf(capability: Capability): number {
  switch (capability.kind) {
    case "multiprotocol":
      return CapabilityCode.MULTIPROTOCOL;
    case "routeRefresh":
      return CapabilityCode.ROUTE_REFRESH;
    case "as4":
      return CapabilityCode.AS4;
    case "extendedNextHop":
      return CapabilityCode.EXTENDED_NEXT_HOP;
    case "gracefulRestart":
      return CapabilityCode.GRACEFUL_RESTART;
    case "unknown":
      return capability.code;
  }
}

const unknownNames: Record<number, string> = {
  [CapabilityCode.EXTENDED_MESSAGE]: "extended message",
  [CapabilityCode.ROLE]: "role",
  [CapabilityCode.ADD_PATH]: "add-path",
  [CapabilityCode.ENHANCED_ROUTE_REFRESH]: "enhanced route refresh",
  [CapabilityCode.LONG_LIVED_GRACEFUL_RESTART]: "long-lived graceful restart",
  [CapabilityCode.FQDN]: "hostname",
};

/** For status output: `ipv4 unicast`, `graceful restart 120 s`, `capability 128`. */
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
      return `graceful restart ${capability.time} s${capability.restarting ? " (restarting)" : ""}`;
    case "unknown":
      return unknownNames[capability.code] ?? `capability ${capability.code}`;
  }
}

function familyName(afi: number, safi: number): string {
  const family = afi === Afi.IPV4 ? "ipv4" : afi === Afi.IPV6 ? "ipv6" : `afi ${afi}`;
  const sub = safi === Safi.UNICAST ? "unicast" : safi === Safi.MULTICAST ? "multicast" : `safi ${safi}`;
  return `${family} ${sub}`;
}
