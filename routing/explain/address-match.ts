// Prefixes over raw address bytes, and the kinds of address that the kernel treats apart.
const FOUR = 4;

/** Whether the first `length` bits are the same. */
export function inPrefix(address: Uint8Array, prefix: Uint8Array, length: number): boolean {
  const whole = length >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== prefix[i]) return false;
  const rest = length & 7;
  return rest === 0 || ((address[whole] ^ prefix[whole]) & (0xff00 >> rest) & 0xff) === 0;
}

export function isZero(address: Uint8Array): boolean {
  return address.every((byte) => byte === 0);
}

export function isMulticast(address: Uint8Array): boolean {
  return address.length === FOUR ? address[0] >= 224 && address[0] < 240 : address[0] === 0xff;
}

/** 224.0.0.0/24. */
export function isLocalMulticast(address: Uint8Array): boolean {
  return address[0] === 224 && address[1] === 0 && address[2] === 0;
}

/** 255.255.255.255. */
export function isLimitedBroadcast(address: Uint8Array): boolean {
  return address.length === FOUR && address.every((byte) => byte === 255);
}

export function isLoopback(address: Uint8Array): boolean {
  return address.length === FOUR
    ? address[0] === 127
    : address[15] === 1 && address.subarray(0, 15).every((b) => b === 0);
}
