// The options of `underlayctl policy test`: they describe a route.
export const policyOptions = {
  import: { type: "string" },
  export: { type: "string" },
  peer: { type: "string" },
  received: { type: "string" },
  "as-path": { type: "string" },
  community: { type: "string", multiple: true },
  "next-hop": { type: "string" },
  origin: { type: "string" },
  med: { type: "string" },
  "local-pref": { type: "string" },
  config: { type: "string" },
} as const;

export type PolicyOptions = {
  readonly [K in Exclude<keyof typeof policyOptions, "community">]?: string;
} & { readonly community?: string[] };
