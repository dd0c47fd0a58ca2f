// A session whose interface went down cannot come back before its hold time ends, up to 90 s later: it is reset at once,
// as routers do for directly connected eBGP neighbours.
import type { Speaker } from "../bgp/speaker.ts";
import type { Fib } from "../routing/types.ts";

export class FastFailover {
  readonly #fib: Fib;
  readonly #speaker: Speaker;

  constructor(fib: Fib, speaker: Speaker) {
    this.#fib = fib;
    this.#speaker = speaker;
    fib.onLinks(() => this.#check());
  }

  #check(): void {
    const links = new Map(this.#fib.links().map((link) => [link.ifindex, link]));
    for (const { peer, ifindex } of this.#speaker.establishedInterfaces()) {
      const link = links.get(ifindex);
      if (link?.up) continue;
      this.#speaker.resetPeer(peer, link ? `interface ${link.name} went down` : `interface ${ifindex} is gone`);
    }
  }
}
