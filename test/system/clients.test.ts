// Real container runtimes on two hosts with underlayd, behind two FRR switches: what they ask of the plugin in every way
// that they have, and their pods reach each other. One rack for all of them.
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Finding } from "../../doctor/types.ts";
import { containerdTests } from "./clients/containerd.ts";
import { libcniTests } from "./clients/libcni.ts";
import { podmanTests } from "./clients/podman.ts";
import { reachTests } from "./clients/reach.ts";
import { ask } from "./support/api.ts";
import { ClientRack } from "./support/clients/client-rack.ts";
import { Containerd } from "./support/clients/containerd.ts";
import { LibcniRuntime } from "./support/clients/libcni-runtime.ts";
import { writePodImage } from "./support/clients/pod-image.ts";
import { Podman } from "./support/clients/podman.ts";

let rack: ClientRack;
let podman: Podman;
let containerd: Containerd;
let libcni: LibcniRuntime;

beforeAll(async () => {
  rack = await ClientRack.start("clients");
  const image = writePodImage(join(rack.lab.directory, "image"));
  [podman, containerd, libcni] = await Promise.all([
    Podman.start(rack.hosts[0], image),
    Containerd.start(rack.hosts[1], image),
    LibcniRuntime.compile(rack.hosts[0], join(rack.lab.directory, "image/rootfs/www")),
    rack.converged(),
  ]);
});

afterAll(() => rack?.close());

it("the doctor finds nothing wrong with what `underlayctl cni install` has installed", async () => {
  for (const { underlay } of rack.hosts) {
    const findings = await ask<Finding[]>(underlay.socket, "/v1/doctor");
    expect(findings.filter(({ check }) => check.startsWith("cni-"))).toEqual([]);
  }
});

podmanTests(() => ({ rack, podman }));
containerdTests(() => ({ rack, containerd }));
libcniTests(() => ({ rack, libcni }));
reachTests(() => ({ rack, podman, containerd, libcni }));
