// ADD: the pod is wired with addresses of a pool, or of another plugin, and the caller is told when it can be reached.
// In: the call, the network configuration. Out: the result, appended to that of the plugins before us in a chain. All
// or nothing: whatever fails takes back what was done.
import type { Log } from "../net/log.ts";
import { hostPrefixText } from "../net/prefix.ts";
import { buildResult } from "./attach-result.ts";
import type { Attachment } from "./attachment.ts";
import type { Attachments } from "./attachments.ts";
import { allocateBy, delegateOf } from "./ipam/delegate.ts";
import { namespaceOf, type PodRecord } from "./ipam/records.ts";
import { namespaceId } from "./namespace.ts";
import { type NetworkConfig, refuseUnsupported } from "./protocol/config.ts";
import type { CniCall } from "./protocol/environment.ts";
import { CniError, CniErrorCode } from "./protocol/error.ts";
import { parsePodRequest } from "./protocol/pod-request.ts";
import { readyOf } from "./protocol/ready.ts";
import { appendResult, formatResult, parsePrevResult } from "./protocol/result.ts";
import { type Caller, type Readiness, type ReadyOptions, readinessKey } from "./readiness.ts";

const DEFAULT_MTU = 1500;
/** RFC 8200 §5. */
const MINIMUM_IPV6_MTU = 1280;

export interface AddParts {
  readonly attachments: Attachments;
  readonly readiness: Readiness;
  /** Where the network configuration says nothing. */
  readonly ready: ReadyOptions;
  /** As `ready`; null: that of the uplinks. */
  readonly mtu: number | null;
  /** The smallest MTU among the uplinks; null when there is none. */
  readonly uplinkMtu: () => number | null;
  /** Why no pod may be attached now; null: it may. */
  readonly refusal: () => string | null;
  readonly log: Log;
}

/** What a successful ADD has to say beside its result. */
export interface AddNotes {
  notReady?: string;
}

/** Call within exclusively(). Throws a CniError: 11 for what another attempt may bring. */
export async function add(
  parts: AddParts,
  call: CniCall,
  config: NetworkConfig,
  caller: Caller | undefined,
  notes: AddNotes,
): Promise<string> {
  const { attachments } = parts;
  const refusal = parts.refusal();
  if (refusal !== null) throw new CniError(CniErrorCode.tryAgainLater, `pods cannot be attached now: ${refusal}`);
  refuseUnsupported(config);
  const ready = readyOf(config.raw, parts.ready);
  const request = parsePodRequest(config, call.args);
  const previous = config.prevResult === undefined ? null : parsePrevResult(config.prevResult, config.cniVersion);
  const delegate = delegateOf(config, call.env);
  const pools = delegate
    ? []
    : attachments.allocator.choosePools(
        request.pools.length > 0 ? request.pools : config.pools,
        namespaceOf(request.pod),
      );
  const mtu = mtuOf(parts, config, pools);
  let [answer, blocks]: [string, readonly string[]] = ["", []];
  const attachment = await attachments.add({
    network: config.name,
    containerId: call.containerId,
    ifname: call.ifname,
    pools,
    netns: call.netns,
    netnsId: await namespaceId(call.netns, call.netnsOverride),
    mtu,
    request,
    onPlanned: (planned) => {
      const ours = buildResult(planned, mtu, config.dns);
      answer = formatResult(previous ? appendResult(previous, ours) : ours, config.cniVersion);
      blocks = blocksOf(attachments, planned.record);
    },
    ...(delegate && { delegation: { delegate, allocate: () => allocateBy(delegate, call.env, config) } }),
  });
  await untilReady(parts, call, attachment, blocks, ready, caller, notes);
  return answer;
}

/** The pod is wired: waits until it can be reached. Rejects with code 11 and takes it back when it is not to be had. */
async function untilReady(
  { attachments, readiness, log }: AddParts,
  call: CniCall,
  { record }: Attachment,
  blocks: readonly string[],
  ready: ReadyOptions,
  caller: Caller | undefined,
  notes: AddNotes,
): Promise<void> {
  const outcome = await readiness.wait(readinessKey(call), ready, blocks, caller);
  if (outcome.kind === "ready") return;
  const { reason } = outcome;
  if (outcome.kind === "late" && ready.fallback === "attach") {
    notes.notReady = reason;
    const { containerId, ifname, pod, addresses } = record;
    log.warn({ containerId, ifname, pod, addresses, reason }, "pod attached before it can be reached");
    return;
  }
  await attachments.remove(record);
  throw new CniError(
    CniErrorCode.tryAgainLater,
    outcome.kind === "late"
      ? `the pod was taken back, it could not be reached within ${ready.timeout / 1000} s (ready: ${ready.level}): ${reason}`
      : `the pod was taken back before it could be reached: ${reason}`,
  );
}

/** That have to be announced for a pod to be reached. */
function blocksOf({ allocator }: Attachments, { addresses }: PodRecord): readonly string[] {
  // One that is in no block may be announced by itself.
  const single = addresses.filter((address) => !allocator.covers(address));
  return [...allocator.blocksOf(addresses), ...single.map(hostPrefixText)];
}

function mtuOf({ attachments, mtu, uplinkMtu }: AddParts, config: NetworkConfig, pools: readonly string[]): number {
  const chosen = config.mtu ?? mtu ?? uplinkMtu() ?? DEFAULT_MTU;
  const ipv6 = attachments.allocator.pools.find(
    ({ name, blocks }) => pools.includes(name) && blocks.some((block) => block.includes(":")),
  );
  if (ipv6 && chosen < MINIMUM_IPV6_MTU)
    throw new CniError(
      CniErrorCode.invalidConfig,
      `MTU ${chosen} is too small for pool "${ipv6.name}": IPv6 needs ${MINIMUM_IPV6_MTU}`,
    );
  return chosen;
}
