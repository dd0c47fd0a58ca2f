// Why a path is not announced to a peer: the checks of UpdateGroup.export() in their order, said in words. Slow, for
// those who ask.

import type { AttributeStore } from "../attribute-store.ts";
import type { Candidate } from "../loc-rib/decision.ts";
import type { PathAttributes } from "../wire/path-attributes.ts";
import { ExportForm, Origin } from "./export-form.ts";
import { originOf, type UpdateGroup } from "./update-group.ts";

export type Withheld =
  /** Learned from this very peer. */
  | "its own route"
  | "from within our AS, and it is no client"
  | "community no-advertise or no-export"
  | "long-lived stale"
  | "only to customer (OTC)"
  | "export policy"
  /** The group has said so in the log. */
  | "no next hop or too long";

export interface ExportReason {
  /** Null: it is announced. */
  readonly withheld: Withheld | null;
  /** The route as the export policy sees it; null: it does not come that far. */
  readonly input: PathAttributes | null;
}

export function exportReason(
  group: UpdateGroup,
  peer: string,
  prefix: number,
  { attributes, source }: Pick<Candidate, "attributes" | "source">,
  store: AttributeStore,
): ExportReason {
  const stopped = (withheld: Withheld): ExportReason => ({ withheld, input: null });
  if (source.name === peer) return stopped("its own route");
  const form = new ExportForm(group.facts);
  const origin = originOf(source);
  if (!form.passes(origin)) return stopped("from within our AS, and it is no client");
  if (origin !== Origin.LOCAL && store.isHidden(attributes, group.facts.ebgp))
    return stopped("community no-advertise or no-export");
  if (store.isLongLivedStale(attributes) && group.facts.longLived === "withhold") return stopped("long-lived stale");
  const input = form.before(store.attributes(attributes));
  if (!input) return stopped("only to customer (OTC)");
  if (group.export(prefix, attributes, source) !== 0) return { withheld: null, input };
  return { withheld: group.accepts(prefix, input, source) ? "no next hop or too long" : "export policy", input };
}
