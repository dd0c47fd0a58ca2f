// A session whose interface went down cannot come back before its hold time ends, up to 90 s later: it is reset at once,
// as routers do for directly connected eBGP neighbours. So is one whose own address is no longer there: nothing that the
// neighbour sends arrives any more.
import type { Speaker } from "../bgp/speaker.ts";
import type { EstablishedInterface } from "../bgp/speaker-types.ts";
import { formatScoped, isLinkLocal, sameBytes } from "../net/address.ts";
import type { Fib, LinkInfo } from "../routing/types.ts";

export class FastFailover {
  readonly #fib: Pick<Fib, "links" | "onLinks">;
  readonly #speaker: Pick<Speaker, "establishedInterfaces" | "resetPeer">;

  constructor(fib: Pick<Fib, "links" | "onLinks">, speaker: Pick<Speaker, "establishedInterfaces" | "resetPeer">) {
    this.#fib = fib;
    this.#speaker = speaker;
    fib.onLinks(() => this.#check());
  }

  #check(): void {
    const links = this.#fib.links();
    for (const established of this.#speaker.establishedInterfaces()) {
      const reason = fault(established, links);
      if (reason) this.#speaker.resetPeer(established.peer, reason);
    }
  }
}

function fault({ ifindex, localAddress }: EstablishedInterface, links: readonly LinkInfo[]): string | null {
  const link = links.find((entry) => entry.ifindex === ifindex);
  if (!link) return `interface ${ifindex} is gone`;
  if (!link.up) return `interface ${link.name} went down`;
  // A link-local address means nothing elsewhere; another one may be on any interface, the loopback for one.
  const places = isLinkLocal(localAddress) ? [link] : links;
  if (places.some(({ addresses }) => addresses.some(({ address }) => sameBytes(address, localAddress)))) return null;
  return `our address ${formatScoped(localAddress, link.name)} is gone`;
}
