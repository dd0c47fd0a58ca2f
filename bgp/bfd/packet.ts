// The BFD control packet (RFC 5880 §4.1): bytes <-> values, pure. What the packet says by itself is checked here
// (§6.8.6); which session it belongs to is engine.ts's business.
//
//   |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
//   |                       My Discriminator                        |
//   |                      Your Discriminator                       |
//   |                 Desired Min TX Interval (us)                  |
//   |                 Required Min RX Interval (us)                 |
//   |               Required Min Echo RX Interval (us)              |
//
// Known deviation: no authentication (§4.2). A packet that has it is discarded, as §6.8.6 says for a session without.

/** RFC 5880 §4.1, in the order of their numbers. */
export const states = ["AdminDown", "Down", "Init", "Up"] as const;
export type BfdState = (typeof states)[number];

/** RFC 5880 §4.1: why the session last left Up or Init. */
export const Diagnostic = {
  NONE: 0,
  DETECTION_TIME_EXPIRED: 1,
  ECHO_FAILED: 2,
  NEIGHBOR_SIGNALED_DOWN: 3,
  FORWARDING_PLANE_RESET: 4,
  PATH_DOWN: 5,
  CONCATENATED_PATH_DOWN: 6,
  ADMINISTRATIVELY_DOWN: 7,
  REVERSE_CONCATENATED_PATH_DOWN: 8,
} as const;

const diagnosticNames = [
  "no diagnostic",
  "control detection time expired",
  "echo function failed",
  "neighbour signaled session down",
  "forwarding plane reset",
  "path down",
  "concatenated path down",
  "administratively down",
  "reverse concatenated path down",
];

export function describeDiagnostic(code: number): string {
  return diagnosticNames[code] ?? `diagnostic ${code}`;
}

/** Intervals in microseconds, unsigned 32 bits. */
export interface ControlPacket {
  readonly state: BfdState;
  readonly diagnostic: number;
  readonly poll: boolean;
  readonly final: boolean;
  readonly controlPlaneIndependent: boolean;
  readonly demand: boolean;
  readonly detectMultiplier: number;
  readonly myDiscriminator: number;
  /** 0: the sender knows no session of ours yet. */
  readonly yourDiscriminator: number;
  readonly desiredMinTx: number;
  /** 0: the sender wants no periodic packets. */
  readonly requiredMinRx: number;
  readonly requiredMinEchoRx: number;
}

export const CONTROL_LENGTH = 24;
const AUTHENTICATED_LENGTH = 26;
const VERSION = 1;
const POLL = 0x20;
const FINAL = 0x10;
const CONTROL_PLANE_INDEPENDENT = 0x08;
const AUTHENTICATION_PRESENT = 0x04;
const DEMAND = 0x02;
const MULTIPOINT = 0x01;

/** Why a packet was discarded; the index travels as a number. */
export const discards = [
  "none",
  "shorter than a control packet",
  "version is not 1",
  "length field is wrong",
  "detect multiplier is 0",
  "multipoint bit is set",
  "my discriminator is 0",
  "your discriminator is 0 in state Init or Up",
  "authentication is not supported",
  "TTL is not 255: it was forwarded by a router",
  "your discriminator is that of another session",
  "came in on another interface",
] as const;
export type Discard = Exclude<(typeof discards)[number], "none">;

/** Reads the first `length` bytes of a UDP payload. A string says why RFC 5880 §6.8.6 discards it. */
export function decodeControl(bytes: Uint8Array, length: number): ControlPacket | Discard {
  if (length < CONTROL_LENGTH) return "shorter than a control packet";
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  if (bytes[0] >>> 5 !== VERSION) return "version is not 1";
  const flags = bytes[1];
  const authenticated = (flags & AUTHENTICATION_PRESENT) !== 0;
  const least = authenticated ? AUTHENTICATED_LENGTH : CONTROL_LENGTH;
  if (bytes[3] < least || bytes[3] > length) return "length field is wrong";
  if (bytes[2] === 0) return "detect multiplier is 0";
  if (flags & MULTIPOINT) return "multipoint bit is set";
  const myDiscriminator = view.getUint32(4);
  if (myDiscriminator === 0) return "my discriminator is 0";
  const yourDiscriminator = view.getUint32(8);
  const state = states[flags >>> 6];
  if (yourDiscriminator === 0 && (state === "Init" || state === "Up"))
    return "your discriminator is 0 in state Init or Up";
  if (authenticated) return "authentication is not supported";
  return {
    state,
    diagnostic: bytes[0] & 0x1f,
    poll: (flags & POLL) !== 0,
    final: (flags & FINAL) !== 0,
    controlPlaneIndependent: (flags & CONTROL_PLANE_INDEPENDENT) !== 0,
    demand: (flags & DEMAND) !== 0,
    detectMultiplier: bytes[2],
    myDiscriminator,
    yourDiscriminator,
    desiredMinTx: view.getUint32(12),
    requiredMinRx: view.getUint32(16),
    requiredMinEchoRx: view.getUint32(20),
  };
}

/** Writes CONTROL_LENGTH bytes at the start of `bytes`. */
export function encodeControl(packet: ControlPacket, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, CONTROL_LENGTH);
  bytes[0] = (VERSION << 5) | packet.diagnostic;
  bytes[1] =
    (states.indexOf(packet.state) << 6) |
    (packet.poll ? POLL : 0) |
    (packet.final ? FINAL : 0) |
    (packet.controlPlaneIndependent ? CONTROL_PLANE_INDEPENDENT : 0) |
    (packet.demand ? DEMAND : 0);
  bytes[2] = packet.detectMultiplier;
  bytes[3] = CONTROL_LENGTH;
  view.setUint32(4, packet.myDiscriminator);
  view.setUint32(8, packet.yourDiscriminator);
  view.setUint32(12, packet.desiredMinTx);
  view.setUint32(16, packet.requiredMinRx);
  view.setUint32(20, packet.requiredMinEchoRx);
}
