// The options of `underlayctl history`.
export const historyOptions = {
  since: { type: "string" },
  until: { type: "string" },
  at: { type: "string" },
  prefix: { type: "string" },
  file: { type: "string" },
  follow: { type: "boolean" },
} as const;

export interface HistoryOptions {
  readonly since?: string;
  readonly until?: string;
  readonly at?: string;
  readonly prefix?: string;
  readonly file?: string;
  readonly follow?: boolean;
}
