// What a node sends to BMP collectors, captured by dumpcap and read by tshark's own BMP dissector.
import type { ChildProcess } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { type Node, run, terminate } from "./namespace.ts";
import { sleep, waitFor } from "./wait.ts";

/** linux/if_packet.h PACKET_OUTGOING. */
const OUTGOING = 4;
const PEER_UP = "3";
/**
 * Peer type 3. tshark 4.0 takes the table's name behind the OPENs of its Peer Up (RFC 9069 §5.2.1) for a third BGP
 * message.
 */
const LOC_RIB = "3";
/** Milliseconds, more than libpcap lets a block fill. */
const BLOCK_TIME = 500;

export interface BmpReport {
  /** Number of messages by type. */
  readonly types: ReadonlyMap<string, number>;
  readonly faults: readonly string[];
}

export class BmpCapture {
  readonly #child: ChildProcess;
  readonly #file: string;
  readonly #port: number;

  private constructor(child: ChildProcess, file: string, port: number) {
    this.#child = child;
    this.#file = file;
    this.#port = port;
  }

  static async start(node: Node, file: string, port: number): Promise<BmpCapture> {
    const child = node.spawn("dumpcap", ["-q", "-i", "any", "-B", "16", "-f", `tcp port ${port}`, "-w", file]);
    await waitFor(() => existsSync(file) && statSync(file).size > 0, "dumpcap");
    return new BmpCapture(child, file, port);
  }

  /** Ends the capture and reads it. */
  async report(): Promise<BmpReport> {
    await sleep(BLOCK_TIME);
    await terminate(this.#child, "SIGINT");
    const fields = ["frame.number", "bmp.type", "bmp.peer.type", "_ws.malformed", "_ws.expert.severity"];
    const output = await run("tshark", [
      "-r",
      this.#file,
      "-o",
      "tcp.check_checksum:FALSE",
      "-d",
      `tcp.port==${this.#port},bmp`,
      "-Y",
      `sll.pkttype == ${OUTGOING} && bmp`,
      "-T",
      "fields",
      ...fields.flatMap((field) => ["-e", field]),
    ]);
    const types = new Map<string, number>();
    const faults: string[] = [];
    for (const line of output.split("\n").filter(Boolean)) {
      const [frame, messages, peerTypes, malformed, severities] = line.split("\t").map((field) => field.split(","));
      for (const type of messages) types.set(type, (types.get(type) ?? 0) + 1);
      // Those without a per-peer header: Initiation and Termination.
      const ofPeers = messages.filter((type) => type !== "4" && type !== "5");
      const named = ofPeers.filter((type, i) => type === PEER_UP && peerTypes[i] === LOC_RIB).length;
      const marks = malformed.filter((mark) => mark.startsWith("[Malformed")).length;
      // 0x00800000 is "error" in Wireshark's epan/proto.h; a malformed mark is one of them.
      const errors = severities.filter((severity) => Number(severity) >= 0x00800000).length;
      if (marks > named || errors > marks) faults.push(`frame ${frame}, BMP types ${messages}: ${malformed}`);
    }
    return { types, faults };
  }
}
