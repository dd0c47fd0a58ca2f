// Classic BPF for sockets that hear link messages: what the kernel need not wake the worker for. Fields are loaded in network
// order, and are in the host's.
import { LITTLE } from "../../routing/netlink/attribute.ts";
import { MessageType } from "../../routing/netlink/constants.ts";

type Instruction = readonly [code: number, jt: number, jf: number, k: number];

const ALL: Instruction = [0x06, 0, 0, 0xffffffff]; // ret
const NOTHING: Instruction = [0x06, 0, 0, 0];

/** Only RTM_DELLINK. */
export function deletionsOnly(): Uint8Array {
  return assemble([...typeIs(MessageType.delLink, 1), ALL, NOTHING]);
}

/** RTM_NEWLINK of a link whose flags did not change: of what attaching a pod causes, the carrier's coming alone. */
export function settledLinks(): Uint8Array {
  return assemble([
    ...typeIs(MessageType.newLink, 3),
    [0x20, 0, 0, 28], // ld [28]: ifi_change
    [0x15, 0, 1, 0], // jeq
    ALL,
    NOTHING,
  ]);
}

/** Goes on, or skips so many instructions. */
function typeIs(type: number, otherwise: number): Instruction[] {
  return [
    [0x28, 0, 0, 4], // ldh [4]: nlmsg_type
    [0x15, 0, otherwise, LITTLE ? type << 8 : type], // jeq
  ];
}

function assemble(instructions: readonly Instruction[]): Uint8Array {
  const bytes = Buffer.alloc(instructions.length * 8);
  instructions.forEach(([code, jt, jf, k], i) => {
    if (LITTLE) bytes.writeUInt16LE(code, i * 8);
    else bytes.writeUInt16BE(code, i * 8);
    bytes[i * 8 + 2] = jt;
    bytes[i * 8 + 3] = jf;
    if (LITTLE) bytes.writeUInt32LE(k, i * 8 + 4);
    else bytes.writeUInt32BE(k, i * 8 + 4);
  });
  return bytes;
}
