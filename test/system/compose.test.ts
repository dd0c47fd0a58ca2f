// docker-compose.yml as it is, with images made of what is installed here: two FRR switches, two nodes, pods that ping
// across, one switch lost.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { waitFor } from "../interop/support/wait.ts";
import { composeCommand, Docker } from "./support/docker.ts";
import { frrImage, nodeImage, writeArchive } from "./support/offline-images.ts";

const root = join(import.meta.dirname, "../..");
const nodes = ["node1", "node2"];
const switches = ["tor1", "tor2"];

interface Peer {
  readonly name: string;
  readonly state: string;
  readonly accepted: number;
}

describe("docker-compose.yml", () => {
  let docker: Docker;
  let compose: (...args: string[]) => Promise<string>;
  const exec = (node: string, ...command: string[]) => compose("exec", "-T", node, ...command);

  beforeAll(async () => {
    docker = await Docker.start();
    const [program, ...words] = await composeCommand();
    compose = (...args) =>
      docker.run(program, ...words, "-f", join(root, "docker-compose.yml"), "-p", `ul${process.pid}`, ...args);
    for (const [name, make] of [
      ["frr", frrImage],
      ["node", nodeImage],
    ] as const) {
      const directory = join(docker.directory, name);
      mkdirSync(directory);
      const image = make(directory);
      const archive = `${directory}.tar`;
      writeArchive(image, archive);
      await docker.importImage(archive, `ul-test/${name}:1`, image.command);
    }
    docker.environment = { FRR_IMAGE: "ul-test/frr:1", NODE_IMAGE: "ul-test/node:1" };
    await compose("up", "-d");
  });

  afterAll(async () => {
    await compose?.("down", "-v", "-t", "1").catch(() => {});
    await docker?.close();
  });

  it("brings every session up, with routes of the other node by both switches", async () => {
    for (const node of nodes) {
      await waitFor(
        async () => {
          const peers = JSON.parse(await exec(node, "sh", "-c", "underlayctl --json peers || :")) as Peer[];
          const good = peers.filter(({ state, accepted }) => state === "Established" && accepted >= 6);
          return good.length === switches.length || Promise.reject(new Error(JSON.stringify(peers)));
        },
        `sessions of ${node}`,
        { timeout: 30_000, interval: 300 },
      ).catch(async (error) => {
        throw new Error(`${error.message}\n${await compose("logs", "--no-color", "--tail", "15", node)}`);
      });
      const other = node === "node1" ? 2 : 1;
      const table = () => exec(node, "sh", "-c", "ip route show table 7100; ip -6 route show table 7100");
      await waitFor(async () => (await table()).includes(`10.244.${other}.0/26`), `routes of ${node}`);
      expect(await table()).toContain(`2001:db8:244:${other}::/122`);
    }
  });

  it("attaches pods that reach each other and the other node, also when one switch is lost", async () => {
    const addresses = new Map<string, string[]>();
    for (const node of nodes) {
      const result = JSON.parse(await exec(node, "pod", "add", "web")) as { ips: { address: string }[] };
      addresses.set(
        node,
        result.ips.map(({ address }) => address.split("/")[0]),
      );
      expect(addresses.get(node)).toHaveLength(2);
    }
    const pingAll = async () => {
      for (const target of addresses.get("node2")!) {
        await exec("node1", "pod", "exec", "web", "ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", target);
        const loopback = target.includes(":") ? "2001:db8::11" : "10.0.0.11";
        await exec("node1", "ping", "-n", "-c", "1", "-W", "1", "-I", loopback, target);
      }
    };
    await pingAll();

    await compose("stop", "-t", "1", "tor1");
    await waitFor(
      async () => {
        const peers = JSON.parse(await exec("node1", "sh", "-c", "underlayctl --json peers || :")) as Peer[];
        return peers.some(({ name, state }) => name === "tor1" && state !== "Established");
      },
      "node1 to lose tor1",
      { timeout: 20_000, interval: 200 },
    );
    await waitFor(() => pingAll().then(() => true), "pings by tor2 alone", { timeout: 15_000 });

    for (const node of nodes) await exec(node, "pod", "del", "web");
    expect(JSON.parse(await exec("node1", "underlayctl", "--json", "pods"))).toEqual([]);
  });
});
