// The client executable by itself: what it answers without a daemon, and what it makes of a daemon that misbehaves.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";

const client = join(import.meta.dirname, "../../dist/underlay");
const directory = mkdtempSync(join(tmpdir(), "ul-cni-client-"));
const socket = join(directory, "d.sock");
const environment = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/x",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
};
const config = { cniVersion: "0.4.0", name: "net", type: "underlay", socket };

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `stdin` null leaves it open and silent. */
function run(env: Record<string, string>, stdin: string | Buffer | null): Promise<Run> {
  const child = spawn(client, [], { env });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  child.stdin.on("error", () => undefined);
  if (stdin !== null) child.stdin.end(stdin);
  return new Promise((resolve) =>
    child.once("close", (code) => {
      child.stdin.destroy();
      resolve({ code, stdout, stderr });
    }),
  );
}

let server: Server | null = null;
/** A daemon that answers every connection with the same bytes once the request has begun to arrive. */
function answerWith(answer: string | ((connection: Socket, request: Buffer) => void)): Promise<void> {
  server = createServer((connection) => {
    connection.on("error", () => undefined);
    const chunks: Buffer[] = [];
    connection.on("data", (chunk) => {
      chunks.push(chunk);
      if (typeof answer === "string") connection.end(answer);
      else answer(connection, Buffer.concat(chunks));
    });
  });
  return new Promise((resolve) => server!.listen(socket, resolve));
}

afterEach(async () => {
  const closing = server;
  server = null;
  if (closing) await new Promise((resolve) => closing.close(resolve));
  rmSync(join(directory, "spool"), { recursive: true, force: true });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("the CNI client", () => {
  it("prints a banner without CNI_COMMAND", async () => {
    const { code, stdout, stderr } = await run({}, null);
    expect([code, stdout]).toEqual([0, ""]);
    expect(stderr).toMatch(/^CNI underlay plugin .+\nCNI protocol versions supported: 0\.1\.0, .*, 1\.1\.0\n$/);
  });

  it.each([
    [JSON.stringify({ cniVersion: "0.3.1" }), "0.3.1"],
    ["", "1.1.0"],
    ["garbage", "1.1.0"],
  ])("answers VERSION by itself, stdin %j", async (stdin, version) => {
    const { code, stdout } = await run({ CNI_COMMAND: "VERSION", CNI_IFNAME: "dummy" }, stdin);
    expect(code).toBe(0);
    expect(["1.1.0", version]).toContain(JSON.parse(stdout).cniVersion);
    expect(JSON.parse(stdout).supportedVersions).toHaveLength(7);
  });

  it("does not wait for stdin on VERSION", async () => {
    expect((await run({ CNI_COMMAND: "VERSION" }, null)).code).toBe(0);
  });

  it.each([
    [{ CNI_NETNS: "", CNI_IFNAME: "" }, 4, "required env variables [CNI_NETNS,CNI_IFNAME] missing"],
    [{ CNI_COMMAND: "add" }, 4, "unknown CNI_COMMAND: add"],
    [{ CNI_CONTAINERID: "-c", CNI_NETNS: "" }, 4, "invalid characters in containerID"],
    [{ CNI_COMMAND: "DEL", CNI_CONTAINERID: "a/b" }, 4, "invalid characters in containerID"],
    [{ CNI_COMMAND: "CHECK", CNI_IFNAME: "eth%d" }, 4, "contains / or : or % or whitespace"],
    [{ CNI_IFNAME: "a".repeat(16) }, 4, "15 bytes at most"],
    [{ CNI_IFNAME: ".." }, 4, "is . or .."],
    [{ CNI_IFNAME: "a\u0001" }, 4, "control character"],
    [{ CNI_COMMAND: "STATUS", CNI_IFNAME: "a b" }, 50, "underlayd is not running"],
    [{}, 11, "underlayd is not running"],
    [{ CNI_COMMAND: "CHECK" }, 11, "underlayd is not running"],
    [{ CNI_COMMAND: "GC" }, 11, "underlayd is not running"],
    [{ CNI_COMMAND: "STATUS" }, 50, "underlayd is not running"],
  ])("fails with %j: code %i", async (env, code, message) => {
    const { code: exit, stdout, stderr } = await run({ ...environment, ...env }, JSON.stringify(config));
    expect([exit, stderr]).toEqual([1, ""]);
    expect(JSON.parse(stdout)).toMatchObject({ code, msg: expect.stringContaining(message), cniVersion: "0.4.0" });
    expect(stdout.toLowerCase()).not.toMatch(/no such file|not found/);
  });

  it("says what is wrong with the environment though nobody writes or closes stdin, and what with stdin", async () => {
    const { code, stdout } = await run({ ...environment, CNI_NETNS: "" }, null);
    expect([code, JSON.parse(stdout)]).toMatchObject([1, { code: 4, cniVersion: "1.1.0" }]);
    const child = spawnSync("sh", ["-c", `exec "${client}" <&-`], { env: environment, encoding: "utf8" });
    expect([child.status, JSON.parse(child.stdout).code]).toEqual([1, 5]);
    const directoryAsInput = spawnSync("sh", ["-c", `exec "${client}" </`], { env: environment, encoding: "utf8" });
    expect([directoryAsInput.status, JSON.parse(directoryAsInput.stdout).code]).toEqual([1, 5]);
  });

  it("finds the outer socket and cniVersion among look-alikes", async () => {
    const tricky = `{"a":{"socket":"/no"},"b":"\\"socket\\":\\"/no\\"", "cniVersion" : "0.3.0","l":[{"socket":"/no"}] ,"socket"\n:\t"${socket}"}`;
    await answerWith("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nUnderlay-Exit: 7\r\n\r\nabc");
    expect(await run(environment, tricky)).toEqual({ code: 7, stdout: "abc", stderr: "" });
  });

  it("carries the environment and stdin whole", async () => {
    let seen = "";
    await answerWith((connection, request) => {
      seen = request.toString("latin1");
      if (seen.endsWith("END")) connection.end("HTTP/1.1 200 OK\r\nunderlay-exit: 0\r\ncontent-length: 0\r\n\r\n");
    });
    const stdin = `${JSON.stringify({ ...config, pad: "x".repeat(300_000) })} END`;
    const { code } = await run({ ...environment, CNI_ARGS: "A=1;B=2", HOME: "/hidden" }, stdin);
    expect(code).toBe(0);
    const [head, body] = [seen.slice(0, seen.indexOf("\r\n\r\n")), seen.slice(seen.indexOf("\r\n\r\n") + 4)];
    expect(head).toMatch(/^POST \/v1\/cni HTTP\/1\.1\r\n/);
    expect(head).toContain(`Content-Length: ${body.length}`);
    const [variables, ...rest] = body.split("\0\0");
    expect(variables.split("\0").sort()).toEqual(
      Object.entries({ ...environment, CNI_ARGS: "A=1;B=2" })
        .map(([key, value]) => `${key}=${value}`)
        .sort(),
    );
    expect(rest.join("\0\0")).toBe(stdin);
  });

  it.each([
    ["nothing", ""],
    ["half an answer", "HTTP/1.1 200 OK\r\nUnderlay-Exit: 0\r\nContent-Length: 10\r\n\r\nabc"],
    ["an error page", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"],
    ["another protocol", "SSH-2.0-x\r\n\r\n"],
  ])("a daemon that answers %s: ADD fails with 11, DEL is spooled", async (_what, answer) => {
    await answerWith(answer);
    const added = await run(environment, JSON.stringify(config));
    expect(JSON.parse(added.stdout)).toMatchObject({ code: 11, cniVersion: "0.4.0" });
    const deleted = await run({ ...environment, CNI_COMMAND: "DEL" }, JSON.stringify(config));
    expect(deleted).toEqual({ code: 0, stdout: "", stderr: "" });
    const [file] = readdirSync(join(directory, "spool"));
    expect(file).toMatch(/^\d+\.\d{9}-\d+\.del$/);
    expect(readFileSync(join(directory, "spool", file), "latin1")).toContain("CNI_COMMAND=DEL\0");
  });

  it.each([
    ["", /is empty/],
    [" \n", /is empty/],
    ["[]", /is not a JSON object/],
    ["garbage", /is not a JSON object/],
  ])("refuses %j, which names no daemon to ask, for a DEL too", async (stdin, message) => {
    for (const CNI_COMMAND of ["ADD", "DEL"]) {
      const { code, stdout } = await run({ ...environment, CNI_COMMAND }, stdin);
      expect([code, JSON.parse(stdout).code]).toEqual([1, 6]);
      expect(JSON.parse(stdout).msg).toMatch(message);
    }
  });

  it("refuses a configuration without end", async () => {
    const { code, stdout } = await run(environment, Buffer.alloc(17 << 20, 32));
    expect([code, JSON.parse(stdout).code]).toEqual([1, 5]);
  });

  it("says what it can when a DEL can neither be sent nor spooled", async () => {
    const away = JSON.stringify({ ...config, socket: "/proc/underlay/d.sock" });
    const { code, stdout } = await run({ ...environment, CNI_COMMAND: "DEL" }, away);
    expect([code, JSON.parse(stdout).code]).toEqual([1, 11]);
    expect(stdout.toLowerCase()).not.toMatch(/no such file|not found/);
  });

  it.each([
    ["a link to elsewhere", (spool: string) => symlinkSync("/tmp", spool), "cannot be opened"],
    ["a directory for everybody", (spool: string) => mkdir(spool, 0o777), "may be written to by others"],
    [
      "somebody else's directory",
      (spool: string) => {
        mkdir(spool, 0o700);
        chownSync(spool, 65534, 65534);
      },
      "belongs",
    ],
    [
      "full",
      (spool: string) => {
        mkdir(spool, 0o700);
        for (let i = 0; i < 1800; i++) writeFileSync(join(spool, `${i}-`.padEnd(250, "x")), "");
      },
      "is full",
    ],
  ])("keeps no DEL in a spool that is %s: the runtime has to try again", async (_what, prepare, said) => {
    const spool = join(directory, "spool");
    prepare(spool);
    const { code, stdout } = await run({ ...environment, CNI_COMMAND: "DEL" }, JSON.stringify(config));
    expect([code, JSON.parse(stdout)]).toEqual([
      1,
      { cniVersion: "0.4.0", code: 11, msg: expect.stringContaining(said) },
    ]);
  });
});

function mkdir(path: string, mode: number): void {
  mkdirSync(path);
  chmodSync(path, mode);
}
