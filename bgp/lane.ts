// One path per prefix of one family of one peer, and where it goes. A peer that sends several paths for a prefix (ADD-PATH,
// RFC 7911) has as many lanes as it has simultaneous paths at most: the k-th path of a prefix lies in the k-th lane
// that is free for it. A lane is a RouteSource like any other to the Loc-RIB: one in each Loc-RIB that it feeds.
import { PagedUint32 } from "../net/paged-array.ts";
import type { AdjRibIn } from "./adj-rib-in/adj-rib-in.ts";
import type { LocRib } from "./loc-rib/loc-rib.ts";
import type { RouteSource, SourceSession } from "./loc-rib/source.ts";
import type { ImportFilter } from "./policy/filter.ts";

/** A Loc-RIB that routes of a family go to, and which of them. All lanes of the family share it. */
export interface Outlet {
  readonly locRib: LocRib;
  readonly filter: ImportFilter;
}

export interface Feed {
  readonly locRib: LocRib;
  readonly source: RouteSource;
}

export class Lane {
  readonly adjRibIn: AdjRibIn;
  #pathIds: PagedUint32 | null;
  readonly #name: string;
  #session: SourceSession;
  /** At least one; the first is the peer's own table. */
  #feeds: readonly Feed[] = [];

  constructor(
    name: string,
    adjRibIn: AdjRibIn,
    session: SourceSession,
    outlets: readonly Outlet[],
    withPathIds: boolean,
  ) {
    this.#name = name;
    this.#pathIds = withPathIds ? new PagedUint32() : null;
    this.adjRibIn = adjRibIn;
    this.#session = session;
    for (const outlet of outlets) this.setOutlet(outlet);
  }

  get feeds(): readonly Feed[] {
    return this.#feeds;
  }

  /** The peer announces a path here. */
  has(id: number): boolean {
    return this.adjRibIn.get(id) !== 0;
  }

  /** The path of a prefix has changed, come or gone. */
  update(id: number): void {
    for (const { locRib, source } of this.#feeds) locRib.update(source, id);
  }

  /** Prefix id -> path identifier; null without ADD-PATH. Of prefixes that are not here it says nothing. */
  get pathIds(): PagedUint32 | null {
    return this.#pathIds;
  }

  /** To be called when nothing here is believed any more. */
  setPathIds(used: boolean): void {
    this.#pathIds = used ? new PagedUint32() : null;
    for (const { source } of this.#feeds) source.pathIds = this.#pathIds;
  }

  setSession(session: SourceSession): void {
    this.#session = session;
    for (const { source } of this.#feeds) source.session = session;
  }

  /** Feeds a further Loc-RIB, or one that it feeds already through another filter; the caller has it decided again. */
  setOutlet({ locRib, filter }: Outlet): void {
    const known = this.#feeds.find((feed) => feed.locRib === locRib);
    if (known) {
      known.source.filter = filter;
      return;
    }
    const source: RouteSource = {
      name: this.#name,
      local: false,
      adjRibIn: this.adjRibIn,
      pathIds: this.#pathIds,
      filter,
      session: this.#session,
    };
    locRib.addSource(source);
    this.#feeds = [...this.#feeds, { locRib, source }];
  }

  /** Nothing of this lane is left in the Loc-RIB. */
  removeOutlet(locRib: LocRib): void {
    for (const feed of this.#feeds) if (feed.locRib === locRib) locRib.removeSource(feed.source);
    this.#feeds = this.#feeds.filter((feed) => feed.locRib !== locRib);
  }
}
