// A process that serves the CNI socket with the real CniServer and nothing else of the daemon. Started inside the test's
// host namespace with its options as JSON in argv[2]; prints "ready" when the socket answers.
import { createServer } from "node:http";
import { CniServer } from "../../../cni/server.ts";
import type { BlockStateName, CniOptions, PodRoutes } from "../../../cni/types.ts";
import { parseCniBody } from "../../../daemon/api/cni-call.ts";
import { systemClock } from "../../../net/clock.ts";
import type { Log } from "../../../net/log.ts";
import { Flag } from "../../../routing/netlink/constants.ts";
import { encodeDelRoute, encodeNewRoute, type RouteSpec } from "../../../routing/netlink/route.ts";
import { NetlinkSocket } from "../../../routing/netlink/socket.ts";

const LOCAL_TABLE = 7000;
const PROTOCOL = 201;

const options = JSON.parse(process.argv[2]) as CniOptions & {
  socket: string;
  verbose?: boolean;
  /** Milliseconds until the caller hears that a pod's routes are there. */
  routeDelay?: number;
};

const print = (level: string) => (fields: object, message: string) => {
  if (options.verbose || level === "error" || level === "warn")
    process.stderr.write(`${level} ${message} ${JSON.stringify(fields)}\n`);
};
const log: Log = { debug: print("debug"), info: print("info"), warn: print("warn"), error: print("error") };

const netlink = new NetlinkSocket();
const spec = (route: { address: Uint8Array; ifindex: number }): RouteSpec => ({
  family: route.address.length === 4 ? 4 : 6,
  table: LOCAL_TABLE,
  protocol: PROTOCOL,
  destination: route.address,
  length: route.address.length * 8,
  oif: route.ifindex,
});
/** What the rest of a daemon would know; POST /outside changes it. */
interface Outside {
  connected: boolean;
  /** Of every block. */
  blockState: BlockStateName;
  uplinkMtu: number | null;
  /** As the option of that name. */
  routeDelay: number;
}
const outside: Outside = {
  connected: true,
  blockState: "pending",
  uplinkMtu: null,
  routeDelay: options.routeDelay ?? 0,
};

const routes: PodRoutes = {
  // Written with the link, unless a test wants to have them late.
  planPodRoutes: (addresses) =>
    outside.routeDelay === 0 ? addresses.map((address) => spec({ address, ifindex: 0 })) : null,
  keepPodRoutes: () => {},
  dropPodRoutes: () => {},
  async addPodRoutes(list) {
    netlink.request((out) => {
      for (const route of list) encodeNewRoute(out, Flag.create | Flag.replace, spec(route));
    });
    await new Promise((resolve) => setTimeout(resolve, outside.routeDelay));
  },
  async removePodRoutes(list) {
    for (const route of list) encodeDelRoute(netlink.out, spec(route));
    netlink.flush();
  },
};

const cni = new CniServer(options, {
  clock: systemClock,
  log,
  routes,
  uplinkMtu: () => outside.uplinkMtu,
  connected: () => outside.connected,
});
cni.start().then(
  () => {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", async () => {
        if (request.url === "/pods") return void response.end(JSON.stringify(cni.pods()));
        if (request.url === "/warm-up") {
          const error = await cni.warmUp().then(
            () => null,
            (reason: Error) => reason.message,
          );
          return void response.end(JSON.stringify(error));
        }
        if (request.url === "/blocks") return void response.end(JSON.stringify(cni.blocks()));
        if (request.url === "/outside") {
          Object.assign(outside, JSON.parse(Buffer.concat(chunks).toString()));
          for (const { prefix } of cni.blocks()) cni.setBlockState(prefix, outside.blockState, "the test says so");
          return void response.end("null");
        }
        const answer = await cni.handle(parseCniBody(Buffer.concat(chunks), null));
        const body = Buffer.from(answer.stdout);
        response.writeHead(200, { "Underlay-Exit": answer.exitCode, "Content-Length": body.length });
        response.end(body);
      });
    });
    server.listen(options.socket, () => process.stdout.write("ready\n"));
    process.on("SIGTERM", () => {
      server.close();
      void cni.stop().then(() => process.exit(0));
    });
  },
  (error: Error) => {
    process.stdout.write(`failed: ${error.message}\n`);
    process.exit(1);
  },
);
