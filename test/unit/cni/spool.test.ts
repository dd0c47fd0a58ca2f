// The spool of DEL calls: replayed in order, whatever happens to single files meanwhile.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Spool } from "../../../cni/spool.ts";
import type { CniRequest } from "../../../cni/types.ts";
import { silentLog } from "../../../net/log.ts";

let directory: string;
let replayed: string[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ul-spool-"));
  replayed = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const put = (name: string, id: string) =>
  writeFileSync(join(directory, name), `CNI_COMMAND=DEL\0CNI_CONTAINERID=${id}\0\0{}`);
const spool = (onReplay: (id: string) => { code: number } | undefined = () => undefined) =>
  new Spool(directory, silentLog, async (request: CniRequest) => {
    const id = request.env.CNI_CONTAINERID!;
    replayed.push(id);
    const failure = onReplay(id);
    return failure ? { exitCode: 1, stdout: JSON.stringify(failure) } : { exitCode: 0, stdout: "" };
  });

it("replays all in the order of their names, and leaves nothing", async () => {
  for (const id of ["3", "1", "2"]) put(`${id}.del`, id);
  put(".4.del", "unfinished");
  await spool().replay();
  expect(replayed).toEqual(["1", "2", "3"]);
  expect(readdirSync(directory)).toEqual([".4.del"]);
});

it("goes on when the client takes a file back, before it is read or while it is replayed", async () => {
  for (const id of ["1", "2", "3", "4"]) put(`${id}.del`, id);
  await spool((id) => {
    if (id === "1") for (const taken of ["1", "2"]) rmSync(join(directory, `${taken}.del`), { force: true });
    return undefined;
  }).replay();
  expect(replayed).toEqual(["1", "3", "4"]);
  expect(readdirSync(directory)).toEqual([]);
});

it("goes on past a file that cannot be read, one that has to wait, and one that will never do", async () => {
  mkdirSync(join(directory, "1.del"));
  symlinkSync("/etc/passwd", join(directory, "0.del"));
  execFileSync("mkfifo", [join(directory, "00.del")]);
  put("2.del", "later");
  put("3.del", "never");
  put("4.del", "good");
  writeFileSync(join(directory, "5.del"), "garbage");
  const strange = ["0.del", "00.del", "1.del"];
  const failures: Record<string, { code: number }> = { later: { code: 11 }, never: { code: 7 } };
  const replaying = spool((id) => failures[id]);
  await replaying.replay();
  expect(replayed).toEqual(["later", "never", "good"]);
  expect(readdirSync(directory).sort()).toEqual([...strange, "2.doing", "3.del.bad", "5.del.bad"]);
  delete failures.later;
  await replaying.replay();
  expect(readdirSync(directory).sort()).toEqual([...strange, "3.del.bad", "5.del.bad"]);
});

it("carries out what a crash has interrupted, before the rest", async () => {
  put("1.doing", "interrupted");
  put("2.del", "waiting");
  await spool().replay();
  expect(replayed).toEqual(["interrupted", "waiting"]);
  expect(readdirSync(directory)).toEqual([]);
});

it("carries nothing out twice that it could not remove: the same name may be attached anew", async () => {
  put("1.del", "again");
  // While the DEL is carried out, its file becomes something that unlink() refuses.
  const replaying = spool(() => {
    unlinkSync(join(directory, "1.doing"));
    mkdirSync(join(directory, "1.doing"));
    return undefined;
  });
  await replaying.replay();
  rmSync(join(directory, "1.doing"), { recursive: true });
  put("1.doing", "again");
  await replaying.replay();
  expect(replayed).toEqual(["again"]);
  expect(readdirSync(directory)).toEqual([]);
});

it("reads no directory that others may write to", async () => {
  put("1.del", "planted");
  chmodSync(directory, 0o777);
  await spool().replay();
  expect(replayed).toEqual([]);
  chmodSync(directory, 0o700);
});
