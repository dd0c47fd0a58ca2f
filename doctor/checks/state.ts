// The state directory, the journal of allocations, and DELs that wait.
import { podKey } from "../../cni/ipam/records.ts";
import { type Check, check } from "../types.ts";

const LEAST_BYTES = 4 << 20;
const LEAST_INODES = 16;

export const stateChecks: readonly Check[] = [
  check({
    id: "state-not-writable",
    severity: "fault",
    title: "The state directory cannot be written to: no pod can be attached or detached.",
    cure: "make it writable: the disk is full (ENOSPC), read-only (EROFS), or the directory is gone (ENOENT)",
    needs: ["state"],
    *run({ state }) {
      if (state.refused !== null) yield { subject: state.path, text: `cannot be written to (${state.refused})` };
    },
  }),
  check({
    id: "state-nearly-full",
    severity: "warning",
    title: "The disk of the state directory is nearly full.",
    cure: "make room before allocations cannot be written down any more",
    needs: ["state"],
    *run({ state }) {
      const { free } = state;
      if (free && (free.bytes < LEAST_BYTES || free.inodes < LEAST_INODES))
        yield {
          subject: state.path,
          text: `${free.bytes >> 10} KiB (${free.percent} %) and ${free.inodes} inodes are free`,
        };
    },
  }),
  check({
    id: "state-in-memory",
    severity: "warning",
    title:
      "The state directory is in memory: after a boot it is empty. Pods do not outlive a boot either, so nothing is lost but the order in which addresses are used again.",
    cure: "put paths.state on a disk",
    needs: ["state"],
    *run({ state }) {
      if (state.inMemory) yield { subject: state.path, text: "is on a file system in memory" };
    },
  }),
  check({
    id: "journal-missing",
    severity: "fault",
    title: "The journal of allocations was deleted under the running daemon: what it writes is lost with its end.",
    cure: "restart the daemon: pods are recovered from their interfaces, and a new journal is written",
    needs: ["state", "daemon", "config"],
    *run({ state, config }) {
      if (state.journal.found === null && config.pools.length > 0)
        yield { subject: state.journal.path, text: "is not there" };
    },
  }),
  check({
    id: "journal-damaged",
    severity: "fault",
    title:
      "The journal of allocations is damaged on disk. A start uses what is good of it and finds running pods by their interfaces; the order in which addresses are used again suffers.",
    cure: "restart the daemon: it writes a new one, and keeps the damaged one as allocations.journal.damaged; look after the disk",
    needs: ["state"],
    settles: true,
    *run({ state }) {
      const { path, found } = state.journal;
      if (found?.damage) yield { subject: path, text: found.damage };
      else if (found && found.torn > 0)
        yield { subject: path, text: `ends in ${found.torn} bytes that are no whole record` };
    },
  }),
  check({
    id: "journal-differs",
    severity: "fault",
    title:
      "The journal of allocations does not say what the daemon knows: it was replaced, or written by somebody else.",
    cure: "restart the daemon: pods are recovered from their interfaces",
    needs: ["state", "pods"],
    settles: true,
    *run({ state, pods }) {
      const { found } = state.journal;
      if (!found || found.damage !== null) return;
      const known = new Map(pods.map((pod) => [podKey(pod), pod]));
      const written = new Set(found.pods);
      for (const key of known.keys())
        if (!written.has(key)) yield { subject: key, text: `the pod is not in ${state.journal.path}` };
      for (const key of written)
        if (!known.has(key)) yield { subject: key, text: `is in ${state.journal.path}, and there is no such pod` };
    },
  }),
  check({
    id: "journal-aside",
    severity: "warning",
    title:
      "A journal of allocations was found damaged at a start (.damaged), or another file in its place (.displaced), and was put aside: pods were found by their interfaces.",
    cure: "find out why (the log of that time, the disk: dmesg, smartctl), then delete the file",
    needs: ["state"],
    *run({ state }) {
      for (const name of state.aside) yield { subject: state.path, text: `${name} was put aside` };
    },
  }),
  check({
    id: "spool-waiting",
    severity: "fault",
    title:
      "DELs that came while the daemon was away, or could not be carried out, wait in the spool: their addresses are still taken.",
    cure: "the daemon tries again every few seconds; its log says what is in the way",
    needs: ["state"],
    *run({ state }) {
      const { path, waiting } = state.spool;
      if (waiting.length > 0) yield { subject: path, text: `${waiting.length} DELs wait, the first is ${waiting[0]}` };
    },
  }),
  check({
    id: "spool-set-aside",
    severity: "warning",
    title: "DELs that can never be carried out were set aside in the spool, for a person to look at.",
    cure: "the log says why; delete the .bad files when they are understood",
    needs: ["state"],
    *run({ state }) {
      const { path, setAside } = state.spool;
      if (setAside.length > 0)
        yield { subject: path, text: `${setAside.length} set aside, the first is ${setAside[0]}` };
    },
  }),
];
