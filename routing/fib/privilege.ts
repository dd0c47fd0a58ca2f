// Whether we may change routes in this network namespace.
import { Flag, MessageType } from "../netlink/constants.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";

/** Throws with what to do. The kernel checks the capability before it looks at the request, which is empty. */
export function requireNetAdmin(socket: NetlinkSocket): void {
  socket.out.reset();
  socket.out.begin(MessageType.newNextHop, Flag.create);
  socket.out.zeros(8);
  socket.out.end();
  const [failure] = socket.flush();
  if (!failure?.text.startsWith("EPERM")) return;
  throw Object.assign(
    new Error(
      "no permission to change routes: CAP_NET_ADMIN is missing. Run as root, or give the service " +
        "AmbientCapabilities=CAP_NET_ADMIN; or set routing.install: false to leave the kernel alone",
    ),
    { code: "EPERM" },
  );
}
