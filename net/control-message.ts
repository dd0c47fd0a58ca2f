// What the kernel says about a datagram beside its bytes (struct cmsghdr, one after the other, as recvmsg returns them):
// TTL or hop limit, and the interface it came in on.
import { endianness } from "node:os";

const IPPROTO_IP = 0;
const IP_TTL = 2;
const IP_PKTINFO = 8;
const IPPROTO_IPV6 = 41;
const IPV6_PKTINFO = 50;
const IPV6_HOPLIMIT = 52;

const little = endianness() === "LE";
/** sizeof(size_t), by which control messages are aligned. */
const WORD = process.arch === "arm" || process.arch === "ia32" ? 4 : 8;
const HEADER = WORD + 8;

/** 0 for what is not said. */
export function readControl(view: DataView, length: number): { ttl: number; ifindex: number } {
  let ttl = 0;
  let ifindex = 0;
  for (let at = 0; at + HEADER <= length; ) {
    const size = view.getUint32(at + (little ? 0 : WORD - 4), little);
    if (size < HEADER) break;
    const level = view.getInt32(at + WORD, little);
    const type = view.getInt32(at + WORD + 4, little);
    const data = at + HEADER;
    if (level === IPPROTO_IP && type === IP_TTL) ttl = view.getInt32(data, little);
    else if (level === IPPROTO_IP && type === IP_PKTINFO) ifindex = view.getInt32(data, little);
    else if (level === IPPROTO_IPV6 && type === IPV6_HOPLIMIT) ttl = view.getInt32(data, little);
    else if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) ifindex = view.getInt32(data + 16, little);
    at += Math.ceil(size / WORD) * WORD;
  }
  return { ttl, ifindex };
}
