// What several sections of the schema share.
import type { Family } from "../../net/address.ts";
import { integer, word } from "../scalar.ts";
import * as s from "../scalars.ts";

export const u32 = integer("number", 0, s.MAX_U32);
export const family = word<Family>({ ipv4: 4, ipv6: 6 });

/** A default in words. */
export const otherwise = (words: string) => ({ $comment: `default: ${words}` });
