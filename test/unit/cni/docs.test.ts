// docs/cni.md names everything that a caller can meet.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { CniErrorCode } from "../../../cni/protocol/error.ts";
import { ANNOTATIONS_CAPABILITY, annotationNames } from "../../../cni/protocol/pod-request.ts";

const text = readFileSync(join(import.meta.dirname, "../../../docs/cni.md"), "utf8");

it.each(Object.entries(CniErrorCode))("error %s (%i)", (_name, code) => {
  expect(text).toMatch(new RegExp(`^\\| ${code} \\|`, "m"));
});

it.each([ANNOTATIONS_CAPABILITY, ...Object.values(annotationNames)])("%s", (name) => expect(text).toContain(name));
