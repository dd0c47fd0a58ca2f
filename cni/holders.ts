// Who keeps a network namespace that has no path any more: a process or thread in it, a mount of it in any mount
// namespace, or an open descriptor (kernels before 5.14 do not tell: there nothing is proven). Looked up in /proc, all
// of it, and only when somebody asks about a namespace that seems to be nobody's.
import { readdir, readFile, readlink } from "node:fs/promises";

/** Inode of the first PID namespace (PROC_PID_INIT_INO): whoever is in it sees every process. */
const FIRST_PID_NAMESPACE = "pid:[4026531836]";

/** Descriptors that are no files. */
const OTHER = /^(socket|pipe|anon_inode):/;

export interface Holders {
  /** In words, by `device:inode` of the namespace. */
  readonly of: ReadonlyMap<string, string>;
  /** False: not every process can be seen, so that absence proves nothing. */
  readonly complete: boolean;
}

/** `ids`: `device:inode` of the namespaces. Rejects when /proc cannot be read. */
export async function findHolders(ids: ReadonlySet<string>, proc = "/proc"): Promise<Holders> {
  const idOf = new Map([...ids].map((id) => [`net:[${id.split(":")[1]}]`, id]));
  const of = new Map<string, string>();
  let isInit = false;
  let complete = (await readlink(`${proc}/self/ns/pid`)) === FIRST_PID_NAMESPACE;
  const self = await readlink(`${proc}/self`);
  /** What is gone was nobody; what may not be looked at could be anybody. */
  const look = async <T>(reading: Promise<T>, nothing: T): Promise<T> => {
    try {
      return await reading;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ESRCH" && code !== "ENOTDIR" && !isInit) complete = false;
      return nothing;
    }
  };
  const held = (target: string, how: string) => {
    const id = idOf.get(target);
    if (id !== undefined && !of.has(id)) of.set(id, how);
  };
  /**
   * Opened where it was mounted, it shows as that path, or as none any more. What it is says its inode; no file is
   * touched for it.
   */
  const openedByPath = async (directory: string, descriptor: string) => {
    const info = await look(readFile(`${directory}/fdinfo/${descriptor}`, "utf8"), "");
    const inode = /^ino:\t(\d+)$/m.exec(info)?.[1];
    if (info !== "" && inode === undefined) complete = false;
    return inode === undefined ? undefined : idOf.get(`net:[${inode}]`);
  };
  const mountNamespaces = new Set<string>();
  for (const pid of await readdir(proc)) {
    if (!/^[0-9]+$/.test(pid) || pid === self) continue;
    // The host's own first process is in no pod; some hosts let nobody look at it.
    isInit = pid === "1";
    const directory = `${proc}/${pid}`;
    const name = async () => `process ${pid} (${(await look(readFile(`${directory}/comm`, "utf8"), "?")).trim()})`;
    for (const thread of await look(readdir(`${directory}/task`), [])) {
      const target = await look(readlink(`${directory}/task/${thread}/ns/net`), "");
      if (idOf.has(target)) held(target, `${await name()} is in it`);
    }
    for (const descriptor of await look(readdir(`${directory}/fd`), [])) {
      const target = await look(readlink(`${directory}/fd/${descriptor}`), "");
      const id = idOf.get(target) ?? (OTHER.test(target) ? undefined : await openedByPath(directory, descriptor));
      if (id !== undefined) held(`net:[${id.split(":")[1]}]`, `${await name()} has it open`);
    }
    const mounts = await look(readlink(`${directory}/ns/mnt`), "");
    if (mounts === "" || mountNamespaces.has(mounts)) continue;
    mountNamespaces.add(mounts);
    for (const line of (await look(readFile(`${directory}/mountinfo`, "utf8"), "")).split("\n")) {
      const [, , , root, path] = line.split(" ");
      if (root !== undefined && idOf.has(root)) held(root, `it is mounted at ${path}, as ${await name()} sees it`);
    }
  }
  return { of, complete };
}
