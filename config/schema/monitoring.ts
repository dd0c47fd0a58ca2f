// Monitoring protocols in the file: BMP collectors and MRT files.
import * as z from "zod";
import { seconds } from "../durations.ts";
import { boolean, integer, list, one, word } from "../scalar.ts";
import * as s from "../scalars.ts";
import { otherwise } from "./common.ts";

/** Seconds. */
const DAY = 86400;

const bmpCollector = z
  .strictObject({
    address: one(s.unicastAddress, "The collector's address."),
    port: one(integer("port", 1, 65535), "Its TCP port. BMP has none of its own; 11019 and 1790 are usual."),
    localAddress: one(s.unicastAddress, "Address of this node to connect from.")
      .optional()
      .meta(otherwise("the kernel's choice")),
    adjRibIn: list(
      word({ "pre-policy": "prePolicy" as const, "post-policy": "postPolicy" as const }),
      "What neighbours say: as received, and as the import policy leaves it. `[]`: neither.",
    ).prefault(["pre-policy", "post-policy"]),
    locRib: one(boolean, "The routes in use, of each table (RFC 9069).").prefault(true),
    statistics: z
      .union([z.literal(false), one(seconds(1, DAY), "duration")])
      .prefault("60s")
      .meta({ title: "duration or `false`" })
      .describe("Pause between two Statistics Reports; `false`: none."),
    connectRetry: one(
      seconds(1, DAY),
      "Longest pause between attempts to connect; it begins at one second and doubles.",
    ).prefault("60s"),
  })
  .describe("One BMP collector (RFC 7854), which this node connects to; its name is yours to choose.");

const files = (interval: string, keep: number) => ({
  interval: one(seconds(1, DAY), "How often a new file begins.").prefault(interval),
  keep: one(integer("number", 1, 100_000), "So many of the newest files stay, older ones are deleted.").prefault(keep),
});

export const mrt = z
  .strictObject({
    directory: one(s.absolutePath, "Where the files go; made when it is not there.")
      .optional()
      .meta(otherwise("`mrt` in `paths.state`")),
    updates: z
      .union([z.literal(false), z.strictObject(files("15m", 96))])
      .prefault({})
      .describe("What neighbours say, as it comes, and changes of their sessions' state; `false`: not written."),
    tables: z
      .union([z.literal(false), z.strictObject(files("2h", 12))])
      .prefault({})
      .describe("Everything that neighbours have told, and this node's own routes; `false`: only `underlayctl dump`."),
    microseconds: one(boolean, "Times in `updates` files with microseconds (BGP4MP_ET).").prefault(false),
  })
  .describe("MRT files (RFC 6396), as `bgpdump` and others read them.");

export const monitoring = z
  .strictObject({
    bmp: z
      .record(z.string().meta(s.name.json), bmpCollector)
      .prefault({})
      .meta({ title: "map" })
      .describe("BMP collectors (RFC 7854), by name."),
    mrt: z
      .union([z.literal(false), mrt])
      .prefault(false)
      .describe("MRT files (RFC 6396); `false`: none."),
  })
  .describe("What this node tells to those who watch the routing. Nothing of it can delay BGP.");
