// RunPodSandbox and StopPodSandbox as the kubelet asks containerd for them, with underlay beside the reference ptp +
// host-local, interleaved in one run:
//
//   host1   containerd, underlay chained with nothing     dual stack, and a pool of IPv4 alone; its state on disk, fsynced
//   host2   containerd, ptp + host-local                  IPv4, and dual stack, which waits for DAD; its state in memory
//           host network                                  no CNI call but loopback: what the rest of a sandbox costs
//
// One sandbox after the other, then ten at once. Milliseconds from the request to the answer.
import { join } from "node:path";
import { waitFor } from "../interop/support/wait.ts";
import { ClientRack } from "../system/support/clients/client-rack.ts";
import { Containerd } from "../system/support/clients/containerd.ts";
import type { Sandbox } from "../system/support/clients/cri.ts";
import { writePodImage } from "../system/support/clients/pod-image.ts";

const PARALLEL = 10;

const ptp = (...subnets: string[]) => ({
  cniVersion: "1.0.0",
  name: "ptp",
  plugins: [{ type: "ptp", ipam: { type: "host-local", ranges: subnets.map((subnet) => [{ subnet }]) } }],
});

interface Variant {
  readonly name: string;
  readonly containerd: Containerd;
  readonly sandbox: Partial<Sandbox>;
  /** Makes it the network of its containerd. */
  readonly prepare: () => Promise<void>;
}

interface Times {
  readonly start: number[];
  readonly stop: number[];
}

export async function run(count: number): Promise<void> {
  const rack = await ClientRack.start("cribench");
  try {
    const image = writePodImage(join(rack.lab.directory, "image"));
    const [ours, theirs] = await Promise.all(rack.hosts.map((host) => Containerd.start(host, image)));
    await rack.converged();
    await rack.hosts[0].install();
    await rack.hosts[1].ctl("cni", "uninstall");
    const list = async (...subnets: string[]) => {
      await rack.hosts[1].node.write("/etc/cni/net.d/10-ptp.conflist", JSON.stringify(ptp(...subnets)));
      await waitFor(async () => (await theirs.cri.networkReady()) === "ready", "the network", { interval: 20 });
    };
    const nothing = async () => {};
    const ipv4 = { name: "ptp, IPv4", containerd: theirs, sandbox: {}, prepare: () => list("10.88.0.0/16") };
    const variants: Variant[] = [
      { name: "underlay, dual stack", containerd: ours, sandbox: {}, prepare: nothing },
      {
        name: "underlay, IPv4",
        containerd: ours,
        sandbox: { annotations: { "underlay.dev/pool": "second" } },
        prepare: nothing,
      },
      ipv4,
      { name: "host network", containerd: theirs, sandbox: { hostNetwork: true }, prepare: nothing },
    ];
    await ipv4.prepare();
    await measure(variants, 3, 1);
    report("one by one", await measure(variants, count, 1));
    report(`${PARALLEL} at once`, await measure(variants, Math.ceil(count / PARALLEL), PARALLEL));
    const dual = { ...ipv4, name: "ptp, dual stack", prepare: () => list("10.88.0.0/16", "fd88::/64") };
    await dual.prepare();
    report("one by one", await measure([variants[0], dual], Math.ceil(count / 3), 1));
  } finally {
    await rack.close();
  }
}

/** Every variant in turn, `rounds` times. */
async function measure(variants: readonly Variant[], rounds: number, parallel: number): Promise<Map<string, Times>> {
  const times = new Map(variants.map(({ name }) => [name, { start: [], stop: [] } as Times]));
  for (let round = 0; round < rounds; round++)
    for (const { name, containerd, sandbox } of variants) {
      const { start, stop } = times.get(name)!;
      const { cri, host } = containerd;
      const indexes = Array.from({ length: parallel }, (_, index) => index);
      const ids = await Promise.all(
        indexes.map((index) =>
          timed(start, () => cri.run({ name: `p${index}`, cgroupParent: `/${host.node.cgroup}`, ...sandbox })),
        ),
      );
      await Promise.all(ids.map((id) => timed(stop, () => stopped(cri, id))));
      await Promise.all(ids.map((id) => cri.remove(id)));
    }
  return times;
}

/** As the kubelet does it: again, when containerd 1.6 has lost its shim over ten at once. */
async function stopped(cri: Containerd["cri"], id: string): Promise<void> {
  for (let attempt = 1; ; attempt++)
    try {
      return await cri.stop(id);
    } catch (error) {
      if (attempt === 5 || !(error as Error).message.includes("ttrpc: closed")) throw error;
    }
}

async function timed<T>(samples: number[], work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  samples.push(performance.now() - started);
  return result;
}

function report(how: string, times: ReadonlyMap<string, Times>): void {
  for (const [name, { start, stop }] of times)
    console.log(
      `${how.padEnd(11)} ${name.padEnd(21)} RunPodSandbox ${numbers(start)}   StopPodSandbox ${numbers(stop)}   n ${start.length}`,
    );
}

function numbers(samples: number[]): string {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))].toFixed(1).padStart(7);
  return `p50 ${at(0.5)} p99 ${at(0.99)}`;
}
