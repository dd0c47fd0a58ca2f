// The default route that is originated for one peer alone, whatever the Loc-RIB has (defaultOriginate). In: what the peer
// is to be told of it, as an update group whose policy is that route's own, and perhaps a condition. Out: the prefix and the
// outgoing set, 0 while the condition does not hold.
//
// As in FRR (neighbor default-originate): it takes the place of any default route that the Loc-RIB has, so that the
// peer hears of one and the same; the peer's export policy has no say in it; ORIGIN IGP, an empty path before our own
// AS, our address as next hop. Unlike FRR, routes that the peer itself has announced do not make the condition hold,
// which would have it send back to us what it was to forward.
import { type Prefix, prefix } from "../../net/prefix.ts";
import type { Slices } from "../../net/slices.ts";
import type { AttributeStore } from "../attribute-store.ts";
import type { LocRib } from "../loc-rib/loc-rib.ts";
import type { RouteSource } from "../loc-rib/source.ts";
import type { ExportPolicy, ImportPolicy } from "../policy/types.ts";
import { emptyAttributes } from "../wire/path-attributes.ts";
import { RoutePresence } from "./route-presence.ts";
import type { UpdateGroup } from "./update-group.ts";

const defaults: Readonly<Record<4 | 6, Prefix>> = { 4: prefix("0.0.0.0/0"), 6: prefix("::/0") };

export interface DefaultRouteOptions {
  readonly peer: string;
  readonly locRib: LocRib;
  readonly group: UpdateGroup;
  readonly store: AttributeStore;
  readonly slices: Slices;
  /** A route in use that it accepts has to be there; null: announced in any case. */
  readonly condition: ImportPolicy | ExportPolicy | null;
}

export class DefaultRoute {
  /** Of the prefix. */
  readonly id: number;
  /** This node, as the Loc-RIB knows it. */
  readonly source: RouteSource;
  readonly group: UpdateGroup;
  readonly #options: DefaultRouteOptions;
  readonly #attributes: number;
  readonly #presence: RoutePresence | null;
  /** What the peer is to be told may be otherwise. */
  onChange: () => void = () => {};

  constructor(options: DefaultRouteOptions) {
    const { peer, locRib, group, store, slices, condition } = options;
    const { prefixes, family } = locRib;
    this.#options = options;
    this.group = group;
    const source = locRib.sources.find(({ local }) => local);
    if (!source) throw new Error(`table ${locRib.tableName} has no routes of this node`);
    this.source = source;
    this.id = prefixes.intern(defaults[family].bytes, 0, 0);
    prefixes.retain(this.id);
    this.#attributes = store.intern(emptyAttributes, family);
    store.retain(this.#attributes);
    const changed = () => this.onChange();
    this.#presence =
      condition && new RoutePresence({ locRib, policy: condition, except: peer, store, slices, changed });
  }

  /** It depends on routes of others. */
  get conditional(): boolean {
    return this.#presence !== null;
  }

  /** Whether the condition holds is known. */
  get settled(): boolean {
    return this.#presence?.settled ?? true;
  }

  /** The condition holds. */
  get wanted(): boolean {
    return this.#presence?.present ?? true;
  }

  /** The outgoing set, 0: not to be announced. */
  get set(): number {
    return this.wanted ? this.group.export(this.id, this.#attributes, this.source) : 0;
  }

  close(): void {
    const { locRib, store } = this.#options;
    this.onChange = () => {};
    this.#presence?.close();
    store.release(this.#attributes);
    locRib.prefixes.release(this.id);
  }
}
