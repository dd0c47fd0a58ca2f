// Monitoring protocols in the file: BMP collectors.
import * as z from "zod";
import { seconds } from "../durations.ts";
import { boolean, integer, list, one, word } from "../scalar.ts";
import * as s from "../scalars.ts";
import { otherwise } from "./common.ts";

const DAY = 86400;

export const bmpCollector = z
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

export const monitoring = z
  .strictObject({
    bmp: z
      .record(z.string().meta(s.name.json), bmpCollector)
      .prefault({})
      .meta({ title: "map" })
      .describe("BMP collectors (RFC 7854), by name."),
  })
  .describe("What this node tells to those who watch the routing. Nothing of it can delay BGP.");
