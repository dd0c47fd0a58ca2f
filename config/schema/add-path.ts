// `addPath` of a peer: a word, or a map.
import * as z from "zod";
import { boolean, integer, one, quote, Refusal, type Scalar, suggestion } from "../scalar.ts";

const addPathSend: Scalar<"all" | "multipath" | number | null> = {
  json: {
    title: "`all`, `multipath`, a number or `false`",
    anyOf: [{ enum: ["all", "multipath", false] }, { type: "integer", minimum: 1, maximum: 255 }],
  },
  parse(value) {
    if (value === false) return null;
    if (value === "all" || value === "multipath") return value;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 255) return value;
    return new Refusal(
      `${quote(value)} is not a choice of paths`,
      "write all, multipath, a number of best paths from 1 to 255, or false",
    );
  },
};

const addPathMap = z.strictObject({
  receive: one(boolean, "Take several paths of a prefix from the neighbour.").prefault(true),
  send: one(
    addPathSend,
    "What the neighbour is sent of each prefix: `all` paths that can be used, those in use at once (`multipath`), or so many best ones. `false`: the best path alone, as without ADD-PATH.",
  ).prefault(false),
  limit: one(
    integer("number of paths", 1, 255),
    "So many paths of one prefix are kept from the neighbour at most; further ones are counted and ignored.",
  ).prefault(16),
});

export type AddPathMap = z.output<typeof addPathMap>;

/** What a word or `false` in place of the map stands for. */
const addPathWord: Scalar<AddPathMap | null> = {
  json: { title: "map, `receive`, `send`, `both` or `false`", enum: ["receive", "send", "both", false] },
  parse(value) {
    const limit = addPathMap.parse({}).limit;
    if (value === false) return null;
    if (value === "receive") return { receive: true, send: null, limit };
    if (value === "send") return { receive: false, send: "all", limit };
    if (value === "both") return { receive: true, send: "all", limit };
    const hint = "the map has receive, send and limit";
    return new Refusal(
      `${quote(value)} is not one of receive, send, both, false, nor a map`,
      suggestion(value, ["receive", "send", "both"]) ?? hint,
    );
  },
};

export const addPath = z
  .union([addPathMap, one(addPathWord, "")])
  .prefault(false)
  .meta({ title: "map, `receive`, `send`, `both` or `false`" })
  .describe(
    "Several paths per prefix (ADD-PATH, RFC 7911), for all families. `send` and `both` send `all`. Other routers call it `addpath-tx-all-paths` (FRR), `add paths` (BIRD), `add-paths` (GoBGP).",
  );
