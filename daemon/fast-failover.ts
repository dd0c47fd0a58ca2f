// A session whose interface went down cannot come back before its hold time ends, up to 90 s later: it ends at once, as
// routers do it for directly connected eBGP neighbours. That is a connection lost, not a reset: no next hop on the
// interface is usable any more, but where graceful restart was agreed on, routes are usable again with the link, before
// the session. A session whose own address is no longer there is reset: nothing that the neighbour sends arrives any
// more.
import type { Speaker } from "../bgp/speaker.ts";
import type { EstablishedInterface } from "../bgp/speaker-types.ts";
import { formatScoped, isLinkLocal, sameBytes } from "../net/address.ts";
import type { Fib, LinkInfo } from "../routing/types.ts";

export class FastFailover {
  readonly #fib: Pick<Fib, "links" | "onLinks">;
  readonly #speaker: Pick<Speaker, "establishedInterfaces" | "resetPeer" | "pathLost">;

  constructor(
    fib: Pick<Fib, "links" | "onLinks">,
    speaker: Pick<Speaker, "establishedInterfaces" | "resetPeer" | "pathLost">,
  ) {
    this.#fib = fib;
    this.#speaker = speaker;
    fib.onLinks(() => this.#check());
  }

  #check(): void {
    const links = this.#fib.links();
    for (const established of this.#speaker.establishedInterfaces()) {
      const found = fault(established, links);
      if (found?.lost === "path") this.#speaker.pathLost(established.peer, found.reason);
      else if (found) this.#speaker.resetPeer(established.peer, found.reason);
    }
  }
}

function fault(
  { ifindex, localAddress }: EstablishedInterface,
  links: readonly LinkInfo[],
): { lost: "path" | "address"; reason: string } | null {
  const link = links.find((entry) => entry.ifindex === ifindex);
  if (!link) return { lost: "path", reason: `interface ${ifindex} is gone` };
  if (!link.up) return { lost: "path", reason: `interface ${link.name} went down` };
  // A link-local address means nothing elsewhere; another one may be on any interface, the loopback for one.
  const places = isLinkLocal(localAddress) ? [link] : links;
  if (places.some(({ addresses }) => addresses.some(({ address }) => sameBytes(address, localAddress)))) return null;
  return { lost: "address", reason: `our address ${formatScoped(localAddress, link.name)} is gone` };
}
