// Lines of `underlayctl peers PEER` about what runs beside the BGP session, and about what went wrong with it.
import type { BfdStatus } from "../bgp/bfd/types.ts";
import type { PeerView } from "../bgp/views.ts";
import { duration } from "./output.ts";

/** Who is on the interface of a peer without an address. */
export function unnumberedLines(view: NonNullable<PeerView["unnumbered"]>): [string, string][] {
  const { advertisements: count, lastIgnored, lastSendError } = view;
  const own = view.localAddresses.join(", ") || "none";
  const ignored = count.ignored > 0 ? `, ${count.ignored} ignored (last ${lastIgnored})` : "";
  const sent = count.enabled ? `${count.sent} sent` : "not sent (routerAdvertisements: false)";
  return [
    ["interface", `${view.interface} (${view.ifindex || "not there"}), own link-local address ${own}`],
    ...view.neighbours.map(({ address, mac, via, heard, present }): [string, string] => [
      present ? "neighbour" : "another router",
      `${address}${mac ? `, ${mac}` : ""}, by ${via}, last heard ${heard} s ago`,
    ]),
    ["adverts", `${sent}, ${count.received} heard${ignored}${lastSendError ? `; now: ${lastSendError}` : ""}`],
  ];
}

export function bfdLines(bfd: BfdStatus): [string, string][] {
  const { state, remoteState, interval, detectionTime, multiplier, packets } = bfd;
  const since = bfd.uptime === null ? "" : `, up ${duration(bfd.uptime)}, ${bfd.upCount} times`;
  const pace = interval === null ? "not sending" : `sent every ${interval} ms x ${multiplier}`;
  const discarded = packets.discarded > 0 ? `, ${packets.discarded} discarded (last: ${bfd.lastDiscard})` : "";
  const failed = packets.sendErrors > 0 ? `, ${packets.sendErrors} not sent` : "";
  const error = bfd.lastSendError ? ` (now: ${bfd.lastSendError})` : "";
  return [
    ["bfd", `${state}${since} (neighbour ${remoteState}), ${pace}, down after ${detectionTime ?? "-"} ms of silence`],
    ["bfd went down", `${bfd.diagnostic}; neighbour: ${bfd.remoteDiagnostic}`],
    ["bfd packets", `${packets.sent} sent, ${packets.received} received${discarded}${failed}${error}`],
  ];
}

const enders = { local: "by us", remote: "by the neighbour", connection: "with its connection" } as const;
const clockTime = (time: number) => new Date(time * 1000).toISOString().replace(".000", "");

/** How the last Established session ended. */
export function resetLines(reset: PeerView["lastReset"]): [string, string][] {
  if (!reset) return [["last reset", "never"]];
  const { notification, lasted, by, reason, graceful } = reset;
  const when = `${duration(reset.age)} ago (${clockTime(reset.time)}), ${enders[by]}, after ${duration(lasted)}`;
  const lines: [string, string][] = [["last reset", `${when}${graceful ? ", its routes were kept" : ""}: ${reason}`]];
  if (!notification) return lines;
  const { direction, code, subcode, name, communication, data, dataLength } = notification;
  const octets = dataLength === 0 || communication !== null ? "" : `, data ${data} (${dataLength} octets)`;
  const words = communication === null ? "" : `, text "${communication}"`;
  return [...lines, ["", `NOTIFICATION ${direction}: ${code}/${subcode} ${name}${words}${octets}`]];
}

/** Distinct events, the last one first. */
export function historyLines(events: PeerView["history"]): [string, string][] {
  const kinds = { reset: "reset", attempt: "no session", routes: "in routes" } as const;
  return events.map(({ kind, text, count, first, age }, index): [string, string] => {
    const often = count > 1 ? `, ${count} times since ${clockTime(first)}` : "";
    return [index === 0 ? "history" : "", `${duration(age)} ago${often}, ${kinds[kind]}: ${text}`];
  });
}
