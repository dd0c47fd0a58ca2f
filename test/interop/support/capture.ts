// Everything that a node under test sends on TCP port 179, captured by dumpcap and then read by tshark, a decoder that has
// nothing to do with ours: what it calls malformed, or marks as an error, fails the tests of the file.
import type { ChildProcess } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { type Node, run, terminate } from "./namespace.ts";
import { sleep } from "./wait.ts";

const PORT = 179;
/** linux/if_packet.h PACKET_OUTGOING, in the header that a capture on `any` puts before each packet. */
const OUTGOING = 4;
/** Milliseconds until dumpcap has opened its file. */
const START_LIMIT = 5_000;

/** Milliseconds, more than libpcap lets a block fill. */
const BLOCK_TIME = 500;

export interface CaptureReport {
  /** BGP messages that were sent and read. */
  readonly messages: number;
  /** One line each: frame, and what tshark says about it. */
  readonly faults: readonly string[];
  /** Neighbour -> seconds between two messages to it at most, by the kernel's clock. */
  readonly silences: ReadonlyMap<string, number>;
}

export class Capture {
  readonly #child: ChildProcess;
  readonly #file: string;

  /** Capturing when it returns: a session may begin at once. `only`: more of a capture filter, `and host 10.0.0.1`. */
  constructor(node: Node, file: string, only = "") {
    this.#file = file;
    const args = ["-q", "-i", "any", "-B", "16", "-f", `tcp port ${PORT} ${only}`.trim(), "-w", file];
    this.#child = node.spawn("dumpcap", args);
    const until = performance.now() + START_LIMIT;
    const word = new Int32Array(new SharedArrayBuffer(4));
    while (!existsSync(file) || statSync(file).size === 0) {
      if (performance.now() > until) throw new Error(`dumpcap on ${node.name} does not start`);
      Atomics.wait(word, 0, 0, 10);
    }
  }

  /** Ends the capture and reads it. */
  async report(): Promise<CaptureReport> {
    // The kernel hands packets over in blocks, the last one when it has waited long enough.
    await sleep(BLOCK_TIME);
    await terminate(this.#child, "SIGINT");
    const fields = [
      "frame.time_epoch",
      "ip.dst",
      "ipv6.dst",
      "frame.number",
      "bgp.type",
      "_ws.malformed",
      "_ws.expert.message",
      "_ws.expert.severity",
    ];
    const output = await run("tshark", [
      "-r",
      this.#file,
      "-o",
      "tcp.check_checksum:FALSE",
      "-Y",
      `sll.pkttype == ${OUTGOING} && bgp`,
      "-T",
      "fields",
      ...fields.flatMap((field) => ["-e", field]),
    ]);
    let messages = 0;
    const faults: string[] = [];
    const silences = new Map<string, number>();
    const last = new Map<string, number>();
    for (const line of output.split("\n").filter(Boolean)) {
      const [time, ipv4, ipv6, frame, types, malformed, expert, severities] = line.split("\t");
      const to = ipv4 || ipv6;
      silences.set(to, Math.max(silences.get(to) ?? 0, Number(time) - (last.get(to) ?? Number(time))));
      last.set(to, Number(time));
      messages += types.split(",").filter(Boolean).length;
      // 0x00800000 is "error" in Wireshark's epan/proto.h.
      const errors = (severities ?? "").split(",").filter((severity) => Number(severity) >= 0x00800000).length;
      // tshark 4.0 does not know extended messages (RFC 8654), and reads no further in them.
      const long = [...(expert ?? "").matchAll(/Length is invalid (\d+)/g)].filter(
        ([, length]) => Number(length) > 4096 && Number(length) <= 65535,
      ).length;
      if (errors > long || (malformed && long === 0))
        faults.push(`frame ${frame}, BGP types ${types}: ${malformed || ""} ${expert}`.trim());
    }
    return { messages, faults, silences };
  }
}
