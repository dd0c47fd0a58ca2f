// Every check there is, in the order in which findings are told: from the daemon and what it was told, along the way of a
// route to the kernel and the pods, to what is around them. docs/troubleshooting.md has them all; a test compares.
import { blockChecks } from "./checks/blocks.ts";
import { cniChecks } from "./checks/cni.ts";
import { configChecks } from "./checks/config.ts";
import { daemonChecks } from "./checks/daemon.ts";
import { foreignChecks } from "./checks/foreign.ts";
import { kernelChecks } from "./checks/kernel.ts";
import { peerChecks } from "./checks/peers.ts";
import { podChecks } from "./checks/pods.ts";
import { sharedChecks } from "./checks/shared.ts";
import { stateChecks } from "./checks/state.ts";
import { uplinkChecks } from "./checks/uplinks.ts";
import type { Check } from "./types.ts";

/** Checks by the part of the node that they are about. */
export const sections: readonly { readonly title: string; readonly checks: readonly Check[] }[] = [
  { title: "Daemon", checks: daemonChecks },
  { title: "Configuration", checks: configChecks },
  { title: "Neighbours", checks: peerChecks },
  { title: "Uplinks", checks: uplinkChecks },
  { title: "Kernel", checks: kernelChecks },
  { title: "Other programs and settings", checks: foreignChecks },
  { title: "Blocks", checks: blockChecks },
  { title: "Shared pools", checks: sharedChecks },
  { title: "Pods", checks: podChecks },
  { title: "State", checks: stateChecks },
  { title: "Container runtime", checks: cniChecks },
];

export const registry: readonly Check[] = sections.flatMap(({ checks }) => checks);
