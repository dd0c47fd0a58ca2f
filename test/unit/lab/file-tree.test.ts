import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { chooseHostRoot, fileTreeScript } from "../../../lab/runner/file-tree.ts";

describe("where the host's tree goes", () => {
  it("is a mount point that holds nothing needed", () => {
    expect(chooseHostRoot(["/home/me/underlay/dist", "/usr/bin/node"], () => true)).toBe("/mnt/host");
    expect(chooseHostRoot(["/mnt/c/underlay/dist"], () => true)).toBe("/media/host");
    expect(chooseHostRoot([], (path) => path === "/srv")).toBe("/srv/host");
  });
});

describe("the script for a node's files", () => {
  const script = fileTreeScript({
    hostRoot: "/mnt/host",
    hostname: "node1",
    placements: [
      { kind: "bind", source: "/a b/frr.conf", target: "/etc/frr/frr.conf", readOnly: true },
      { kind: "script", text: "#!/bin/sh\necho 'it is'\n", target: "/usr/local/bin/tool" },
      { kind: "link", source: "/x/underlay", target: "/opt/cni/bin/underlay" },
    ],
  });

  it("is a shell script without faults", () => {
    const { status, stderr } = spawnSync("sh", ["-n"], { input: script, encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  it("hides the host's files in configuration directories, and keeps them elsewhere", () => {
    expect(script).toContain("\nfresh /etc/frr\n");
    expect(script).toContain("\ncover /usr/local/bin\n");
    expect(script).toContain("\ncover /opt/cni/bin\n");
  });

  it("makes every directory before it mounts over any, and the root read-only before it writes", () => {
    const order = ["make /opt/cni/bin", "fresh /etc/frr", "remount,bind,ro / ", "mount --bind"];
    const places = order.map((text) => script.indexOf(text, script.indexOf("make /etc/frr")));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(places.every((place) => place > 0)).toBe(true);
  });

  it("quotes paths", () => expect(script).toContain(`mount --bind "$host"'/a b/frr.conf' /etc/frr/frr.conf`));
});
