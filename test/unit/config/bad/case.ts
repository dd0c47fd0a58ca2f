// A configuration that is refused: what is written, and what the person is told.
// `top` is put after a good node section, which takes line 1; `whole` stands by itself.

export interface Bad {
  readonly name: string;
  readonly whole?: string;
  readonly top?: string;
  /** Every problem as `line:column path: message`, in order. */
  readonly says: readonly string[];
  /** Parts of the hints, in the same order. */
  readonly hints?: readonly (string | null)[];
}

export const NODE = "node: { name: n1, asn: 65101, routerId: 10.0.0.11 }\n";

export const peer = (lines: string) =>
  `peers:\n  tor-a:\n    address: 192.0.2.1\n    asn: 65001\n    import: all\n    export: blocks\n${lines}`;
export const pool = (blocks: string, rest = "") => `pools:\n  default:\n    blocks: ${blocks}\n${rest}`;
export const policy = (statement: string) => `policies:\n  p:\n    - ${statement}\n`;
