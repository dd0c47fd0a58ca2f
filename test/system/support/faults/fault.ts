// A fault: how it is made with the means that really make it, what the doctor has to say about it, how it is taken back.
import { renameSync, writeFileSync } from "node:fs";
import type { NodeYaml, SickNode, TorConfig } from "../sick-node.ts";

export type Undo = () => unknown;
export type Inject = (sick: SickNode) => Undo | Promise<Undo>;

export interface Fault {
  readonly check: string;
  readonly what: string;
  /** `subject: text` of the finding. */
  readonly said: RegExp;
  /** Does harm; returns how to take it back. */
  readonly inject: Inject;
}

export function fault(check: string, what: string, said: RegExp, inject: Inject): Fault {
  return { check, what, said, inject };
}

/** A file is another one for a while, or away. */
export function replaced(path: string, content: string | null): Undo {
  renameSync(path, `${path}.away`);
  if (content !== null) writeFileSync(path, content);
  return () => renameSync(`${path}.away`, path);
}

/** Another configuration file, not taken over. */
export function written(yaml: NodeYaml): Inject {
  return (sick) => {
    sick.write(yaml);
    return () => sick.write();
  };
}

/** Another configuration in force. */
export function reloaded(yaml: NodeYaml): Inject {
  return async (sick) => {
    await sick.reload(yaml);
    return () => sick.reload();
  };
}

export function torConfigured(config: TorConfig): Inject {
  return async (sick) => {
    await sick.configureTor(config);
    return () => sick.configureTor();
  };
}

/** `ip` on the node with these arguments, then with those. */
export function ip(does: string, undoes: string): Inject {
  return (sick) => {
    sick.ip(...does.split(" "));
    return () => sick.ip(...undoes.split(" "));
  };
}

export function settings(name: string, bad: number, good: number): Inject {
  return async (sick) => {
    await sick.sysctl(name, bad);
    return () => sick.sysctl(name, good);
  };
}

/** With a pod of its own, which is not needed afterwards. */
export function withPod(harm: (sick: SickNode, pod: string) => unknown): Inject {
  return async (sick) => {
    await sick.attach("victim");
    await harm(sick, "victim");
    return () => sick.detach("victim");
  };
}

/** A policy that rejects everything. */
export const nope = "policies: { nope: [{ then: reject }] }";
