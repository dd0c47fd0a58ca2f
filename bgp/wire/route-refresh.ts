// ROUTE-REFRESH (RFC 2918 §3; the subtype is RFC 7313 §3.2, reserved before): AFI, subtype, SAFI.
import { WireError } from "./error.ts";
import { message } from "./message.ts";
import { ErrorCode, MessageType } from "./registry.ts";

export interface RouteRefreshMessage {
  readonly afi: number;
  readonly safi: number;
  readonly subtype: number;
}

/** Throws WireError 7/1 for a length other than 4, with the whole message as data (RFC 7313 §5). */
export function decodeRouteRefresh(buffer: Uint8Array, start: number, end: number): RouteRefreshMessage {
  if (end - start !== 4) {
    throw new WireError(`ROUTE-REFRESH of ${end - start} bytes`, ErrorCode.ROUTE_REFRESH_ERROR, 1, {
      data: message(MessageType.ROUTE_REFRESH, buffer.slice(start, end)),
    });
  }
  return { afi: (buffer[start] << 8) | buffer[start + 1], subtype: buffer[start + 2], safi: buffer[start + 3] };
}

export function encodeRouteRefresh(afi: number, safi: number, subtype = 0): Uint8Array {
  return message(MessageType.ROUTE_REFRESH, Uint8Array.of(afi >>> 8, afi & 255, subtype, safi));
}
