// Which AS a neighbour may be in: one, any but ours, ours, or some of several.

export interface AsnRange {
  readonly from: number;
  readonly to: number;
}

export type RemoteAsn = number | "external" | "internal" | readonly AsnRange[];

/** True when a session with this neighbour leaves our AS; known before any OPEN. */
export function isExternal({
  remoteAsn,
  localAsn,
}: {
  readonly remoteAsn: RemoteAsn;
  readonly localAsn: number;
}): boolean {
  if (remoteAsn === "internal") return false;
  if (typeof remoteAsn === "object") return !remoteAsn.every(({ from, to }) => from === localAsn && to === localAsn);
  return remoteAsn === "external" || remoteAsn !== localAsn;
}

/** AS 0 is nobody's (RFC 7607). */
export function isExpected(asn: number, expected: RemoteAsn, localAsn: number): boolean {
  if (asn === 0) return false;
  if (expected === "external") return asn !== localAsn;
  if (expected === "internal") return asn === localAsn;
  if (typeof expected === "number") return asn === expected;
  return expected.some(({ from, to }) => asn >= from && asn <= to);
}

/** Goes on after "configured is". */
export function describeExpected(expected: RemoteAsn, localAsn: number): string {
  if (expected === "external") return `another than our own ${localAsn}`;
  if (expected === "internal") return `our own ${localAsn}`;
  if (typeof expected === "number") return String(expected);
  return expected.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(", ");
}
