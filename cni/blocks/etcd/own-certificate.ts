// Why etcd may refuse our client certificate: it says no more than that it does. In: the certificate. Out: words.
import { X509Certificate } from "node:crypto";

/** `now`: milliseconds since 1970. */
export function certificateFault(pem: Uint8Array | null, now: number): string {
  const unknown = "of an authority that etcd does not know, not for clients (clientAuth), or revoked";
  if (pem === null) return unknown;
  try {
    const { validFrom, validTo } = new X509Certificate(pem);
    if (Date.parse(validTo) < now) return `it has expired on ${validTo}`;
    if (Date.parse(validFrom) > now) return `it is not valid before ${validFrom}: is the clock right?`;
  } catch {
    // Whatever it is, it was sent.
  }
  return unknown;
}
