// A containerlab topology after loading: merged, expanded, checked.

export interface LabBind {
  /** Absolute path on the host. */
  readonly source: string;
  /** Absolute path in the node. */
  readonly target: string;
  readonly readOnly: boolean;
}

export interface LabNode {
  readonly name: string;
  readonly kind: string;
  readonly group: string | null;
  readonly image: string | null;
  readonly cmd: string | null;
  readonly binds: readonly LabBind[];
  readonly exec: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
}

export interface LabEndpoint {
  readonly node: string;
  readonly interface: string;
}

export interface LabLink {
  readonly endpoints: readonly [LabEndpoint, LabEndpoint];
  /** Bytes; null: the kernel's default. */
  readonly mtu: number | null;
}

export interface Topology {
  readonly name: string;
  /** The file it came from. */
  readonly file: string;
  readonly nodes: ReadonlyMap<string, LabNode>;
  readonly links: readonly LabLink[];
}
