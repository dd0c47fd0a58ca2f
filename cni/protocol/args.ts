// CNI_ARGS: `K=V;K=V`. Runtimes put the pod's name there, podman also a static address and MAC, and what its caller had.
import { CniError, CniErrorCode } from "./error.ts";

const known = new Set([
  "IgnoreUnknown",
  "IP",
  "MAC",
  "POOL",
  "STICKY",
  "K8S_POD_NAME",
  "K8S_POD_NAMESPACE",
  "K8S_POD_INFRA_CONTAINER_ID",
  "K8S_POD_UID",
]);

/** Exactly one `=` per pair; an unknown key is an error unless IgnoreUnknown is set. Throws code 4. */
export function parseCniArgs(text: string): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const pair of text.split(";")) {
    if (pair === "" && text === "") break;
    const parts = pair.split("=");
    if (parts.length !== 2 || parts[0] === "")
      throw new CniError(CniErrorCode.invalidEnvironment, `CNI_ARGS: invalid pair "${pair}"`, text);
    pairs.set(parts[0], parts[1]);
  }
  const ignore = pairs.get("IgnoreUnknown")?.toLowerCase() ?? "0";
  if (!["0", "1", "false", "true"].includes(ignore))
    throw new CniError(CniErrorCode.invalidEnvironment, `CNI_ARGS: IgnoreUnknown="${ignore}" is not a boolean`, text);
  if (ignore === "0" || ignore === "false") {
    const unknown = [...pairs.keys()].filter((key) => !known.has(key));
    if (unknown.length > 0)
      throw new CniError(
        CniErrorCode.invalidEnvironment,
        `CNI_ARGS: unknown args [${unknown.join(" ")}]; IgnoreUnknown=1 accepts them`,
        text,
      );
  }
  return pairs;
}

/** `namespace/name`, or the name alone, or null. */
export function podName(args: ReadonlyMap<string, string>): string | null {
  const name = args.get("K8S_POD_NAME");
  const namespace = args.get("K8S_POD_NAMESPACE");
  if (!name) return null;
  return namespace ? `${namespace}/${name}` : name;
}
