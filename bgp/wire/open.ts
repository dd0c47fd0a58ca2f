// OPEN (RFC 4271 §4.2), its optional parameters (RFC 5492), also in their extended form (RFC 9072).
//
//  |    version    |  my autonomous system |  hold time  |  BGP identifier  | opt parm len | optional parameters ...
//  RFC 9072: opt parm len 255, then type 255, then the real length in two octets; parameter lengths have two octets too.
//
// Checks here are those of §6.2 that need no configuration; who the neighbour should be is session/negotiate.ts.
// An extended length is read by what RFC 9072 §2 says (the first parameter's type is 255), whatever opt parm len is.
import { type Capability, decodeCapability, encodeCapability } from "./capability.ts";
import { WireError } from "./error.ts";
import { beginMessage, endMessage } from "./message.ts";
import { Reader } from "./reader.ts";
import { ErrorCode, MessageType, OpenSubcode } from "./registry.ts";
import { Writer } from "./writer.ts";

export interface OpenMessage {
  readonly version: number;
  /** The two-octet field: AS_TRANS when the number needs four (RFC 6793). */
  readonly asn: number;
  /** Seconds. */
  readonly holdTime: number;
  /** Host-order number. */
  readonly routerId: number;
  readonly capabilities: readonly Capability[];
}

const PARAMETER_CAPABILITIES = 2;
const PARAMETER_EXTENDED = 255;

function openError(text: string, subcode: number, data?: Uint8Array): WireError {
  return new WireError(text, ErrorCode.OPEN_MESSAGE_ERROR, subcode, { data });
}

/** Throws WireError 2/x. */
export function decodeOpen(buffer: Uint8Array, start: number, end: number): OpenMessage {
  const reader = new Reader(buffer, start, end);
  const version = reader.u8();
  const asn = reader.u16();
  const holdTime = reader.u16();
  const routerId = reader.u32();
  if (version !== 4) {
    throw openError(`BGP version ${version}`, OpenSubcode.UNSUPPORTED_VERSION_NUMBER, Uint8Array.of(0, 4));
  }
  if (asn === 0) throw openError("AS 0 in OPEN (RFC 7607)", OpenSubcode.BAD_PEER_AS, Uint8Array.of(0, 0));
  if (holdTime === 1 || holdTime === 2) {
    throw openError(`hold time of ${holdTime} s`, OpenSubcode.UNACCEPTABLE_HOLD_TIME);
  }
  if (routerId === 0) {
    throw openError("BGP identifier 0.0.0.0 (RFC 6286)", OpenSubcode.BAD_BGP_IDENTIFIER, new Uint8Array(4));
  }
  const capabilities = decodeParameters(reader);
  for (const capability of capabilities) {
    if (capability.kind === "as4" && capability.asn === 0) {
      throw openError("AS 0 in the 4-octet AS capability (RFC 7607)", OpenSubcode.BAD_PEER_AS, Uint8Array.of(0, 0));
    }
  }
  return { version, asn, holdTime, routerId, capabilities };
}

function decodeParameters(reader: Reader): Capability[] {
  const malformed = () => openError("malformed optional parameters", OpenSubcode.UNSPECIFIC);
  let length = reader.u8();
  const extended = length > 0 && reader.remaining >= 3 && reader.buffer[reader.offset] === PARAMETER_EXTENDED;
  if (extended) {
    reader.u8();
    length = reader.u16();
  }
  if (reader.overrun || length !== reader.remaining) throw malformed();
  const capabilities: Capability[] = [];
  while (reader.remaining > 0) {
    const type = reader.u8();
    const value = reader.sub(extended ? reader.u16() : reader.u8());
    if (reader.overrun) throw malformed();
    if (type !== PARAMETER_CAPABILITIES) {
      throw openError(`optional parameter of type ${type}`, OpenSubcode.UNSUPPORTED_OPTIONAL_PARAMETER);
    }
    while (value.remaining > 0) {
      const code = value.u8();
      const content = value.sub(value.u8());
      const capability = value.overrun ? null : decodeCapability(code, content);
      if (!capability) throw openError(`malformed capability ${code}`, OpenSubcode.UNSPECIFIC);
      capabilities.push(capability);
    }
  }
  return capabilities;
}

/** A whole message; one capabilities parameter, in the extended form when it is longer than 253 bytes. */
export function encodeOpen(open: OpenMessage): Uint8Array {
  const capabilities = new Writer(128);
  for (const capability of open.capabilities) encodeCapability(capabilities, capability);
  const content = capabilities.slice();

  const writer = new Writer(64 + content.length);
  const start = beginMessage(writer, MessageType.OPEN);
  writer.u8(open.version);
  writer.u16(open.asn);
  writer.u16(open.holdTime);
  writer.u32(open.routerId);
  if (content.length === 0) {
    writer.u8(0);
  } else if (content.length <= 253) {
    writer.u8(content.length + 2);
    writer.u8(PARAMETER_CAPABILITIES);
    writer.u8(content.length);
    writer.bytes(content);
  } else {
    writer.u8(255);
    writer.u8(PARAMETER_EXTENDED);
    writer.u16(content.length + 3);
    writer.u8(PARAMETER_CAPABILITIES);
    writer.u16(content.length);
    writer.bytes(content);
  }
  endMessage(writer, start);
  return writer.slice();
}
