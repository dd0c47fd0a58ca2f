// What can go wrong with etcd, in classes that lead to different actions, and in words for the operator.

export type EtcdFailure =
  /** Not reachable, no leader, overloaded, too slow: another member or another time may do. */
  | "unavailable"
  /** The NOSPACE alarm: reads work, writes do not until an operator has made room. */
  | "noSpace"
  /** Wrong or missing credentials. */
  | "authentication"
  /** The user's role does not reach this key. */
  | "permission"
  /** The wanted revision is gone from the history. */
  | "compacted"
  /** A lease that is no more. */
  | "noLease"
  /** An answer that is none of etcd's, or a request that it does not understand. */
  | "protocol"
  | "closed";

export class EtcdError extends Error {
  readonly kind: EtcdFailure;
  /** The request may have been executed, or may still be. */
  readonly uncertain: boolean;

  constructor(kind: EtcdFailure, message: string, uncertain = false) {
    super(message);
    this.name = "EtcdError";
    this.kind = kind;
    this.uncertain = uncertain;
  }
}

/** gRPC status codes, as the gateway's answers have them. */
const grpc = {
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  outOfRange: 11,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** The answer says that the token is no good: expired, from before a restart, or from before the users were changed. */
export function isStaleToken(message: string): boolean {
  return /invalid auth token|revision of auth store is old|token is not provided/.test(message);
}

/** From an answer that is an error. `where`: the endpoint, for the reader. */
export function fromAnswer(where: string, code: number, message: string): EtcdError {
  const text = message.replace(/^etcdserver: /, "");
  if (/database space exceeded/.test(message))
    return new EtcdError(
      "noSpace",
      `etcd at ${where} is out of space (NOSPACE alarm): compact, defragment, then "etcdctl alarm disarm"`,
    );
  if (isStaleToken(message) || code === grpc.unauthenticated)
    return new EtcdError("authentication", `etcd at ${where} does not accept the token: ${text}`);
  if (/authentication failed|user name (is empty|not found)|user name not found/.test(message))
    return new EtcdError(
      "authentication",
      `etcd at ${where} refuses the user name or password (${text}): correct etcd.username and etcd.password, then underlayctl reload`,
    );
  if (/authentication is not enabled/.test(message))
    return new EtcdError("authentication", `etcd at ${where} has no authentication enabled, but a user is configured`);
  if (code === grpc.permissionDenied)
    return new EtcdError("permission", `etcd at ${where}: the user's role does not allow this: ${text}`);
  if (/lease not found/.test(message)) return new EtcdError("noLease", `etcd at ${where}: ${text}`);
  if (code === grpc.outOfRange || /has been compacted/.test(message))
    return new EtcdError("compacted", `etcd at ${where}: ${text}`);
  // "leader changed", "request timed out" and the like come after the proposal has been sent: it may still be applied.
  if (code === grpc.unavailable || code === grpc.deadlineExceeded || code === grpc.resourceExhausted || code === 2)
    return new EtcdError("unavailable", `etcd at ${where}: ${text}`, true);
  return new EtcdError("protocol", `etcd at ${where} answers with error ${code}: ${text}`);
}

const authority =
  "has a certificate of an authority that is not in `ca`: etcd.tls.ca has to hold the one that signed etcd's certificate; then underlayctl reload";
const refused = "does not accept our client certificate";

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "refuses the connection",
  ECONNRESET: "has cut the connection",
  EPIPE: "has cut the connection",
  EHOSTUNREACH: "cannot be reached (no route to host)",
  ENETUNREACH: "cannot be reached (no route)",
  ETIMEDOUT: "does not answer",
  ENOTFOUND: "has a name that is unknown",
  EAI_AGAIN: "has a name that cannot be looked up at present",
  CERT_HAS_EXPIRED: "has a certificate that has expired: renew it at etcd",
  DEPTH_ZERO_SELF_SIGNED_CERT: "has a self-signed certificate that is not in `ca`",
  SELF_SIGNED_CERT_IN_CHAIN: authority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: authority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: authority,
  ERR_TLS_CERT_ALTNAME_INVALID: "has a certificate for another name",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    "wants a client certificate: etcd.tls.cert and etcd.tls.key; then underlayctl reload",
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: refused,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: refused,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: refused,
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: refused,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: refused,
  ERR_SSL_WRONG_VERSION_NUMBER: "does not speak TLS: write http:// instead of https://",
  EPROTO: "does not agree on TLS",
  HPE_INVALID_CONSTANT: "does not answer in HTTP: it may want https://",
};

/**
 * From a failure of the connection. `sent`: the request may have reached etcd. `fault`: what our certificate may be
 * refused for.
 */
export function fromSystem(where: string, error: NodeJS.ErrnoException, sent: boolean, fault: () => string): EtcdError {
  let known = words[error.code ?? ""];
  if (known === refused) known += ` (${fault()}): renew etcd.tls.cert and etcd.tls.key, then underlayctl reload`;
  return new EtcdError("unavailable", `etcd at ${where} ${known ?? `cannot be asked: ${error.message}`}`, sent);
}
