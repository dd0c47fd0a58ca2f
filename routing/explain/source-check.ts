// The check of the source of an IPv4 packet that arrives (fib_validate_source): a lookup of the way back, with source and
// destination changed over. What it finds must not be this host, and with rp_filter not lead by another interface.
import { formatAddress } from "../../net/address.ts";
import { RouteType } from "../netlink/constants.ts";
import { hopsOf } from "./hops.ts";
import { walkRules } from "./rules.ts";
import { hasIpv4Address } from "./source-address.ts";
import { type Explanation, type Flow, type InterfaceSettings, LOOPBACK, type Snapshot } from "./types.ts";

export type SourceCheck = Pick<Explanation, "reverse" | "refusal">;

/** `oif` is where the packet would leave by, 0 when it is for this host. */
export function checkSource(snapshot: Snapshot, flow: Flow, settings: InterfaceSettings, oif: number): SourceCheck {
  const { iif } = flow;
  const source = flow.source ?? new Uint8Array(4);
  const name = snapshot.links.get(iif)!.name;
  const strict = settings.rpFilter;
  if (strict === 0 && (iif !== oif || !settings.sendRedirects) && settings.acceptLocal)
    return { reverse: [], refusal: null };
  const back: Flow = {
    ...flow,
    source: flow.destination,
    destination: source,
    iif: oif || LOOPBACK,
    oif: 0,
    mark: settings.sourceValidMark ? flow.mark : 0,
    uid: 0,
    sourcePort: flow.destinationPort,
    destinationPort: flow.sourcePort,
  };
  const { steps, ends } = walkRules(snapshot, back, 0, false);
  const answer = (why: string | null): SourceCheck => ({
    reverse: steps,
    refusal: why === null ? null : { why, answered: true },
  });
  const [end] = ends;
  const filtered = `rp_filter of ${name} is ${strict}`;
  const text = formatAddress(source);
  if (end.kind === "error") return answer(strict ? `${filtered}, and there is no way back to ${text}` : null);
  const { type } = end.route;
  if (type !== RouteType.unicast && (type !== RouteType.local || !settings.acceptLocal))
    return answer(
      type === RouteType.local
        ? `${text} is an address of this host, it must not arrive from outside (martian source)`
        : `${text} is no address of a single host (martian source)`,
    );
  if (hopsOf(end.route, snapshot.nextHops).hops.some((hop) => hop.ifindex === iif)) return answer(null);
  if (type === RouteType.local && iif === LOOPBACK) return answer(null);
  if (!hasIpv4Address(snapshot, iif))
    return answer(strict ? `${filtered}, and the way back to ${text} is not by ${name}, which has no address` : null);
  return answer(strict === 1 ? `${filtered}, and the way back to ${text} is not by ${name}` : null);
}
