// The examples of docs/policy.md are loaded as they stand there, and the routes in their comments come out as the
// comments say.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { formatCommunity } from "../../../bgp/community-text.ts";
import { type PolicyTrace, tracePolicy } from "../../../bgp/policy/trace.ts";
import { parseConfig } from "../../../config/load.ts";
import {
  describedAttributes,
  type PolicyRequest,
  requestedPeer,
  requestedPolicy,
  requestedPrefix,
} from "../../../config/policy-request.ts";

const text = readFileSync(join(import.meta.dirname, "../../../docs/policy.md"), "utf8");
const examples = [...text.matchAll(/^### (.*)\n\n```yaml\n([\s\S]*?)```/gm)].map(([, title, yaml]) => ({
  title,
  yaml,
}));
const TOP = "node: { name: n1, asn: 65101, routerId: 10.0.0.11 }\n";

/** `med=5 asPath="1 2"` */
function pairs(words: string): Record<string, string> {
  const found = words.matchAll(/(\w+)=(?:"([^"]*)"|(\S+))/g);
  return Object.fromEntries([...found].map(([, key, quoted, plain]) => [key, quoted ?? plain]));
}

describe("docs/policy.md", () => {
  it("has its examples", () => expect(examples.length).toBe(5));

  it.each(examples)("$title", ({ yaml }) => {
    const { config } = parseConfig(TOP + yaml, "policy.md");
    const routes = [...yaml.matchAll(/^# route (\S+) ([^\s:]+(?::[^\s]*)?\/\d+)(.*?): (accept|reject)(.*)$/gm)];
    expect(routes.length).toBe([...yaml.matchAll(/^# route/gm)].length);
    for (const [line, policy, prefix, given, verdict, expected] of routes) {
      const { community, ...rest } = pairs(given);
      const request: PolicyRequest = { ...rest, policy, prefix, ...(community && { communities: [community] }) };
      const trace: PolicyTrace = tracePolicy(
        requestedPolicy(config, request),
        { prefix: requestedPrefix(request), peer: requestedPeer(request), attributes: describedAttributes(request) },
        { community: formatCommunity, table: (id) => config.tables.find((table) => table.id === id)?.name ?? "" },
      );
      expect([line, trace.verdict]).toEqual([line, verdict]);
      for (const [key, value] of Object.entries(pairs(expected)))
        expect([line, trace.after?.[key as keyof typeof trace.after]]).toEqual([line, value]);
    }
  });
});
