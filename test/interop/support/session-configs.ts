// One daemon with many sessions, each with its own options: its configuration, in its own words.

/** How the daemon is to treat one neighbour, which is us. */
export interface Session {
  /** A word, for daemons whose sessions have names. */
  readonly name: string;
  readonly us: string;
  readonly them: string;
  /** Our AS number. */
  readonly asn: number;
  readonly passive?: boolean;
  readonly password?: string;
  readonly ttlSecurity?: boolean;
  readonly multihop?: number;
  /** Of a link-local neighbour. */
  readonly interface?: string;
}

export interface Speaker {
  readonly asn: number;
  readonly routerId: string;
  /** Where it listens; beside 179, if it can do both. */
  readonly port: number;
  readonly sessions: readonly Session[];
}

const zoned = ({ us, interface: name }: Session): string => (name ? `${us}%${name}` : us);
const lines = (...list: (string | false | undefined)[]): string => list.filter(Boolean).join("\n");

/** The port is bgpd's option. */
export const frr = ({ asn, routerId, sessions }: Speaker): string =>
  lines(
    `router bgp ${asn}`,
    ` bgp router-id ${routerId}`,
    ...sessions.map((session) =>
      lines(
        ` neighbor ${session.us} remote-as ${session.asn}`,
        ` neighbor ${session.us} timers connect 1`,
        ` neighbor ${session.us} update-source ${session.them}`,
        session.passive && ` neighbor ${session.us} passive`,
      ),
    ),
    "",
  );

export const gobgp = ({ asn, routerId, port, sessions }: Speaker): string =>
  lines(
    `[global.config]\n  as = ${asn}\n  router-id = "${routerId}"\n  port = ${port}`,
    ...sessions.map((session) =>
      lines(
        `[[neighbors]]\n  [neighbors.config]\n    neighbor-address = "${zoned(session)}"\n    peer-as = ${session.asn}`,
        session.password && `    auth-password = "${session.password}"`,
        "  [neighbors.timers.config]\n    connect-retry = 1\n    idle-hold-time-after-reset = 1",
        `  [neighbors.transport.config]\n    passive-mode = ${session.passive ?? false}`,
        !session.interface && `    local-address = "${session.them}"`,
        session.ttlSecurity && "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255",
        session.multihop !== undefined &&
          `  [neighbors.ebgp-multihop.config]\n    enabled = true\n    multihop-ttl = ${session.multihop}`,
      ),
    ),
  );

export const openbgpd = ({ asn, routerId, port, sessions }: Speaker): string =>
  lines(
    `AS ${asn}\nrouter-id ${routerId}\nlisten on 0.0.0.0\nlisten on 0.0.0.0 port ${port}\nlisten on ::`,
    ...sessions.map((session) =>
      lines(
        `neighbor ${zoned(session)} {\n  remote-as ${session.asn}`,
        !session.interface && `  local-address ${session.them}`,
        session.passive && "  passive",
        session.password && `  tcp md5sig password ${session.password}`,
        session.ttlSecurity && "  ttl-security yes",
        session.multihop !== undefined && `  multihop ${session.multihop}`,
        "}",
      ),
    ),
    "",
  );

export const exabgp = ({ asn, routerId, port, sessions }: Speaker, more = ""): string =>
  lines(
    ...sessions.map((session) =>
      lines(
        `neighbor ${session.us} {\n  router-id ${routerId}; local-address ${session.them}; local-as ${asn}; peer-as ${session.asn};`,
        session.passive ? `  passive; listen ${port};` : "  listen 179;",
        session.password && `  md5-password "${session.password}"; md5-base64 false;`,
        session.ttlSecurity && "  outgoing-ttl 255; incoming-ttl 255;",
        session.multihop !== undefined && `  outgoing-ttl ${session.multihop};`,
        `  family { ipv4 unicast; }\n  ${more}\n}`,
      ),
    ),
  );
